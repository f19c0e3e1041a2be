//! Random bundles, and every objective in each of its variants.

use std::collections::BTreeMap;

use alft_correctness::Correctness;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::dispatch::configure;
use alft_sdk::{Manifest, Objective, Plugin, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};

/// For each prompt the probability of each answer; 0 for one that it cannot have.
pub(crate) type Marginals = Vec<Vec<f64>>;

/// What is random about a game. Prompts and answers are numbers here.
#[derive(Debug, Clone)]
pub(crate) struct Draw {
    /// Two points at which to look, of one support.
    pub(crate) nu: [Marginals; 2],
    reference: Marginals,
    /// A number between 0 and 1 for each answer.
    numbers: Vec<f64>,
}

/// What prompts and answers are called.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) prompts: Vec<String>,
    pub(crate) answers: Vec<String>,
}

impl Names {
    pub(crate) fn plain(draw: &Draw) -> Self {
        Self {
            prompts: (0..draw.prompts()).map(|at| format!("x{at}")).collect(),
            answers: (b'A'..).take(draw.answers()).map(|letter| char::from(letter).to_string()).collect(),
        }
    }
}

impl Draw {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        (1..5usize, 2..7usize).prop_flat_map(|(m, n)| {
            // Away from 0, where differences are poor.
            let weights = || proptest::collection::vec(proptest::collection::vec(0.1..1.0, n), m);
            let support = proptest::collection::vec(proptest::collection::vec(any::<bool>(), n), m);
            let numbers = proptest::collection::vec(0.05..1.0, n);
            (support, [weights(), weights(), weights()], numbers).prop_map(move |(mut support, weights, numbers)| {
                for (prompt, given) in support.iter_mut().enumerate() {
                    // One answer that all prompts have, as the geometric consensus needs, and one more to weigh it against.
                    given[0] = true;
                    given[1 + prompt % (n - 1)] = true;
                }
                let [one, other, reference] = weights.map(|weights| normalized(&support, &weights));
                Self { nu: [one, other], reference, numbers }
            })
        })
    }

    pub(crate) fn prompts(&self) -> usize {
        self.reference.len()
    }

    pub(crate) fn answers(&self) -> usize {
        self.numbers.len()
    }

    /// Worths on both sides of 0.
    fn signed(&self) -> Vec<f64> {
        self.numbers.iter().map(|number| number - 0.5).collect()
    }

    /// The bundle of these marginals.
    pub(crate) fn bundle(&self, nu: &Marginals, names: &Names) -> Bundle {
        let mut bundle = exact(nu, names);
        let reference = exact(&self.reference, names);
        bundle.verifiers = vec!["signed".into(), "positive".into()];
        bundle.multiplier = 1.5;
        let signed = self.signed();
        for (group, frozen) in bundle.groups.iter_mut().zip(reference.groups) {
            for (answer, frozen) in group.answers.iter_mut().zip(frozen.answers) {
                (answer.reference_probability, answer.pooled_reference_probability) =
                    (frozen.reference_probability, frozen.pooled_reference_probability);
                let at = names.answers.iter().position(|name| *name == answer.key).expect("a name of ours");
                answer.scores = vec![signed[at], self.numbers[at]];
            }
        }
        bundle
    }
}

fn normalized(support: &[Vec<bool>], weights: &Marginals) -> Marginals {
    let marginal = |(given, weights): (&Vec<bool>, &Vec<f64>)| {
        let kept: Vec<f64> = given.iter().zip(weights).map(|(given, w)| if *given { *w } else { 0.0 }).collect();
        let total: f64 = kept.iter().sum();
        kept.into_iter().map(|w| w / total).collect()
    };
    support.iter().zip(weights).map(marginal).collect()
}

fn exact(nu: &Marginals, names: &Names) -> Bundle {
    let prompts: Vec<Prompt> = names.prompts.iter().map(|id| Prompt { id: id.clone(), ..Prompt::default() }).collect();
    let keyed = |marginal: &Vec<f64>| names.answers.iter().map(String::as_str).zip(marginal.iter().copied()).collect();
    let marginals: Vec<BTreeMap<&str, f64>> = nu.iter().map(keyed).collect();
    Bundle::exact("b", &prompts.iter().zip(&marginals).collect::<Vec<_>>())
}

type Call = Box<dyn Fn(&Bundle) -> alft_sdk::Result<Valuation>>;

/// An objective under a configuration.
pub(crate) struct Case {
    /// Its crate and its configuration.
    pub(crate) name: String,
    pub(crate) manifest: Manifest,
    call: Call,
}

impl Case {
    fn of<P: Objective + 'static>(config: &Value) -> Self {
        let plugin: P = configured(config);
        let manifest = plugin.manifest();
        let name = format!("{} {config}", manifest.name);
        Self { name, manifest, call: Box::new(move |bundle| plugin.evaluate(bundle)) }
    }

    /// A verifier is the objective of its expected score.
    fn correctness(config: &Value) -> Self {
        let plugin: Correctness = configured(config);
        let manifest = Manifest { concave: true, gradient: true, ..plugin.manifest() };
        let call = move |bundle: &Bundle| {
            let score = |prompt: &Prompt, key: &str| plugin.score(prompt, key).expect("a table has a score for all");
            Ok(Valuation {
                utility: bundle.mean(|g| g.answers.iter().map(|a| a.frequency * score(&g.prompt, &a.key)).sum()),
                rewards: bundle.rewards(|group, answer| score(&group.prompt, &answer.key)),
                violation: None,
            })
        };
        Self { name: format!("correctness {config}"), manifest, call: Box::new(call) }
    }

    pub(crate) fn evaluate(&self, bundle: &Bundle) -> Valuation {
        (self.call)(bundle).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }
}

fn configured<P: Plugin>(config: &Value) -> P {
    configure(&config.to_string()).unwrap_or_else(|error| panic!("{config}: {error}"))
}

/// Every objective that there is, configured for a draw.
pub(crate) fn cases(draw: &Draw, names: &Names) -> Vec<Case> {
    let table =
        |numbers: &[f64]| names.answers.iter().cloned().zip(numbers.iter().copied()).collect::<BTreeMap<_, _>>();
    let (signed, positive) = (table(&draw.signed()), table(&draw.numbers));
    // Every other answer is worth nothing, so that there are ties and zeros; the first is what all prompts have.
    let binary: BTreeMap<_, _> = names.answers.iter().enumerate().map(|(at, key)| (key, (at + 1) % 2)).collect();
    let total: f64 = draw.numbers.iter().sum();
    let wanted: Vec<f64> = draw.numbers.iter().map(|number| number / total).collect();
    // Some of the answers have an attribute; the rest, the other.
    let attribute: BTreeMap<_, _> = names.answers.iter().take(4).zip(["p", "q", "p", "r"]).collect();
    let shares = json!({"p": 0.5 * wanted[0], "q": 0.2, "r": 0.1, "other": 0.2});
    let none = json!({});

    let mut cases = vec![
        Case::correctness(&json!({"reward": signed})),
        Case::of::<alft_entropy::Entropy>(&none),
        Case::of::<alft_gini::Gini>(&none),
        Case::of::<alft_tsallis::Tsallis>(&json!({"order": 2})),
        Case::of::<alft_tsallis::Tsallis>(&json!({"order": 5})),
        Case::of::<alft_pass_at_k::PassAtK>(&json!({"k": 1, "reward": signed})),
        Case::of::<alft_pass_at_k::PassAtK>(&json!({"k": 8, "reward": binary})),
        Case::of::<alft_pass_at_k::PassAtK>(&json!({"k": 4, "reward": signed})),
        Case::of::<alft_pass_at_k::PassAtK>(&json!({"k": 4, "verifier": "positive"})),
        Case::of::<alft_maximum_likelihood::MaximumLikelihood>(&json!({"reward": binary})),
        Case::of::<alft_maximum_likelihood::MaximumLikelihood>(&json!({"reward": positive})),
        Case::of::<alft_maximum_likelihood::MaximumLikelihood>(&json!({"verifier": "positive"})),
        Case::of::<alft_target::Target>(&json!({"target": table(&wanted)})),
        Case::of::<alft_marginal::Marginal>(&json!({"attribute": attribute, "target": shares})),
        Case::of::<alft_parity::Parity>(&json!({"attribute": attribute})),
        Case::of::<alft_parity::Parity>(&json!({"attribute": attribute, "other": "p"})),
        Case::of::<alft_constraint::Constraint>(&json!({"cost": signed, "limit": 0.1})),
        Case::of::<alft_constraint::Constraint>(&json!({"verifier": "signed", "limit": 0.1})),
        Case::of::<alft_majority::Majority>(&none),
        Case::of::<alft_semantic_entropy::SemanticEntropy>(&none),
    ];
    for consensus in ["arithmetic", "geometric", "reference"] {
        cases.push(Case::of::<alft_coherence::Coherence>(&json!({"consensus": consensus})));
    }
    let pairs: Vec<_> =
        names.prompts.windows(2).zip(&draw.numbers).map(|(pair, w)| json!([pair[0], pair[1], w])).collect();
    for divergence in ["jsd", "squared-l2"] {
        cases.push(Case::of::<alft_pairwise::Pairwise>(&json!({"divergence": divergence})));
        // A prompt alone has no partner to name.
        if !pairs.is_empty() {
            cases.push(Case::of::<alft_pairwise::Pairwise>(&json!({"divergence": divergence, "pairs": pairs})));
        }
    }
    cases
}
