//! `alft plugin check`: the conformance tests, each in a child process, and the abuse table.

use std::path::Path;
use std::time::Duration;

use alft_conformance::abuse::{Earning, Row};
use alft_conformance::{Outcome, TESTS, Test};
use alft_fs::nearest;
use alft_plugin_host::lock::Conformance;
use alft_plugin_host::{Limits, Worker};
use alft_runtime::conformance::{TestRun, TestSetup, count_outcomes, run_tests};
use alft_text::Foreign;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use serde_json::Value;

use super::target::TargetArgs;
use crate::engine;
use crate::error::{Error, Result};
use crate::print;

/// Run the conformance tests on a plugin, and show the rewards of known hacks.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin check plugins/pass-at-k --config '{\"k\": 2, \"verifier\": \"verifier\"}'\n\n\
Every test runs in a child process, so a crash or an endless loop is the outcome of that test. A project's kit.json holds \
the data that its tests need: configs, question, completion, answers, verifiers. A project in Rust or C is built as a \
component and as a native library, which must agree to the last bit. Exit code 0 if no test failed or crashed, else 5. \
The abuse table is for you to judge: a hack that earns and should not is a warning.")]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The seed of every random input
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run the test of this name alone
    #[arg(long, value_name = "TEST")]
    only: Option<String>,
    /// Time limit of each test, in seconds
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    seconds: u64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The abuse table under a configuration.
#[derive(Debug, Serialize)]
struct AbuseTable {
    config: String,
    rows: Vec<Row>,
    /// The reason why the table could not be made.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    plugin: &'a Path,
    seed: u64,
    #[serde(flatten)]
    conformance: Conformance,
    tests: &'a [TestRun],
    abuse: &'a [AbuseTable],
}

pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    let only = args.only.as_deref().map(find_test).transpose()?;
    let (target, settings) = args.target.find()?;
    let setup = TestSetup {
        settings,
        twin: target.build_twin()?,
        file: target.file,
        trust_native: args.target.trust_native,
        limits: args.target.limits.clone(),
        seed: args.seed,
    };
    let time_limit = Duration::from_secs(args.seconds);
    let child = engine::check_child()?;
    let tests = run_tests(&setup, &child, only, time_limit, |test| {
        if !args.json {
            print_test(test, args);
        }
    });
    let abuse = match only {
        None if tests[0].passes() => abuse_tables(&setup, &child, time_limit),
        _ => Vec::new(),
    };
    let conformance = count_outcomes(&tests);
    if args.json {
        let report = Report { plugin: &setup.file, seed: args.seed, conformance, tests: &tests, abuse: &abuse };
        print::json(&report);
    } else {
        abuse.iter().for_each(print_abuse);
        let Conformance { passed, failed, crashed, skipped, version } = conformance;
        say!("");
        say!("{passed} passed, {failed} failed, {crashed} crashed, {skipped} skipped (tests of version {version})");
    }
    let failed: Vec<&str> = tests.iter().filter(|run| !run.passes()).map(|run| run.test).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Check { plugin: args.target.plugin.clone(), tests: failed.join(", ") })
}

/// Makes the abuse table under each configuration. A plugin that is an objective only has none.
fn abuse_tables(setup: &TestSetup, child: &Worker, time_limit: Duration) -> Vec<AbuseTable> {
    let configs = setup.settings.configs.iter().map(|config| Value::Object(config.clone()).to_string());
    let tables = configs.map(|config| match setup.abuse_table(child, &config, time_limit) {
        Ok(rows) => AbuseTable { config, rows, reason: None },
        Err(reason) => AbuseTable { config, rows: Vec::new(), reason: Some(reason) },
    });
    tables.collect()
}

/// Finds the test that `--only` names.
fn find_test(name: &str) -> Result<Test> {
    Test::named(name).ok_or_else(|| {
        let names = TESTS.map(|test| test.name);
        let near = nearest(name, &names).unwrap_or(names[0]);
        Error::NoTest { name: name.into(), near, names: names.join(", ") }
    })
}

fn print_test(run: &TestRun, args: &CheckArgs) {
    let shows = Test::named(run.test).map_or("", |test| test.shows);
    let reason = if run.outcome == Outcome::Passed { shows } else { run.outcome.reason() };
    say!("{:<8} {:<22} {:>6} ms  {}", run.outcome.name(), run.test, run.milliseconds, single_line(reason));
    if !run.passes() {
        say!("{:<42}again: alft plugin check {}", "", rerun_arguments(args, run));
    }
}

/// Returns the arguments that run one test again.
fn rerun_arguments(args: &CheckArgs, run: &TestRun) -> String {
    let target = &args.target;
    let mut arguments = format!("{} --only {} --seed {}", Foreign::path(&target.plugin), run.test, run.seed);
    if let Some(config) = &target.config {
        arguments += &format!(" --config '{}'", Value::Object(config.clone()));
    }
    if target.limits != Limits::default() {
        arguments += &format!(" --limits '{}'", serde_json::to_string(&target.limits).expect("limits are plain data"));
    }
    if let Some(kit) = &target.kit {
        arguments += &format!(" --kit {}", Foreign::path(&kit));
    }
    if target.trust_native {
        arguments += " --trust-native";
    }
    arguments
}

fn print_abuse(table: &AbuseTable) {
    if let Some(reason) = &table.reason {
        say!("");
        say!("no abuse table under {}: {}", table.config, single_line(reason));
    }
    for rows in table.rows.chunk_by(|a, b| a.role == b.role) {
        say!("");
        say!("hacks of the {} under {}", rows[0].role, table.config);
        say!("  {:<30} {:<26} {:<14} {:>7}  verdict", "hack", "text", "key", "score");
        for row in rows {
            let key = row.key.as_deref().map_or("–".into(), |key| cell(key, 14));
            let score = row.score.map_or("–".into(), |score| cell(&format!("{score:?}"), 7));
            say!("  {:<30} {:<26} {key:<14} {score:>7}  {}", row.hack, cell(&row.text, 26), verdict(row));
        }
        let suspects = rows.iter().filter(|row| row.suspect).count();
        if suspects > 0 {
            say!("  {suspects} of these hacks earn and should not: a policy in training will find them");
        }
    }
}

fn verdict(row: &Row) -> &'static str {
    match row.earning {
        Earning::Earns if row.suspect => "earns, and should not",
        Earning::Earns => "earns",
        Earning::Nothing => "earns nothing",
        Earning::Unreadable => "unreadable",
        Earning::Refused => "an error: no score",
        Earning::Broken => "broken: see the tests",
    }
}

/// Replaces line breaks and other white space by single spaces: the message of a panic has several lines.
fn single_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Fits a text into `width` columns, without characters that move the cursor. A long text keeps its beginning and its end.
fn cell(text: &str, width: usize) -> String {
    let shown: Vec<char> = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    if shown.len() <= width {
        return shown.into_iter().collect();
    }
    let half = (width - 1) / 2;
    shown[..width - 1 - half].iter().chain(&['…']).chain(&shown[shown.len() - half..]).collect()
}
