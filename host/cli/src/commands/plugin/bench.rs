//! `alft plugin bench`: the cost of a call, against a budget.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alft_conformance::{Settings, load};
use alft_plugin_host::{Failure, Form, Plugin, Usage};
use alft_sdk::roles::Role;
use alft_text::Foreign;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;
use serde_json::Value;

use super::target::TargetArgs;
use crate::error::{Error, Result};
use crate::print;

/// Measure the cost of a plugin's calls, against a budget.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin bench plugins/arithmetic --budget-ms 5 --fuel-budget 2000000\n\n\
Every call has a fresh instance and a batch of one prompt: 1, 8 or 64 completions or answers of 200 bytes, or a bundle of \
1, 8 or 64 samples. Budgets are for the calls with 8: the 99th percentile of the time, and the most fuel. Exit code 0 \
within the budgets, else 5.")]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Time to measure each role and size for, in milliseconds
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = RangedU64ValueParser::<u64>::new().range(1..))]
    measure_ms: u64,
    /// Budget of a call with 8 answers, in milliseconds
    #[arg(long, value_name = "X")]
    budget_ms: Option<f64>,
    /// Budget of a call with 8 answers, in units of fuel
    #[arg(long, value_name = "N")]
    fuel_budget: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// Numbers of answers in a call.
const SIZES: [usize; 3] = [1, BUDGET_SIZE, 64];

/// The number of answers in the calls that budgets are for.
const BUDGET_SIZE: usize = 8;

/// Bytes of a completion or an answer.
const TEXT_BYTES: usize = 200;

/// Number of different inputs. Each is used at least once, in turn.
const INPUTS: u64 = 32;

/// The cost of the calls of one role and size.
#[derive(Debug, Serialize)]
struct Row {
    role: Role,
    answers: usize,
    calls: usize,
    calls_per_second: f64,
    answers_per_second: f64,
    p50_us: f64,
    p99_us: f64,
    /// Fuel of the call that used the most; none for a native library, which is not metered.
    fuel_per_call: Option<u64>,
    fuel_per_answer: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    plugin: PathBuf,
    form: Form,
    config: &'a str,
    rows: &'a [Row],
    /// Bytes of linear memory of the largest instance; none for a native library.
    memory: Option<usize>,
    over_budget: &'a [String],
}

/// A call that failed while it was measured.
#[derive(Debug, thiserror::Error)]
#[error("its {role} fails on a generated input; give it a question that it can answer in kit.json, or with --kit")]
struct CallError {
    role: Role,
    source: Failure,
}

pub(crate) fn run(args: &BenchArgs) -> Result<()> {
    let name = args.target.name();
    let (target, settings) = args.target.find()?;
    let config = Value::Object(settings.configs[0].clone()).to_string();
    let plugin = args.target.open(&target, &config)?.map_err(Error::open(&name))?;
    let form = plugin.form();

    if !args.json {
        say!("{}, a {form}, under {config}", Foreign::path(&target.file));
        say!("role       answers     calls/s   answers/s    p50 µs    p99 µs    fuel/call  fuel/answer");
    }
    let mut rows = Vec::new();
    let mut usage = Usage::default();
    for (role, answers) in plugin.roles().iter().flat_map(|role| SIZES.map(|answers| (role, answers))) {
        let duration = Duration::from_millis(args.measure_ms);
        let row = measure(&plugin, &settings, role, answers, duration, &mut usage)
            .map_err(|source| Error::plugin(&name)(CallError { role, source }))?;
        if !args.json {
            print_row(&row);
        }
        rows.push(row);
    }
    let memory = (form == Form::Component).then_some(usage.memory);
    let over = over_budget(args, &rows);
    if args.json {
        let report = Report { plugin: target.file, form, config: &config, rows: &rows, memory, over_budget: &over };
        print::json(&report);
    } else if let Some(memory) = memory {
        say!("the largest instance had {:.1} MB of memory", memory as f64 / 1e6);
    }
    if over.is_empty() {
        return Ok(());
    }
    Err(Error::Budget { plugin: args.target.plugin.clone(), over: over.join("; ") })
}

/// Calls the plugin with batches of `answers` answers for `duration`. Adds the calls' resources to `usage`.
fn measure(
    plugin: &Plugin,
    settings: &Settings,
    role: Role,
    answers: usize,
    duration: Duration,
    usage: &mut Usage,
) -> Result<Row, Failure> {
    // The input is made before the clock starts.
    let call = |seed: u64| {
        let batch = load::batch(settings, role, answers, TEXT_BYTES, seed);
        let started = Instant::now();
        let called = plugin.call(&batch);
        let time = started.elapsed();
        called.items.into_iter().find_map(Result::err).map_or(Ok((time, called.usage)), Err)
    };
    // The first call of a process pays for pages and caches.
    call(0)?;
    let mut times = Vec::new();
    let (mut fuel, mut total) = (0, Duration::ZERO);
    while total < duration || (times.len() as u64) < INPUTS {
        let (time, used) = call(times.len() as u64 % INPUTS)?;
        usage.add(used);
        fuel = fuel.max(used.fuel);
        total += time;
        times.push(time);
    }
    times.sort_unstable();
    let micros = |quantile: f64| {
        let rank = (quantile * times.len() as f64).ceil() as usize;
        times[rank.clamp(1, times.len()) - 1].as_secs_f64() * 1e6
    };
    let calls_per_second = times.len() as f64 / total.as_secs_f64();
    let fuel = (plugin.form() == Form::Component).then_some(fuel);
    Ok(Row {
        role,
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
    for row in rows.iter().filter(|row| row.answers == BUDGET_SIZE) {
        let time = row.p99_us / 1e3;
        if let Some(budget) = args.budget_ms.filter(|budget| time > *budget) {
            over.push(format!("a call of the {} needs {time:.3} ms of {budget} (p99)", row.role));
        }
        if let (Some(budget), Some(fuel)) = (args.fuel_budget, row.fuel_per_call)
            && fuel > budget
        {
            over.push(format!("a call of the {} needs {fuel} units of fuel of {budget}", row.role));
        }
    }
    over
}

fn print_row(row: &Row) {
    let Row { role, answers, calls_per_second, answers_per_second, p50_us, p99_us, .. } = row;
    let fuel = |fuel: Option<u64>| fuel.map_or("–".into(), |fuel| fuel.to_string());
    let (fuel_per_call, fuel_per_answer) = (fuel(row.fuel_per_call), fuel(row.fuel_per_answer));
    say!(
        "{role:<10} {answers:>7} {calls_per_second:>11.0} {answers_per_second:>11.0} {p50_us:>9.1} {p99_us:>9.1} \
         {fuel_per_call:>12} {fuel_per_answer:>12}"
    );
}
