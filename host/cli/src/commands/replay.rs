//! `alft plugin replay`: makes every recorded call of a run again and compares, to the last bit and unit of fuel.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alft_plugin_host::engine::WASMTIME;
use alft_plugin_host::ledger::{self, Entrant, Record};
use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Source, replay};
use serde::Serialize;

use crate::engine;
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::progress::Progress;

/// Make a run's scoring calls again, and see that they give the same
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin replay runs/quickstart\n\n\
The run's ledger has every call of every plugin: input, answer and fuel. The plugins are those that the run's folder \
keeps; if one is somewhere else, say where with --plugin. Exit code 0 only if every call gave the same bits and took \
the same fuel; calls that ran past their deadline are counted and not made again.")]
pub(crate) struct ReplayArgs {
    /// The run's folder
    #[arg(value_name = "RUN_DIR")]
    pub(crate) run: PathBuf,
    /// Where a plugin's file is now, by its name in the run (may be repeated)
    #[arg(long = "plugin", value_name = "NAME=FILE", value_parser = moved)]
    pub(crate) plugins: Vec<(String, PathBuf)>,
    /// Let the run's native libraries run again, with all the rights of this program
    #[arg(long)]
    pub(crate) trust_native: bool,
    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

fn moved(text: &str) -> std::result::Result<(String, PathBuf), String> {
    let (name, file) = text.split_once('=').ok_or("write NAME=FILE")?;
    Ok((name.into(), file.into()))
}

/// What was made again.
#[derive(Debug, Default, Serialize)]
struct Report {
    calls: u64,
    /// Calls that had run past their deadline.
    skipped: u64,
    fuel: u64,
    /// Bytes of a half-written frame at the end.
    cut_off: u64,
    /// Calls by plugin.
    plugins: BTreeMap<String, u64>,
    difference: Option<String>,
}

pub(crate) fn run(args: &ReplayArgs) -> Result<()> {
    let path = Folder { path: args.run.clone() }.ledger();
    let count = plays(&path)?;
    let mut progress = Progress::begin("replay", 0, count);
    let mut report = Report::default();
    let mut frames = ledger::read(&path)?;
    let mut engine: Option<(Limits, Engine)> = None;
    let mut opened: Vec<(String, Plugin)> = Vec::new();
    let mut done = 0;
    while let Some(record) = frames.next().transpose()? {
        match record {
            Record::Begin { wasmtime, .. } if wasmtime != WASMTIME => {
                let reason = format!(
                    "it was written under wasmtime {wasmtime}, and this alft has {WASMTIME}, under which fuel may differ; \
                     replay it with the alft that ran it"
                );
                return Err(Error::Replay { path, reason });
            }
            Record::Begin { .. } => {}
            Record::Plugin(entrant) => {
                // One engine for all that fits in it: a plugin with larger limits gets a larger one.
                let limits = engine.as_ref().map_or_else(Limits::default, |(limits, _)| limits.clone());
                let limits = limits.covering(&entrant.limits);
                let fitting = match engine.take().filter(|(of, _)| *of == limits) {
                    Some((_, engine)) => engine,
                    None => engine::start(&limits)?,
                };
                opened.push((entrant.name.to_string(), open(&entrant, args, &fitting)?));
                engine = Some((limits, fitting));
            }
            Record::Play { step, plugin, input, calls } => {
                let wrong = |reason: String| Error::Replay { path: path.clone(), reason };
                let (name, plugin) =
                    opened.get(plugin).ok_or_else(|| wrong(format!("it has no plugin number {plugin}")))?;
                for (at, call) in calls.iter().enumerate() {
                    let place = || format!("step {step}, plugin \"{name}\", {}, call {at}", input.role());
                    let difference = replay::repeat(plugin, &input, call)
                        .map_err(|reason| wrong(format!("frame {}, {}: {reason}", frames.number(), place())))?;
                    if let Some(difference) = difference {
                        let difference = format!("frame {}, {}: {difference}", frames.number(), place());
                        report.difference = Some(difference.clone());
                        show(&report, args);
                        return Err(Error::Replay { path, reason: difference });
                    }
                    let skipped = call.outcome.as_ref().is_err_and(|failure| !failure.kind.is_deterministic());
                    report.calls += u64::from(!skipped);
                    report.skipped += u64::from(skipped);
                    report.fuel += call.fuel;
                    *report.plugins.entry(name.clone()).or_default() += u64::from(!skipped);
                }
                done += 1;
                progress.at(done, &format!("step {step}"));
            }
        }
    }
    report.cut_off = frames.cut_off();
    progress.end();
    show(&report, args);
    Ok(())
}

fn show(report: &Report, args: &ReplayArgs) {
    if args.json {
        say!("{}", serde_json::to_string(report).expect("a report is plain data"));
        return;
    }
    if report.difference.is_some() {
        return;
    }
    for (plugin, calls) in &report.plugins {
        say!("  {plugin:<24}{calls:>10} calls");
    }
    say!("{} calls give the same bits and take the same fuel ({} units)", report.calls, report.fuel);
    if report.skipped > 0 {
        say!("{} calls had run past their deadline and were not made again", report.skipped);
    }
    if report.cut_off > 0 {
        say!("the last {} bytes are of a frame that was not written to its end", report.cut_off);
    }
}

/// Reads the whole ledger once: a changed byte anywhere is found before any call is made.
fn plays(path: &Path) -> Result<u64> {
    let mut plays = 0;
    for record in ledger::read(path)? {
        plays += u64::from(matches!(record?, Record::Play { .. }));
    }
    Ok(plays)
}

fn open(entrant: &Entrant<'_>, args: &ReplayArgs, engine: &Engine) -> Result<Plugin> {
    let given = args.plugins.iter().find(|(name, _)| *name == entrant.name).map(|(_, file)| file.clone());
    let kept = || Folder { path: args.run.clone() }.plugin(&entrant.hash);
    let source: Source = entrant.source(given.unwrap_or_else(kept));
    if !args.trust_native && source.native != NativeTrust::Refused {
        let reason = "it was a native library, which runs with all your rights; give --trust-native to run it again";
        return Err(Error::Plugin { name: entrant.name.to_string(), reason: reason.into() });
    }
    Plugin::open(&source, engine).map_err(|error| {
        let reason = format!("{error}; if its file is somewhere else, give --plugin {}=FILE", entrant.name);
        Error::Plugin { name: entrant.name.to_string(), reason }
    })
}
