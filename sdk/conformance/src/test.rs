//! The list of tests, and how they run.

use std::path::Path;

use alft_sdk::batch::Role;

use crate::case::Case;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::subject::Subject;
use crate::suite::{fuel, general, grader, hostile, objective, reader, score_range, twins, verifier};

/// Version of the kit. It rises when a test is added, removed or changed: a verdict is about the version that gave it.
pub const VERSION: u32 = 2;

/// A named test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Name for `--only`.
    pub name: &'static str,
    /// Behaviour of a plugin that passes, as the rest of a sentence.
    pub shows: &'static str,
    /// Roles that the test is for: it is skipped if the plugin has none of them. Empty for a test of every plugin.
    pub roles: &'static [Role],
    run: fn(&Case<'_>) -> Result<(), Outcome>,
}

/// Every test, in the order in which they run.
pub const TESTS: [Test; 19] = [
    test("describes-itself", "has a manifest, and promises that its roles can keep", &[], general::describes_itself),
    test("hostile-configuration", "survives any text as a configuration", &[], general::hostile_configuration),
    test("order-of-calls", "returns the same results whatever was called before", &[], general::order_of_calls),
    test("batch-equals-singles", "returns for an entry of a batch what it returns for it alone", &[], general::batches),
    test("empty", "survives empty batches, texts and groups", &[], hostile::empty),
    test("huge", "survives a megabyte of text and thousands of answers", &[], hostile::huge),
    test("unicode", "survives unusual Unicode", &[], hostile::unicode),
    test("adversarial", "survives texts that are made to break programs", &[], hostile::adversarial),
    test("reads-the-answer", "reads the answer of a plain completion", &[Role::Reader], reader::reads_the_answer),
    test("same-text-same-key", "reads the same key from the same text", &[Role::Reader], reader::same_text),
    test("grades-the-completion", "grades a plain completion", &[Role::Grader], grader::grades_the_completion),
    test("right-answer", "scores no wrong answer above the right one", &[Role::Verifier], verifier::right_answer),
    test("score-range", "scores within its score range", &[Role::Grader, Role::Verifier], score_range::score_range),
    test("concave", "has a concave utility, if it promises one", &[Role::Objective], objective::concave),
    test("gradient", "rewards by the utility's gradient, if it promises so", &[Role::Objective], objective::gradient),
    test("unanimous", "values groups that agree, or all but agree", &[Role::Objective], objective::unanimous),
    test("renaming", "depends on no order of prompts and no names of answers", &[Role::Objective], objective::renaming),
    test("fuel-grows-linearly", "needs fuel in proportion to its input", &[], fuel::linear),
    test("twins-agree", "returns the same bits as a component and as a library", &[], twins::agree),
];

const fn test(
    name: &'static str,
    shows: &'static str,
    roles: &'static [Role],
    run: fn(&Case<'_>) -> Result<(), Outcome>,
) -> Test {
    Test { name, shows, roles, run }
}

/// A plugin under test, with the data that the tests need.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The plugin.
    pub subject: &'a dyn Subject,
    /// The same source in its other form.
    pub twin: Option<&'a dyn Subject>,
    /// The data of `kit.json`.
    pub settings: &'a Settings,
    /// Seed of every random input. Equal seeds give equal outcomes.
    pub seed: u64,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("settings", &self.settings).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Test {
    /// Returns the test of this name.
    pub fn named(name: &str) -> Option<Self> {
        TESTS.into_iter().find(|test| test.name == name)
    }

    /// Runs the test under each configuration of the settings. Returns the most severe outcome.
    pub fn run(&self, trial: &Trial<'_>) -> Outcome {
        let configs = trial.settings.configurations();
        let outcomes = configs.iter().map(|config| match self.run_under(trial, config) {
            Outcome::Failed(reason) if configs.len() > 1 => Outcome::Failed(format!("under {config}: {reason}")),
            Outcome::Crashed(reason) if configs.len() > 1 => Outcome::Crashed(format!("under {config}: {reason}")),
            outcome => outcome,
        });
        outcomes.max_by_key(Outcome::severity).expect("settings have a configuration")
    }

    fn run_under(&self, trial: &Trial<'_>, config: &str) -> Outcome {
        let Trial { subject, twin, settings, seed } = *trial;
        let roles = subject.roles();
        if !self.roles.is_empty() && !self.roles.iter().any(|role| roles.has(*role)) {
            let names: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
            return Outcome::Skipped(format!("it is not a {}", names.join(" or ")));
        }
        // Most tests make no call to a plugin without a role, and must not pass for that.
        if self.name != TESTS[0].name && roles.is_empty() {
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

/// Runs the test of this name. Panics unless the plugin passes or the test is skipped.
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
    fn names_are_unique_and_found() {
        for test in TESTS {
            assert_eq!(TESTS.iter().filter(|other| other.name == test.name).count(), 1, "{}", test.name);
            assert_eq!(Test::named(test.name).map(|found| found.shows), Some(test.shows));
        }
    }

    #[test]
    fn the_macro_runs_every_test_that_a_linked_plugin_can_take() {
        let listed = |name: &str| {
            let mut words = include_str!("macros.rs").split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == name.replace('-', "_"))
        };
        let left_out: Vec<&str> = TESTS.iter().map(|test| test.name).filter(|name| !listed(name)).collect();
        assert_eq!(left_out, ["fuel-grows-linearly", "twins-agree"]);
    }
}
