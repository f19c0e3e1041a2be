//! `alft plugin bench`: what a call costs, against a budget.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alft_conformance::{Fault, Settings, Subject, load};
use alft_plugin_host::{Form, Limits};
use alft_sdk::batch::Role;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use serde_json::{Map, Value};

use super::given::{self, Given};
use super::loaded::Loaded;
use crate::engine;
use crate::error::{Error, Result};

/// Measure what a plugin's calls cost, against a budget.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin bench plugins/arithmetic --budget-ms 5 --fuel-budget 2000000\n\n\
A call judges a group of 1, 8 or 64 completions or answers of 200 bytes, or a bundle of as many samples, in a fresh \
instance each. Budgets are for calls of 8: time for the 99th percentile, fuel for the dearest. Exit code 0 within them, \
else 5.")]
pub(crate) struct BenchArgs {
    /// A component, a native library, or the folder of a project, which is built first
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// Under this configuration, a JSON object (default: the first of kit.json, or {})
    #[arg(long, value_name = "JSON", value_parser = given::config)]
    config: Option<Map<String, Value>>,
    /// What it needs in order to be called (default: kit.json in the project's folder)
    #[arg(long, value_name = "FILE.json")]
    kit: Option<PathBuf>,
    /// For how long to measure each kind of call, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    measure_ms: u64,
    /// What a call of 8 may take, in milliseconds
    #[arg(long, value_name = "X")]
    budget_ms: Option<f64>,
    /// What fuel a call of 8 may take
    #[arg(long, value_name = "N")]
    fuel_budget: Option<u64>,
    /// Under these limits: a JSON object with keys of the run file's `[limits]`
    #[arg(long, value_name = "JSON", value_parser = given::limits, default_value = "{}")]
    limits: Limits,
    /// Let a native library run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Answers of a call, and the number that budgets are for.
const GROUPS: [usize; 3] = [1, BUDGETED, 64];
const BUDGETED: usize = 8;

/// Bytes of a completion or an answer.
const BYTES: usize = 200;

/// Calls are over so many inputs in turn, and over each once at least.
const INPUTS: u64 = 32;

/// What calls of one kind cost.
#[derive(Debug, Serialize)]
struct Row {
    role: String,
    answers: usize,
    calls: usize,
    calls_per_second: f64,
    answers_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Of the dearest call; none for a library, which is not metered.
    fuel_per_call: Option<u64>,
    fuel_per_answer: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    plugin: PathBuf,
    form: Form,
    config: &'a str,
    rows: &'a [Row],
    /// Linear memory of the largest instance, in bytes; none for a library.
    memory: Option<usize>,
    over_budget: &'a [String],
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let given = Given::of(&args.plugin)?;
    let settings = given.settings(args.kit.as_deref(), args.config.as_ref())?;
    let config = Value::Object(settings.configs[0].clone()).to_string();
    let unusable = |reason: String| Error::Plugin { name: args.plugin.display().to_string(), reason };
    let plugin =
        Loaded::new(&engine::start(&args.limits)?, given.file.clone(), args.trust_native, &args.limits, config.clone());
    let form = plugin.plugin(&config).map_err(|error| unusable(error.to_string()))?.form();

    if !args.json {
        say!("{}, a {form}, under {config}", given.file.display());
        say!(
            "{:<10} {:>7} {:>11} {:>11} {:>9} {:>9} {:>12} {:>12}",
            "role",
            "answers",
            "calls/s",
            "answers/s",
            "p50 µs",
            "p99 µs",
            "fuel/call",
            "fuel/answer"
        );
    }
    let mut rows = Vec::new();
    for role in plugin.roles().iter() {
        for answers in GROUPS {
            let call = |seed| call(&plugin, &config, &settings, role, answers, seed);
            let row = measure(role, answers, Duration::from_millis(args.measure_ms), &call);
            let row = row.map_err(|fault| unusable(format!("as a {role}: {fault}")))?;
            if !args.json {
                print(&row);
            }
            rows.push(row);
        }
    }
    let memory = (form == Form::Component).then(|| plugin.bill().memory);
    let over = over_budget(args, &rows);
    if args.json {
        let report = Report { plugin: given.file, form, config: &config, rows: &rows, memory, over_budget: &over };
        say!("{}", serde_json::to_string(&report).expect("a report is plain data"));
    } else if let Some(memory) = memory {
        say!("the largest instance had {:.1} MB of memory", memory as f64 / 1e6);
    }
    if over.is_empty() { Ok(()) } else { Err(Error::Budget { plugin: args.plugin.clone(), over: over.join("; ") }) }
}

/// How long a call took and what fuel it used. Its input is made before.
fn call(
    plugin: &Loaded,
    config: &str,
    settings: &Settings,
    role: Role,
    answers: usize,
    seed: u64,
) -> Result<(Duration, Option<u64>), Fault> {
    let batch = load::batch(settings, role, answers, BYTES, seed);
    let begun = Instant::now();
    let reply = plugin.call(config, &batch);
    let time = begun.elapsed();
    reply.result.map(|_| (time, reply.fuel))
}

fn measure(
    role: Role,
    answers: usize,
    length: Duration,
    call: &dyn Fn(u64) -> Result<(Duration, Option<u64>), Fault>,
) -> Result<Row, Fault> {
    // The first call of a process pays for pages and caches.
    call(0)?;
    let mut times = Vec::new();
    let mut fuel = None;
    let mut total = Duration::ZERO;
    while total < length || (times.len() as u64) < INPUTS {
        let (time, used) = call(times.len() as u64 % INPUTS)?;
        total += time;
        fuel = fuel.max(used);
        times.push(time);
    }
    times.sort_unstable();
    let micros = |quantile: f64| {
        let at = (quantile * times.len() as f64).ceil() as usize;
        times[at.clamp(1, times.len()) - 1].as_secs_f64() * 1e6
    };
    let calls_per_second = times.len() as f64 / total.as_secs_f64();
    Ok(Row {
        role: role.to_string(),
        answers,
        calls: times.len(),
        calls_per_second,
        answers_per_second: calls_per_second * answers as f64,
        p50_us: micros(0.5),
        p99_us: micros(0.99),
        fuel_per_call: fuel,
        fuel_per_answer: fuel.map(|fuel| fuel / answers as u64),
    })
}

fn over_budget(args: &BenchArgs, rows: &[Row]) -> Vec<String> {
    let mut over = Vec::new();
    for row in rows.iter().filter(|row| row.answers == BUDGETED) {
        let time = row.p99_us / 1e3;
        if let Some(budget) = args.budget_ms.filter(|budget| time > *budget) {
            over.push(format!("as a {} a call takes {time:.3} ms of {budget} (p99)", row.role));
        }
        if let (Some(budget), Some(fuel)) = (args.fuel_budget, row.fuel_per_call)
            && fuel > budget
        {
            over.push(format!("as a {} a call takes {fuel} units of fuel of {budget}", row.role));
        }
    }
    over
}

fn print(row: &Row) {
    let fuel = |fuel: Option<u64>| fuel.map_or("–".into(), |fuel| fuel.to_string());
    say!(
        "{:<10} {:>7} {:>11.0} {:>11.0} {:>9.1} {:>9.1} {:>12} {:>12}",
        row.role,
        row.answers,
        row.calls_per_second,
        row.answers_per_second,
        row.p50_us,
        row.p99_us,
        fuel(row.fuel_per_call),
        fuel(row.fuel_per_answer)
    );
}
