//! All conformance tests on one plugin.

use std::time::{Duration, Instant};

use alft_conformance::{Outcome, TESTS, Test, VERSION};
use alft_plugin_host::Worker;
use alft_plugin_host::lock::Conformance;
use serde::Serialize;

use super::child::TestSetup;

/// A test that was run or skipped.
#[derive(Debug, Serialize)]
pub struct TestRun {
    /// The test's name.
    pub test: &'static str,
    /// The outcome, with its reason.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The seed of the test's random inputs.
    pub seed: u64,
    /// Wall-clock time.
    pub milliseconds: u64,
}

impl TestRun {
    /// Returns true unless the test failed or crashed.
    pub fn passes(&self) -> bool {
        matches!(self.outcome, Outcome::Passed | Outcome::Skipped(_))
    }
}

/// Runs `only`, or every test, each in a process of the program `child`. `report` is called after each test.
pub fn run_tests(
    setup: &TestSetup,
    child: &Worker,
    only: Option<Test>,
    time_limit: Duration,
    report: impl Fn(&TestRun),
) -> Vec<TestRun> {
    let mut runs: Vec<TestRun> = Vec::new();
    for test in TESTS.into_iter().filter(|test| only.is_none_or(|only| only.name == test.name)) {
        let started = Instant::now();
        // A plugin that does not describe itself fails every other test for the same reason.
        let outcome = match runs.first() {
            Some(first) if !first.passes() => Outcome::Skipped(format!("see {}", first.test)),
            _ => setup.run_test(child, test, time_limit),
        };
        let milliseconds = started.elapsed().as_millis() as u64;
        let run = TestRun { test: test.name, outcome, seed: setup.seed, milliseconds };
        report(&run);
        runs.push(run);
    }
    runs
}

/// Counts the outcomes of tests, for `alft.lock`.
pub fn count_outcomes(tests: &[TestRun]) -> Conformance {
    let count = |name: &str| tests.iter().filter(|run| run.outcome.name() == name).count() as u32;
    Conformance {
        passed: count("passed"),
        failed: count("failed"),
        crashed: count("crashed"),
        skipped: count("skipped"),
        version: VERSION,
    }
}
