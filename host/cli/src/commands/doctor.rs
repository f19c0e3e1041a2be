//! `alft doctor`: the machine, and a check of its CUDA device.

use alft_policy::doctor::{Machine, examine};

use crate::error::{Error, Result};
use crate::print;

/// Show the machine's processor, memory and device, or check its GPU
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Check every kernel on the first CUDA device against its twin, and a small model against the CPU
    #[arg(long)]
    gpu: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<()> {
    if !args.gpu {
        print::report(&Machine::read()?, args.json);
        return Ok(());
    }
    let examination = examine()?;
    print::report(&examination, args.json);
    match examination.checks.iter().filter(|check| !check.agrees).count() {
        0 => Ok(()),
        failed => Err(Error::Gpu { failed, checks: examination.checks.len() }),
    }
}
