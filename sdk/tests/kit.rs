//! Plugins with one fault each: the kit names it, and no other.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::kit::{Linked, Outcome, Reply, Role, Settings, Subject, TESTS, Test, Trial};
use alft_sdk::{Manifest, Objective, Plugin, Reader, Result, Verifier, manifest, math};
use serde::Deserialize;

/// The names of the tests that are not passed, and why.
fn faults(subject: &Linked) -> Vec<(&'static str, Outcome)> {
    let settings = Settings::default();
    let trial = Trial { subject, twin: None, settings: &settings, seed: 1 };
    let outcomes = TESTS.iter().map(|test| (test.name, test.run(&trial)));
    outcomes.filter(|(_, outcome)| !matches!(outcome, Outcome::Passed | Outcome::Skipped(_))).collect()
}

/// The outcome of one test.
fn outcome(name: &str, subject: &dyn Subject) -> Outcome {
    let settings = Settings::default();
    let trial = Trial { subject, twin: None, settings: &settings, seed: 1 };
    Test::named(name).unwrap().run(&trial)
}

/// Insists on these tests, and on these words in what the first says.
fn expect(subject: &Linked, tests: &[&str], words: &str) {
    let faults = faults(subject);
    let names: Vec<&str> = faults.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, tests, "{faults:?}");
    assert!(faults[0].1.reason().contains(words), "{faults:?}");
}

/// An objective in a line: what it promises, and what it says.
macro_rules! objective {
    ($name:ident, $claims:expr, |$bundle:ident| $valuation:expr) => {
        #[derive(Deserialize)]
        struct $name {}

        impl Plugin for $name {
            fn manifest(&self) -> Manifest {
                let (concave, gradient) = $claims;
                Manifest { concave, gradient, ..manifest!("An objective with a fault.") }
            }
        }

        impl Objective for $name {
            fn evaluate(&self, $bundle: &Bundle) -> Result<Valuation> {
                Ok($valuation)
            }
        }

        impl $name {
            fn subject() -> Linked {
                Linked::new::<Self>().objective::<Self>()
            }
        }
    };
}

fn valuation(utility: f64, rewards: Vec<Vec<f64>>) -> Valuation {
    Valuation { utility, rewards, violation: None }
}

fn entropy(bundle: &Bundle) -> f64 {
    bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.surprisal).sum())
}

fn squares(bundle: &Bundle) -> f64 {
    bundle.mean(|group| group.answers.iter().map(|a| a.frequency * a.frequency).sum())
}

objective!(Sound, (true, true), |bundle| valuation(entropy(bundle), bundle.rewards(|_, a| a.surprisal)));
objective!(WrongSign, (true, true), |bundle| valuation(entropy(bundle), bundle.rewards(|_, a| -a.surprisal)));
objective!(NoFactor, (true, true), |bundle| {
    let m = bundle.groups.len() as f64;
    valuation(entropy(bundle), bundle.rewards(|_, a| a.surprisal / m))
});
objective!(Convex, (true, true), |bundle| valuation(squares(bundle), bundle.rewards(|_, a| 2.0 * a.frequency)));
objective!(LastPrompt, (false, false), |bundle| {
    let last = bundle.groups.last().map_or(0.0, |group| group.answers.iter().map(|a| a.frequency * a.frequency).sum());
    valuation(last, bundle.rewards(|_, _| 0.0))
});
objective!(NaNForSure, (true, true), |bundle| {
    let term = |p: f64| if p == 1.0 { f64::NAN } else { -p * math::ln(p) };
    let utility = bundle.mean(|group| group.answers.iter().map(|a| term(a.frequency)).sum());
    valuation(utility, bundle.rewards(|_, a| a.surprisal))
});
objective!(NaNForNothing, (false, false), |bundle| {
    let total = bundle.mean(|group| group.answers.iter().map(|a| a.frequency).sum());
    // NaN where there is nothing to add up, and 0 elsewhere.
    valuation(0.0 / total, bundle.rewards(|_, _| 0.0))
});
objective!(OneShort, (false, false), |bundle| {
    let mut rewards = bundle.rewards(|_, _| 0.0);
    rewards.iter_mut().for_each(|rewards| rewards.truncate(rewards.len().saturating_sub(1)));
    valuation(0.0, rewards)
});
objective!(Unordered, (false, false), |bundle| {
    // In the order of the standard map's random hash.
    let all: HashMap<&str, f64> =
        bundle.groups.iter().flat_map(|g| &g.answers).map(|a| (&*a.key, a.surprisal)).collect();
    valuation(all.values().map(|p| 0.1 * p).sum(), bundle.rewards(|_, _| 0.0))
});

static CALLS: AtomicU64 = AtomicU64::new(0);
objective!(Counting, (false, false), |bundle| {
    let calls = CALLS.fetch_add(1, Ordering::Relaxed) as f64;
    valuation(calls, bundle.rewards(|_, _| 0.0))
});

#[test]
fn a_sound_objective_passes() {
    assert_eq!(faults(&Sound::subject()), []);
}

#[test]
fn a_false_claim_of_an_objective_is_named() {
    expect(&WrongSign::subject(), &["gradient"], "the rewards say");
    expect(&NoFactor::subject(), &["gradient"], "times the utility");
    expect(&Convex::subject(), &["concave"], "below their mean");
}

#[test]
fn what_an_objective_must_not_look_at_is_named() {
    expect(&LastPrompt::subject(), &["renaming"], "the order of the prompts");
    expect(&Counting::subject(), &["order-of-calls", "batch-equals-singles", "renaming"], "after other calls");
    let unordered = faults(&Unordered::subject());
    assert!(unordered.iter().any(|(name, _)| *name == "order-of-calls"), "{unordered:?}");
}

#[test]
fn what_is_no_number_or_no_shape_is_named() {
    expect(&NaNForSure::subject(), &["empty", "unanimous"], "a utility is NaN");
    expect(&NaNForNothing::subject(), &["empty"], "a utility is NaN");
    let short = faults(&OneShort::subject());
    assert!(short.iter().all(|(_, outcome)| outcome.reason().contains("of the shape")) && short.len() > 5, "{short:?}");
}

/// Reads the last word of a completion, except for its fault.
#[derive(Deserialize)]
struct LastWord<const FAULT: u8> {}

const SOUND: u8 = 0;
const CUTS_BYTES: u8 = 1;
const GOES_BY_ID: u8 = 2;
const READS_NOTHING: u8 = 3;
const SCORES_UPSIDE_DOWN: u8 = 4;
const SCORES_OUT_OF_RANGE: u8 = 5;
const NO_SUMMARY: u8 = 6;

impl<const FAULT: u8> Plugin for LastWord<FAULT> {
    fn manifest(&self) -> Manifest {
        let summary = if FAULT == NO_SUMMARY { "" } else { "Reads the last word." };
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!(summary) }
    }
}

impl<const FAULT: u8> Reader for LastWord<FAULT> {
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>> {
        let word = completion.split_whitespace().last();
        Ok(match FAULT {
            CUTS_BYTES => word.map(|word| word[..word.len().min(3)].into()),
            GOES_BY_ID => word.map(|word| format!("{}/{word}", prompt.id)),
            READS_NOTHING => None,
            _ => word.map(Into::into),
        })
    }
}

impl<const FAULT: u8> Verifier for LastWord<FAULT> {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let right = prompt.gold.as_deref() == Some(answer);
        Ok(match FAULT {
            SCORES_UPSIDE_DOWN => f64::from(!right),
            SCORES_OUT_OF_RANGE => answer.len() as f64 / 100.0,
            _ => f64::from(right),
        })
    }
}

fn last_word<const FAULT: u8>() -> Linked {
    Linked::new::<LastWord<FAULT>>().reader::<LastWord<FAULT>>().verifier::<LastWord<FAULT>>()
}

#[test]
fn a_fault_of_a_reader_or_verifier_is_named() {
    assert_eq!(faults(&last_word::<SOUND>()), []);
    expect(&last_word::<CUTS_BYTES>(), &["unicode"], "panicked");
    expect(&last_word::<READS_NOTHING>(), &["reads-the-answer", "right-answer"], "kit.json");
    expect(&last_word::<SCORES_UPSIDE_DOWN>(), &["right-answer"], "scores the right answer \"42\" 0");
    expect(&last_word::<SCORES_OUT_OF_RANGE>(), &["score-range"], "promises 0 to 1");
    expect(&last_word::<NO_SUMMARY>(), &["describes-itself"], "summary");
    let by_id = faults(&last_word::<GOES_BY_ID>());
    assert!(by_id.iter().any(|(name, _)| *name == "same-text-same-key"), "{by_id:?}");
}

#[test]
fn a_configuration_that_is_refused_is_told_with_the_remedy() {
    #[derive(Deserialize)]
    struct Demanding {
        _order: u32,
    }
    impl Plugin for Demanding {
        fn manifest(&self) -> Manifest {
            manifest!("Wants an order.")
        }
    }
    let faults = faults(&Linked::new::<Demanding>());
    let reason = faults[0].1.reason();
    assert!(reason.contains("missing field `_order`") && reason.contains("kit.json"), "{reason}");
}

/// A reader and verifier whose fuel is a power of its input.
struct Metered {
    linked: Linked,
    power: f64,
}

impl Metered {
    fn burnt<T>(&self, batch: &[PromptTexts], reply: Reply<T>) -> Reply<T> {
        let input: usize = batch.iter().flat_map(|question| &question.texts).map(String::len).sum();
        Reply { fuel: Some((1e5 + (input as f64).powf(self.power)) as u64), ..reply }
    }
}

impl Subject for Metered {
    fn has(&self, role: Role) -> bool {
        self.linked.has(role)
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        self.linked.describe(config)
    }

    fn read(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<Option<String>>>> {
        self.burnt(batch, self.linked.read(config, batch))
    }

    fn score(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<f64>>> {
        self.burnt(batch, self.linked.score(config, batch))
    }

    fn evaluate(&self, config: &str, batch: &[Bundle]) -> Reply<Vec<Valuation>> {
        self.linked.evaluate(config, batch)
    }
}

#[test]
fn fuel_may_grow_as_the_input_and_not_as_its_square() {
    let outcome = |linked, power| outcome("fuel-grows-linearly", &Metered { linked, power });
    assert_eq!(outcome(last_word::<SOUND>(), 1.0), Outcome::Passed);
    let square = outcome(last_word::<SOUND>(), 2.0);
    assert!(matches!(&square, Outcome::Failed(reason) if reason.contains("grow as n^2.0")), "{square:?}");
    // An objective is not metered here.
    assert!(matches!(outcome(Sound::subject(), 2.0), Outcome::Skipped(_)));
}

#[test]
fn a_twin_with_other_bits_is_named() {
    let settings = Settings::default();
    let agree = |subject: &Linked, twin: &Linked| {
        let trial = Trial { subject, twin: Some(twin), settings: &settings, seed: 1 };
        Test::named("twins-agree").unwrap().run(&trial)
    };
    assert_eq!(agree(&Sound::subject(), &Sound::subject()), Outcome::Passed);
    let other = agree(&Sound::subject(), &WrongSign::subject());
    assert!(matches!(&other, Outcome::Failed(reason) if reason.contains("the two differ")), "{other:?}");
}

mod hacks {
    use super::*;
    use alft_sdk::kit::abuse::{Earning, table};

    #[test]
    fn a_reader_of_the_last_word_pays_for_some_hacks_and_not_for_others() {
        let rows = table(&last_word::<SOUND>(), &Settings::default(), "{}").unwrap();
        let row = |hack: &str| rows.iter().find(|row| row.hack == hack).unwrap_or_else(|| panic!("{hack}"));
        for (hack, earning, suspect) in [
            ("the right answer", Earning::Earns, false),
            ("a wrong answer", Earning::Nothing, false),
            ("nothing", Earning::Unreadable, false),
            ("answer stuffing", Earning::Earns, true),
            ("right, then wrong", Earning::Nothing, false),
            ("a negated answer", Earning::Earns, true),
            ("full-width digits", Earning::Nothing, false),
            ("padding after", Earning::Earns, false),
        ] {
            assert_eq!((row(hack).earning, row(hack).suspect), (earning, suspect), "{hack}");
        }
        assert_eq!(table(&Sound::subject(), &Settings::default(), "{}").unwrap(), [], "an objective reads nothing");
    }
}
