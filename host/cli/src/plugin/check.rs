//! `alft plugin check`: the conformance kit on a plugin, each test in a process of its own.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alft_conformance::{Outcome, Settings, TESTS, Test, VERSION, abuse};
use alft_plugin_host::Limits;
use alft_plugin_host::lock::Verdict;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use serde_json::{Map, Value};

use super::child::{Answer, Job, Task};
use super::given::{self, Given};
use crate::error::{Error, Result};

/// Prove a plugin right before anyone trusts it: the conformance kit.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin check plugins/pass-at-k --config '{\"k\": 2, \"verifier\": \"verifier\"}'\n\n\
Every test runs in a process of its own, so a crash or an endless loop is that test's outcome. A project may say in \
kit.json what it needs to be tested: configs, question, completion, answers, verifiers. A crate is checked as a component, \
and its native library must agree with that to the last bit. Exit code 0 when nothing failed or crashed, else 5. What \
hacks would earn is for you to judge: a suspect line there is a warning.")]
pub(crate) struct CheckArgs {
    /// A component, a native library, or the folder of a project, which is built first
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// Test it under this configuration, a JSON object (default: those of kit.json, or {})
    #[arg(long, value_name = "JSON", value_parser = given::config)]
    config: Option<Map<String, Value>>,
    /// What it needs in order to be tested (default: kit.json in the project's folder)
    #[arg(long, value_name = "FILE.json")]
    kit: Option<PathBuf>,
    /// Under these limits: a JSON object with keys of the run file's `[limits]`
    #[arg(long, value_name = "JSON", value_parser = given::limits, default_value = "{}")]
    limits: Limits,
    /// The seed of every random input
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Run the test of this name alone
    #[arg(long, value_name = "TEST")]
    only: Option<String>,
    /// How long a test may take, in seconds
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    seconds: u64,
    /// Let a native library run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A plugin, and how it is checked.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) file: PathBuf,
    /// The native library of the same source.
    pub(crate) twin: Option<PathBuf>,
    pub(crate) trust_native: bool,
    pub(crate) limits: Limits,
    pub(crate) settings: Settings,
    pub(crate) seed: u64,
    /// For each test.
    pub(crate) limit: Duration,
}

/// A test that ran.
#[derive(Debug, Serialize)]
struct Ran {
    test: &'static str,
    #[serde(flatten)]
    outcome: Outcome,
    seed: u64,
    milliseconds: u64,
}

/// The abuse table under a configuration.
#[derive(Debug, Serialize)]
struct Abuse {
    config: String,
    rows: Vec<abuse::Row>,
    /// Why there are no rows.
    reason: Option<String>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    plugin: &'a Path,
    seed: u64,
    #[serde(flatten)]
    verdict: Verdict,
    tests: &'a [Ran],
    abuse: &'a [Abuse],
}

pub(crate) fn run(args: &CheckArgs) -> Result<()> {
    let only = args.only.as_deref().map(|name| Test::named(name).ok_or_else(|| unknown(name))).transpose()?;
    let given = Given::of(&args.plugin)?.with_twin()?;
    let check = Check {
        settings: given.settings(args.kit.as_deref(), args.config.as_ref())?,
        file: given.file,
        twin: given.twin,
        trust_native: args.trust_native,
        limits: args.limits.clone(),
        seed: args.seed,
        limit: Duration::from_secs(args.seconds),
    };
    let mut tests = Vec::new();
    check.tests(only, &mut |ran| {
        if !args.json {
            print(&ran, args);
        }
        tests.push(ran);
    });
    let abuse = if only.is_none() && ok(&tests[0].outcome) { check.abuse() } else { Vec::new() };
    let verdict = counted(&tests);
    if args.json {
        let report = Report { plugin: &check.file, seed: args.seed, verdict, tests: &tests, abuse: &abuse };
        say!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else {
        abuse.iter().filter(|abuse| !abuse.rows.is_empty() || abuse.reason.is_some()).for_each(print_abuse);
        let Verdict { passed, failed, crashed, skipped, kit_version } = verdict;
        say!("\n{passed} passed, {failed} failed, {crashed} crashed, {skipped} skipped (kit {kit_version})");
    }
    let failed: Vec<&str> = tests.iter().filter(|ran| !ok(&ran.outcome)).map(|ran| ran.test).collect();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Error::Check { plugin: args.plugin.clone(), tests: failed.join(", ") })
}

/// What the kit says of a plugin, in numbers: for its place in the lock.
pub(crate) fn verdict(check: &Check) -> Verdict {
    let mut tests = Vec::new();
    check.tests(None, &mut |ran| tests.push(ran));
    counted(&tests)
}

/// For `--only`.
pub(super) fn unknown(name: &str) -> Error {
    let near = TESTS.iter().max_by(|a, b| {
        let likeness = |test: &Test| strsim::jaro_winkler(test.name, name);
        likeness(a).total_cmp(&likeness(b))
    });
    let near = near.map_or("", |test| test.name);
    let names: Vec<&str> = TESTS.iter().map(|test| test.name).collect();
    Error::NoTest { name: name.into(), near, names: names.join(", ") }
}

impl Check {
    /// Runs `only`, or every test. A plugin that does not describe itself cannot be asked for more.
    fn tests(&self, only: Option<Test>, done: &mut dyn FnMut(Ran)) {
        let mut describes = true;
        let tests = TESTS.into_iter().filter(|test| only.is_none_or(|only| only.name == test.name));
        for (at, test) in tests.enumerate() {
            let ran = match describes {
                true => self.test(test),
                false => {
                    let reason = format!("see {}", TESTS[0].name);
                    Ran { test: test.name, outcome: Outcome::Skipped(reason), seed: self.seed, milliseconds: 0 }
                }
            };
            describes = describes && (at > 0 || only.is_some() || ok(&ran.outcome));
            done(ran);
        }
    }

    fn test(&self, test: Test) -> Ran {
        let begun = Instant::now();
        let outcome = match self.job(Task::Test(test.name.into())).run(self.limit) {
            Ok(Answer::Test(outcome)) => outcome,
            Ok(_) => Outcome::Crashed("its process gave another answer".into()),
            Err(how) => Outcome::Crashed(how),
        };
        Ran { test: test.name, outcome, seed: self.seed, milliseconds: begun.elapsed().as_millis() as u64 }
    }

    fn abuse(&self) -> Vec<Abuse> {
        let table = |config: &Map<String, Value>| {
            let config = Value::Object(config.clone()).to_string();
            let (rows, reason) = match self.job(Task::Abuse(config.clone())).run(self.limit) {
                Ok(Answer::Abuse(rows)) => (rows, None),
                Ok(Answer::NoAbuse(reason)) | Err(reason) => (Vec::new(), Some(reason)),
                Ok(Answer::Test(_)) => (Vec::new(), Some("its process gave another answer".into())),
            };
            Abuse { config, rows, reason }
        };
        self.settings.configs.iter().map(table).collect()
    }

    fn job(&self, task: Task) -> Job {
        Job {
            file: self.file.clone(),
            twin: self.twin.clone(),
            trust_native: self.trust_native,
            limits: self.limits.clone(),
            settings: self.settings.clone(),
            seed: self.seed,
            task,
        }
    }
}

fn counted(tests: &[Ran]) -> Verdict {
    let count = |name: &str| tests.iter().filter(|ran| ran.outcome.name() == name).count() as u32;
    Verdict {
        passed: count("passed"),
        failed: count("failed"),
        crashed: count("crashed"),
        skipped: count("skipped"),
        kit_version: VERSION,
    }
}

fn ok(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Passed | Outcome::Skipped(_))
}

fn print(ran: &Ran, args: &CheckArgs) {
    let shows = Test::named(ran.test).map_or("", |test| test.shows);
    let reason = if ran.outcome == Outcome::Passed { shows } else { ran.outcome.reason() };
    // A panic's message has lines of its own.
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    say!("{:<8} {:<22} {:>6} ms  {reason}", ran.outcome.name(), ran.test, ran.milliseconds);
    if !ok(&ran.outcome) {
        say!("{:<42}again: alft plugin check {}", "", again(args, ran));
    }
}

/// The arguments that run a test again.
fn again(args: &CheckArgs, ran: &Ran) -> String {
    let mut again = format!("{} --only {} --seed {}", args.plugin.display(), ran.test, ran.seed);
    if let Some(config) = &args.config {
        again += &format!(" --config '{}'", Value::Object(config.clone()));
    }
    if args.limits != Limits::default() {
        again += &format!(" --limits '{}'", serde_json::to_string(&args.limits).expect("limits print"));
    }
    if let Some(kit) = &args.kit {
        again += &format!(" --kit {}", kit.display());
    }
    if args.trust_native {
        again += " --trust-native";
    }
    again
}

fn print_abuse(abuse: &Abuse) {
    say!("\nwhat a hack would earn under {}", abuse.config);
    if let Some(reason) = &abuse.reason {
        say!("  no table: {}", reason.split_whitespace().collect::<Vec<_>>().join(" "));
        return;
    }
    say!("  {:<30} {:<26} {:<14} {:>7}  verdict", "hack", "text", "key", "score");
    for row in &abuse.rows {
        let key = row.key.as_deref().map_or("–".into(), |key| cell(key, 14));
        let score = row.score.map_or("–".into(), |score| cell(&score.to_string(), 7));
        let verdict = match row.earning {
            abuse::Earning::Earns if row.suspect => "earns, and should not",
            abuse::Earning::Earns => "earns",
            abuse::Earning::Nothing => "earns nothing",
            abuse::Earning::Unreadable => "unreadable",
            abuse::Earning::Refused => "an error: no score",
            abuse::Earning::Broken => "broken: see the tests",
        };
        say!("  {:<30} {:<26} {key:<14} {score:>7}  {verdict}", row.hack, cell(&row.text, 26));
    }
    let suspects = abuse.rows.iter().filter(|row| row.suspect).count();
    if suspects > 0 {
        say!("  {suspects} of these earn where they should not: a policy in training will find them");
    }
}

/// A text in so many columns, without what would move the cursor. Its end tells more than its middle.
fn cell(text: &str, width: usize) -> String {
    let shown: Vec<char> = text.chars().map(|c| if c.is_control() || c.is_whitespace() { ' ' } else { c }).collect();
    if shown.len() <= width {
        return shown.into_iter().collect();
    }
    let half = (width - 1) / 2;
    shown[..width - 1 - half].iter().chain(&['…']).chain(&shown[shown.len() - half..]).collect()
}
