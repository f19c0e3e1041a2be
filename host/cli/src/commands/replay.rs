//! `alft replay`: repeats every recorded call of a run, and compares outputs and fuel to the last bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alft_plugin_host::ledger::{self, PluginRecord, Record, replay};
use alft_plugin_host::{Call, Engine, FUEL_RULES, Limits, NativeTrust, Plugin, WASMTIME};
use alft_runtime::record::RunDir;
use serde::Serialize;

use crate::engine;
use crate::error::{Error, Result};
use crate::print;
use crate::progress::Progress;

/// Repeat the plugin calls of a run, and verify that their results are the same.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft replay runs/quickstart\n\n\
The run's ledger records every call of every plugin: input, output and fuel. The plugins' files are those that the run's \
folder keeps; name another file with --plugin. Exit code 0 if every call gives the same bits and uses the same fuel, 9 if \
one does not. Fuel that was recorded under other prices than this alft's is not compared. Calls that ran past their deadline are counted and not repeated.")]
pub(crate) struct ReplayArgs {
    /// The run's folder
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// The file of a plugin, in place of the one in the run's folder (may be repeated)
    #[arg(long = "plugin", value_name = "NAME=FILE", value_parser = plugin_file)]
    plugins: Vec<(String, PathBuf)>,
    /// Run the run's native libraries, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

/// Parses `--plugin`.
fn plugin_file(text: &str) -> Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE")?;
    Ok((name.into(), file.into()))
}

/// The error of a native library that the user has not allowed to run again.
const UNTRUSTED: &str = "the plugin ran as a native library, with all the rights of this program; add --trust-native if you \
                         trust it";

/// A plugin's file that cannot be opened again.
#[derive(Debug, thiserror::Error)]
#[error("the plugin's file cannot be opened; if the file is elsewhere, name the file with --plugin {name}=FILE")]
struct OpenError {
    name: String,
    source: alft_plugin_host::Error,
}

/// The result of a replay.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Calls that were repeated.
    calls: u64,
    /// Calls that ran past their deadline and were not repeated.
    skipped: u64,
    /// Repeated calls that were recorded under other prices of fuel. Their fuel is not compared.
    other_prices: u64,
    fuel: u64,
    /// Bytes after the last complete frame, which a killed process left.
    incomplete_bytes: u64,
    /// Repeated calls of each plugin.
    plugins: BTreeMap<String, u64>,
    /// The first difference.
    difference: Option<String>,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let path = RunDir { path: args.run.clone() }.ledger();
    let failed = |reason: String| Error::Replay { path: path.clone(), reason };
    let survey = Survey::new(&path)?;
    let engine = engine::start(&survey.limits)?;
    let mut progress = Progress::begin("replay", 0, survey.batches);
    let mut plugins: Vec<(String, Plugin)> = Vec::new();
    let mut report = Report::default();
    let (mut batches, mut prices) = (0, FUEL_RULES);
    let mut records = ledger::read(&path)?;
    while let Some(record) = records.next().transpose()? {
        match record {
            Record::Header { fuel_rules, .. } => prices = fuel_rules,
            Record::Plugin(record) => plugins.push((record.name.to_string(), open(&record, args, &engine)?)),
            Record::Batch { step, plugin, batch, calls } => {
                let frame = records.frame();
                let (name, plugin) = plugins.get(plugin).ok_or_else(|| {
                    failed(format!("frame {frame}: there is no plugin number {plugin} in the ledger"))
                })?;
                for (index, call) in calls.iter().enumerate() {
                    let place =
                        format!("frame {frame}, step {step}, plugin \"{name}\", {}, call {index}", batch.role());
                    let difference = replay::repeat(plugin, &batch, call, prices)
                        .map_err(|error| failed(format!("{place} cannot be repeated: {error}")))?;
                    if let Some(difference) = difference {
                        let difference = format!("{place}: {difference}");
                        report.difference = Some(difference.clone());
                        print(&report, args);
                        return Err(failed(difference));
                    }
                    report.add(name, call, prices);
                }
                batches += 1;
                progress.at(batches, &format!("step {step}"));
            }
        }
    }
    report.incomplete_bytes = records.incomplete_bytes();
    progress.end();
    print(&report, args);
    Ok(())
}

/// The contents of a ledger. Making it reads the whole ledger: a changed byte anywhere is found before any call is repeated.
#[derive(Debug, Default)]
struct Survey {
    batches: u64,
    /// Limits of an engine that runs every plugin of the run.
    limits: Limits,
}

impl Survey {
    fn new(path: &Path) -> Result<Self> {
        let mut survey = Self::default();
        for record in ledger::read(path)? {
            match record? {
                Record::Header { wasmtime, .. } if wasmtime != WASMTIME => {
                    let reason = format!(
                        "the ledger was written with wasmtime {wasmtime}, and this alft has {WASMTIME}, under which fuel \
                         may differ; replay it with the alft that made the run"
                    );
                    return Err(Error::Replay { path: path.into(), reason });
                }
                Record::Header { .. } => {}
                Record::Plugin(record) => survey.limits = survey.limits.covering(&record.limits),
                Record::Batch { .. } => survey.batches += 1,
            }
        }
        Ok(survey)
    }
}

/// Opens a plugin of the run, from the file in the run's folder or from the one that the user names.
fn open(record: &PluginRecord<'_>, args: &ReplayArgs, engine: &Engine) -> Result<Plugin> {
    let named = args.plugins.iter().find(|(name, _)| *name == record.name).map(|(_, file)| file.clone());
    let source = record.source(named.unwrap_or_else(|| RunDir { path: args.run.clone() }.plugin(&record.hash)));
    if !args.trust_native && source.native != NativeTrust::Refused {
        return Err(Error::plugin(&record.name)(UNTRUSTED));
    }
    let name = record.name.to_string();
    Plugin::open(&source, engine).map_err(|source| Error::plugin(&record.name)(OpenError { name, source }))
}

impl Report {
    fn add(&mut self, plugin: &str, call: &Call, prices: u32) {
        let skipped = call.outcome.as_ref().is_err_and(|failure| !failure.kind.is_deterministic());
        self.calls += u64::from(!skipped);
        self.skipped += u64::from(skipped);
        self.fuel += call.fuel;
        self.other_prices += u64::from(!skipped && prices != FUEL_RULES);
        *self.plugins.entry(plugin.to_owned()).or_default() += u64::from(!skipped);
    }
}

/// Prints the report. For people, a difference is printed as the error that it becomes.
fn print(report: &Report, args: &ReplayArgs) {
    if args.json {
        print::json(report);
        return;
    }
    if report.difference.is_some() {
        return;
    }
    for (plugin, calls) in &report.plugins {
        say!("  {plugin:<24}{calls:>10} calls");
    }
    let compared = report.calls - report.other_prices;
    if compared > 0 || report.other_prices == 0 {
        say!("{compared} calls give the same bits and use the same fuel ({} units)", report.fuel);
    }
    if report.other_prices > 0 {
        say!(
            "{} calls give the same bits; their fuel is not compared, since they were recorded under other prices of fuel \
             than this alft's",
            report.other_prices
        );
    }
    if report.skipped > 0 {
        say!("{} calls had run past their deadline and were not repeated", report.skipped);
    }
    if report.incomplete_bytes > 0 {
        say!("the last {} bytes are an incomplete frame, which a killed process left", report.incomplete_bytes);
    }
}
