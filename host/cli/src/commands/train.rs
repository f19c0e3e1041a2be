//! `alft train`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use alft_runtime::config::RunFileWatcher;
use alft_runtime::{PluginOpener, PluginSource, Run, RunEvent};
use alft_text::Foreign;

use crate::commands::plugin::lock_dir;
use crate::error::{Result, chain};
use crate::print;
use crate::progress::RunReporter;
use crate::values::whole;
use crate::{engine, plots, report};

/// Train a policy against the plugins of a run file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft train examples/quickstart/run.toml --set plugin.coherence.weight=0 --seed 1\n\n\
A run's folder holds metrics.jsonl, samples.jsonl, summary.json, curves.svg, the model in Hugging Face's format, and \
the state from which --resume goes on. Edits of the run file's plugins, limits and learning rate are taken over \
between two steps.")]
pub(crate) struct TrainArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Override a key of the run file: train.steps=10, plugin.NAME.weight=0.5 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Training steps (as --set train.steps=N)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole)]
    steps: Option<u64>,
    /// The seed of every random number (as --set seed=N)
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = whole)]
    seed: Option<u64>,
    /// The run's folder (as --set output=DIR)
    #[arg(long, value_name = "DIR")]
    output: Option<String>,
    /// Go on with the run in this folder from its last saved state
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    resume: Option<PathBuf>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TrainArgs) -> Result<()> {
    let (mut watcher, config) = RunFileWatcher::new(args.run.clone(), args.all_overrides())?;
    let source = PluginSource::RunFile(PluginOpener { worker: engine::worker()?, lock_dir: lock_dir(&args.run) });
    let reporter = Arc::new(Mutex::new(RunReporter::default()));
    let shown = Arc::clone(&reporter);
    let observer = Box::new(move |event: &RunEvent<'_>| shown.lock().expect("no reporter panics").event(event));
    let mut run = match &args.resume {
        Some(dir) => Run::resume(dir, config, source, observer)?,
        None => Run::start(config, source, observer)?,
    };
    while run.step()?.is_some() {
        // An edit that does not work is refused once, and the run keeps its plugins.
        if let Some(edit) = watcher.poll()
            && let Err(error) = edit.and_then(|config| run.apply(config))
        {
            let path = watcher.path();
            let (path, reason) = (Foreign::path(&path), chain(&error));
            let refusal = format!("the edit of {path} is refused, and the run keeps its plugins: {reason}");
            reporter.lock().expect("no reporter panics").line(&refusal);
        }
    }
    let dir = run.dir().clone();
    let summary = run.finish()?;
    plots::draw_curves(&dir.metrics(), &dir.curves())?;
    match args.json {
        true => print::json(&summary),
        false => print::lines(report::text(&summary, &dir).trim_end()),
    }
    Ok(())
}

impl TrainArgs {
    /// All overrides, those with a flag after the others.
    fn all_overrides(&self) -> Vec<String> {
        let mut all = self.overrides.clone();
        all.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        all.extend(self.seed.map(|seed| format!("seed={seed}")));
        // As a TOML string: a path may look like a number.
        let resumed = || self.resume.as_ref().map(|dir| Foreign::path(&dir).to_string());
        let folder = self.output.clone().or_else(resumed);
        all.extend(folder.map(|dir| format!("output={}", toml::Value::String(dir))));
        all
    }
}
