//! Random bundles, and every objective in all its variants.

use std::collections::BTreeMap;

use alft_correctness::Correctness;
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::dispatch::configure;
use alft_sdk::{Manifest, Objective, Plugin, Verifier};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The probability of each answer for each prompt; 0 for an answer that the prompt cannot have.
pub(crate) type Marginals = Vec<Vec<f64>>;

/// The random parts of a game. Prompts and answers are indices.
#[derive(Debug, Clone)]
pub(crate) struct RandomBundle {
    /// Two points with the same support.
    pub(crate) nu: [Marginals; 2],
    reference: Marginals,
    /// A number between 0 and 1 for each answer.
    numbers: Vec<f64>,
}

/// The names of prompts and answers.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    pub(crate) prompts: Vec<String>,
    pub(crate) answers: Vec<String>,
}

impl Names {
    pub(crate) fn plain(random: &RandomBundle) -> Self {
        Self {
            prompts: (0..random.prompts()).map(|at| format!("x{at}")).collect(),
            answers: (b'A'..).take(random.answers()).map(|letter| char::from(letter).to_string()).collect(),
        }
    }
}

impl RandomBundle {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        (1..5usize, 2..7usize).prop_flat_map(|(m, n)| {
            // Weights are above 0, because finite differences are inexact near 0.
            let weights = || proptest::collection::vec(proptest::collection::vec(0.1..1.0, n), m);
            let support = proptest::collection::vec(proptest::collection::vec(any::<bool>(), n), m);
            let numbers = proptest::collection::vec(0.05..1.0, n);
            (support, [weights(), weights(), weights()], numbers).prop_map(move |(mut support, weights, numbers)| {
                for (prompt, given) in support.iter_mut().enumerate() {
                    // All prompts have one common answer, which the geometric consensus needs, and one more.
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

    /// Returns numbers on both sides of 0, one for each answer.
    fn signed(&self) -> Vec<f64> {
        self.numbers.iter().map(|number| number - 0.5).collect()
    }

    /// Returns the bundle of these marginals.
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
                let at = names.answers.iter().position(|name| *name == answer.key).expect("the answer is in names");
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
    /// The name of the crate, and the configuration.
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

    /// Returns the verifier `correctness` as the objective of its expected score.
    fn correctness(config: &Value) -> Self {
        let plugin: Correctness = configured(config);
        let manifest = Manifest { concave: true, gradient: true, ..plugin.manifest() };
        let call = move |bundle: &Bundle| {
            let score = |prompt: &Prompt, key: &str| plugin.score(prompt, key).expect("a table scores every answer");
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

/// Returns every objective, configured for random bundles.
pub(crate) fn cases(random: &RandomBundle, names: &Names) -> Vec<Case> {
    let table =
        |numbers: &[f64]| names.answers.iter().cloned().zip(numbers.iter().copied()).collect::<BTreeMap<_, _>>();
    let (signed, positive) = (table(&random.signed()), table(&random.numbers));
    // Every other answer has the reward 0, so that there are ties and zeros. The common answer of all prompts is the first.
    let binary: BTreeMap<_, _> = names.answers.iter().enumerate().map(|(at, key)| (key, (at + 1) % 2)).collect();
    let total: f64 = random.numbers.iter().sum();
    let wanted: Vec<f64> = random.numbers.iter().map(|number| number / total).collect();
    // Four answers have an attribute in the table; the rest have the attribute "other".
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
        names.prompts.windows(2).zip(&random.numbers).map(|(pair, w)| json!([pair[0], pair[1], w])).collect();
    for divergence in ["jsd", "squared-l2"] {
        cases.push(Case::of::<alft_pairwise::Pairwise>(&json!({"divergence": divergence})));
        // A single prompt has no pairs.
        if !pairs.is_empty() {
            cases.push(Case::of::<alft_pairwise::Pairwise>(&json!({"divergence": divergence, "pairs": pairs})));
        }
    }
    cases
}
