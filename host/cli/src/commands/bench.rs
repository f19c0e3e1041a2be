//! `alft bench policy`: the speed and the memory of a model on this machine.

use alft_policy::bench::{BenchConfig, measure};

use crate::{error::Result, print, progress::Progress};

/// Measure this machine.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BenchCommand {
    Policy(PolicyArgs),
}

/// Measure sampling, log-probabilities and updates of a model.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft bench policy shape:smollm2-135m --set parts=decode,update-lora --set batches=1,32\n\n\
The columns of the table are explained in docs/benchmarks.md. The keys of --set are those of `config` with --json.")]
pub(crate) struct PolicyArgs {
    /// A GGUF file, a folder in Hugging Face's format, `tiny`, or `shape:NAME` for random weights
    model: String,
    /// Override a setting: device, parts, batches, new_tokens, repeat, profile=false, … (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Small sizes: a look in a few seconds, not a measurement
    #[arg(long)]
    quick: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(BenchCommand::Policy(args): &BenchCommand) -> Result<()> {
    let sizes = if args.quick { BenchConfig::quick() } else { BenchConfig::default() };
    let mut progress = None;
    let report = measure(&args.model, &sizes.with(&args.overrides)?, &mut |at| {
        progress.get_or_insert_with(|| Progress::begin("bench", 0, at.total)).at(at.done, &at.to_string());
    })?;
    print::report(&report, args.json);
    Ok(())
}
