//! The conformance kit: named tests that a plugin passes before anyone trusts it, and the abuse table of readers and
//! verifiers.
//!
//! The same tests run on a plugin that is linked in, by one line in its own crate:
//!
//! ```
//! # use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, manifest};
//! # #[derive(serde::Deserialize)] struct Entropy {}
//! # impl Plugin for Entropy { fn manifest(&self) -> Manifest { manifest!("") } }
//! # impl Objective for Entropy { fn evaluate(&self, _: &Bundle) -> Result<Valuation> { Err("".into()) } }
//! alft_sdk::conformance!(Entropy: Objective);
//! ```
//!
//! makes a `#[test]` of each, and on a component or a library, by `alft plugin check`. What a plugin needs in order to
//! be tested (a configuration, a question that it can answer) stands in `kit.json`, see [`Settings`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`subject`] | what is tested: the contract's calls, linked in or loaded |
//! | [`settings`] | `kit.json` |
//! | [`outcome`] | how a test ended |
//! | [`abuse`] | what each hack would earn |
//! | [`load`] | inputs of a given size, to measure with |
//! | `inputs`, `scene`, `hostile_texts` | ordinary inputs, exact games, and what nobody should send |
//! | `calls` | calls whose results are checked, and can be compared bit for bit |
//! | `general`, `hostile`, `reader`, `verifier`, `objective`, `fuel`, `twins` | the tests |

pub mod abuse;
mod calls;
mod fuel;
mod general;
mod hostile;
mod hostile_texts;
mod inputs;
pub mod load;
mod objective;
pub mod outcome;
mod reader;
mod scene;
pub mod settings;
pub mod subject;
mod twins;
mod verifier;

pub use outcome::Outcome;
pub use settings::Settings;
pub use subject::{Fault, Linked, Reply, Role, Subject};

use std::path::Path;

/// Rises when a test comes, goes or changes what it asks: a verdict holds for the kit that gave it.
pub const VERSION: u32 = 1;

/// A named test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// What `--only` calls it.
    pub name: &'static str,
    /// What a plugin that passes it does, in a few words.
    pub shows: &'static str,
    /// The role that it is a test of; `None` for a test of whatever roles there are.
    pub role: Option<Role>,
    run: fn(&Case<'_>) -> Result<(), Outcome>,
}

/// Every test, in the order in which they run.
pub const TESTS: [Test; 18] = [
    test("describes-itself", "says who it is, and promises what its roles can keep", None, general::describes_itself),
    test("hostile-configuration", "survives any text for a configuration", None, general::hostile_configuration),
    test("order-of-calls", "says the same whatever it was asked before", None, general::order_of_calls),
    test("batch-equals-singles", "says of an entry in a batch what it says of it alone", None, general::batches),
    test("empty", "survives empty batches, texts and groups", None, hostile::empty),
    test("huge", "survives a megabyte of text and thousands of answers", None, hostile::huge),
    test("unicode", "survives what text can hold", None, hostile::unicode),
    test("adversarial", "survives texts that are made to break programs", None, hostile::adversarial),
    test("reads-the-answer", "reads the answer of a plain completion", Some(Role::Reader), reader::reads_the_answer),
    test("same-text-same-key", "reads one key from one text, whoever asks", Some(Role::Reader), reader::same_text),
    test("right-answer", "scores no wrong answer above the right one", Some(Role::Verifier), verifier::right_answer),
    test("score-range", "scores within the range that it promises", Some(Role::Verifier), verifier::score_range),
    test("concave", "has a utility that is concave, if it promises that", Some(Role::Objective), objective::concave),
    test("gradient", "rewards by the utility's slope, if it promises that", Some(Role::Objective), objective::gradient),
    test("unanimous", "prices groups that are all but sure", Some(Role::Objective), objective::unanimous),
    test("renaming", "prices prompts in any order and answers by any name", Some(Role::Objective), objective::renaming),
    test("fuel-grows-linearly", "needs no more than in proportion to its input", None, fuel::linear),
    test("twins-agree", "gives the same bits as a component and as a library", None, twins::agree),
];

const fn test(
    name: &'static str,
    shows: &'static str,
    role: Option<Role>,
    run: fn(&Case<'_>) -> Result<(), Outcome>,
) -> Test {
    Test { name, shows, role, run }
}

/// What is tested, and how.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The plugin.
    pub subject: &'a dyn Subject,
    /// The same source in its other form.
    pub twin: Option<&'a dyn Subject>,
    /// What it needs in order to be tested.
    pub settings: &'a Settings,
    /// Of every random input: the same seed gives the same outcome.
    pub seed: u64,
}

/// A trial under one configuration, as a test sees it.
struct Case<'a> {
    subject: &'a dyn Subject,
    twin: Option<&'a dyn Subject>,
    settings: &'a Settings,
    config: &'a str,
    seed: u64,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("settings", &self.settings).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Test {
    /// The test of this name.
    pub fn named(name: &str) -> Option<Self> {
        TESTS.into_iter().find(|test| test.name == name)
    }

    /// Runs the test under each of the settings' configurations. What a plugin fails under one of them, it fails.
    pub fn run(&self, trial: &Trial<'_>) -> Outcome {
        let configs = trial.settings.configurations();
        let outcomes = configs.iter().map(|config| match self.under(trial, config) {
            Outcome::Failed(reason) if configs.len() > 1 => Outcome::Failed(format!("under {config}: {reason}")),
            Outcome::Crashed(reason) if configs.len() > 1 => Outcome::Crashed(format!("under {config}: {reason}")),
            outcome => outcome,
        });
        outcomes.max_by_key(Outcome::gravity).expect("settings have a configuration")
    }

    fn under(&self, trial: &Trial<'_>, config: &str) -> Outcome {
        let Trial { subject, twin, settings, seed } = *trial;
        if let Some(role) = self.role.filter(|role| !subject.has(*role)) {
            return Outcome::Skipped(format!("it is no {role}"));
        }
        // Nothing can be asked of what has no role: that must not pass for a good answer.
        if self.name != TESTS[0].name && !Role::ALL.into_iter().any(|role| subject.has(role)) {
            return match subject.describe(config).result {
                Ok(_) => Outcome::Failed("it has no role".into()),
                Err(fault) => fault.into(),
            };
        }
        match (self.run)(&Case { subject, twin, settings, config, seed }) {
            Ok(()) => Outcome::Passed,
            Err(outcome) => outcome,
        }
    }
}

/// Runs the test of this name and panics unless it is passed or does not apply.
#[doc(hidden)]
pub fn pass(name: &str, subject: &dyn Subject, folder: &str) {
    let settings = Settings::of(Path::new(folder)).unwrap_or_else(|error| panic!("{folder}/kit.json: {error}"));
    let test = Test::named(&name.replace('_', "-")).expect("a test of the kit");
    match test.run(&Trial { subject, twin: None, settings: &settings, seed: 0 }) {
        Outcome::Passed => {}
        Outcome::Skipped(reason) => eprintln!("skipped: {reason}"),
        Outcome::Failed(reason) | Outcome::Crashed(reason) => {
            panic!("a plugin {}; this one does not: {reason}", test.shows)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart_and_found() {
        for test in TESTS {
            assert_eq!(TESTS.iter().filter(|other| other.name == test.name).count(), 1, "{}", test.name);
            assert_eq!(Test::named(test.name).map(|found| found.shows), Some(test.shows));
        }
    }

    #[test]
    fn no_test_is_left_out_but_those_of_loaded_plugins() {
        let listed = |name: &str| {
            let mut words = include_str!("../conformance.rs").split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == name.replace('-', "_"))
        };
        let left_out: Vec<&str> = TESTS.iter().map(|test| test.name).filter(|name| !listed(name)).collect();
        assert_eq!(left_out, ["fuel-grows-linearly", "twins-agree"]);
    }
}
