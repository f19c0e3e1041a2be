//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::error::EXIT_CODES;

/// Fine-tunes language models on what their final answers are worth.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    #[command(subcommand)]
    Plugin(PluginCommand),
}

/// Train a policy against the plugins of a run file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft train examples/quickstart/run.toml --set plugin.coherence.weight=0 --seed 1\n\n\
A run's folder holds metrics.jsonl, samples.jsonl, summary.json, curves.svg, the model in Hugging Face's format, and \
the state from which --resume goes on.")]
pub(crate) struct TrainArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    pub(crate) run: PathBuf,
    /// Override a key of the run file: train.steps=10, plugin.NAME.weight=0.5 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Training steps (as --set train.steps=N)
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// The seed of every random number (as --set seed=N)
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The run's folder (as --set output=DIR)
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Go on with the run in this folder from its last saved state
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub(crate) resume: Option<PathBuf>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl TrainArgs {
    /// All overrides, those with a flag of their own last.
    pub(crate) fn all_overrides(&self) -> Vec<String> {
        let mut all = self.overrides.clone();
        all.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        all.extend(self.seed.map(|seed| format!("seed={seed}")));
        // As a TOML string: a path may look like a number.
        let folder = self.output.as_ref().or(self.resume.as_ref());
        all.extend(folder.map(|dir| format!("output={}", toml::Value::String(dir.display().to_string()))));
        all
    }
}

/// Work on plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    Build(BuildArgs),
}

/// Build a plugin crate into a component, a native library, or both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alft plugin build plugins/entropy --native")]
pub(crate) struct BuildArgs {
    /// The folder of the plugin crate
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Build the WebAssembly component (the default)
    #[arg(long)]
    pub(crate) component: bool,
    /// Build the native library
    #[arg(long)]
    pub(crate) native: bool,
}
