//! The list of tests and of hacks. Each test is a function of a [`Case`] that returns the reason if the plugin does not
//! pass. A new role has a file here, and its lines in the three lists below.

mod answer_hacks;
mod batches;
mod completion_hacks;
mod fuel;
mod general;
mod grader;
mod hostile;
mod objective;
mod reader;
mod score_range;
mod tolerance;
mod twins;
mod verifier;

use std::path::Path;

use alft_sdk::roles::Role;

use crate::abuse::Row;
use crate::case::Case;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::subject::{Fault, Subject};
use crate::test::{DESCRIBES_ITSELF, Test, Trial, test};

/// Version of the kit. It rises when a test is added, removed or changed: a verdict is about the version that gave it.
pub const VERSION: u32 = 3;

/// Every test, in the order in which they run.
pub const TESTS: [Test; 19] = [
    test(DESCRIBES_ITSELF, "has a manifest, and promises that its roles can keep", &[], general::describes_itself),
    test("hostile-configuration", "survives any text as a configuration", &[], general::hostile_configuration),
    test("order-of-calls", "returns the same results whatever was called before", &[], general::order_of_calls),
    test(
        "batch-equals-singles",
        "returns for an item of any batch what it returns for it alone",
        &[],
        batches::independent,
    ),
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

/// The tests that a plugin linked into its own tests can take: all but those that need a sandbox or another form.
#[doc(hidden)]
#[macro_export]
macro_rules! __suite {
    () => {
        $crate::__tests! {
            describes_itself hostile_configuration order_of_calls batch_equals_singles empty huge unicode adversarial
            reads_the_answer same_text_same_key
            grades_the_completion
            right_answer score_range
            concave gradient unanimous renaming
        }
    };
}

type Hacks = fn(&Case<'_>) -> Result<Vec<Row>, Fault>;

/// The tables of hacks, each empty for a plugin without the roles that it is about.
const HACKS: [Hacks; 2] = [answer_hacks::rows, completion_hacks::rows];

/// Makes the [abuse table](crate::abuse) under a configuration: the hacks of answers for a reader or verifier, then the hacks of completions
/// for a grader. The table is empty for a plugin that is an objective only.
///
/// # Errors
/// The plugin fails on a plain answer or completion.
pub fn abuse_table(subject: &dyn Subject, settings: &Settings, config: &str) -> Result<Vec<Row>, Fault> {
    let case = Case { subject, twin: None, settings, config, seed: 0 };
    let mut rows = Vec::new();
    for hacks in HACKS {
        rows.extend(hacks(&case)?);
    }
    Ok(rows)
}

impl Test {
    /// Returns the test of this name.
    pub fn named(name: &str) -> Option<Self> {
        TESTS.into_iter().find(|test| test.name == name)
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

#[doc(hidden)]
#[macro_export]
macro_rules! __tests {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::pass(stringify!($name), &subject(), env!("CARGO_MANIFEST_DIR"));
            }
        )*
    };
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
            let mut words = include_str!("mod.rs").split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == name.replace('-', "_"))
        };
        let left_out: Vec<&str> = TESTS.iter().map(|test| test.name).filter(|name| !listed(name)).collect();
        assert_eq!(left_out, ["fuel-grows-linearly", "twins-agree"]);
    }
}
