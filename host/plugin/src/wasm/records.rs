//! The contract's records, as they are lowered into and lifted out of a component. Arguments are borrowed, so that a batch
//! is copied only once, into the component's memory.

use wasmtime::component::{ComponentType, Lift, Lower};

use alft_sdk::call::PromptTexts;
use alft_sdk::{bundle, plugin};

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct Prompt<'a> {
    id: &'a str,
    text: &'a str,
    gold: Option<&'a str>,
    metadata: &'a str,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Transcript<'a> {
    prompt: Prompt<'a>,
    completions: &'a [String],
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Question<'a> {
    prompt: Prompt<'a>,
    answers: &'a [String],
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Answer<'a> {
    key: &'a str,
    count: u32,
    scores: &'a [f64],
    frequency: f64,
    #[component(name = "leave-one-out")]
    leave_one_out: f64,
    surprisal: f64,
    #[component(name = "pooled-surprisal")]
    pooled_surprisal: f64,
    #[component(name = "reference-probability")]
    reference_probability: f64,
    #[component(name = "pooled-reference-probability")]
    pooled_reference_probability: f64,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Group<'a> {
    prompt: Prompt<'a>,
    size: u32,
    answers: Vec<Answer<'a>>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct Bundle<'a> {
    id: &'a str,
    verifiers: &'a [String],
    multiplier: f64,
    exact: bool,
    groups: Vec<Group<'a>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Valuation {
    utility: f64,
    rewards: Vec<Vec<f64>>,
    violation: Option<f64>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Interval {
    low: f64,
    high: f64,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Manifest {
    name: String,
    version: String,
    summary: String,
    #[component(name = "score-range")]
    score_range: Option<Interval>,
    concave: bool,
    gradient: bool,
    #[component(name = "needs-reference")]
    needs_reference: bool,
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[allow(dead_code, reason = "constructed by lifting")]
pub(crate) enum Level {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

impl Level {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

impl<'a> From<&'a bundle::Prompt> for Prompt<'a> {
    fn from(p: &'a bundle::Prompt) -> Self {
        Self { id: &p.id, text: &p.text, gold: p.gold.as_deref(), metadata: &p.metadata }
    }
}

impl<'a> From<&'a PromptTexts> for Transcript<'a> {
    fn from(entry: &'a PromptTexts) -> Self {
        Self { prompt: (&entry.prompt).into(), completions: &entry.texts }
    }
}

impl<'a> From<&'a PromptTexts> for Question<'a> {
    fn from(entry: &'a PromptTexts) -> Self {
        Self { prompt: (&entry.prompt).into(), answers: &entry.texts }
    }
}

impl<'a> From<&'a bundle::Bundle> for Bundle<'a> {
    fn from(b: &'a bundle::Bundle) -> Self {
        let answer = |a: &'a bundle::Answer| Answer {
            key: &a.key,
            count: a.count,
            scores: &a.scores,
            frequency: a.frequency,
            leave_one_out: a.leave_one_out,
            surprisal: a.surprisal,
            pooled_surprisal: a.pooled_surprisal,
            reference_probability: a.reference_probability,
            pooled_reference_probability: a.pooled_reference_probability,
        };
        let group = |g: &'a bundle::Group| Group {
            prompt: (&g.prompt).into(),
            size: g.size,
            answers: g.answers.iter().map(answer).collect(),
        };
        Self {
            id: &b.id,
            verifiers: &b.verifiers,
            multiplier: b.multiplier,
            exact: b.exact,
            groups: b.groups.iter().map(group).collect(),
        }
    }
}

impl From<Valuation> for bundle::Valuation {
    fn from(v: Valuation) -> Self {
        Self { utility: v.utility, rewards: v.rewards, violation: v.violation }
    }
}

impl From<Manifest> for plugin::Manifest {
    fn from(m: Manifest) -> Self {
        Self {
            name: m.name,
            version: m.version,
            summary: m.summary,
            score_range: m.score_range.map(|range| (range.low, range.high)),
            concave: m.concave,
            gradient: m.gradient,
            needs_reference: m.needs_reference,
        }
    }
}
