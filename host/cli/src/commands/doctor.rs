//! `alft doctor`: the machine, and a check of its CUDA device.

use alft_policy::doctor::{Machine, examine};

use crate::error::{Error, Result};

/// Show the machine's processor, memory and device, or check its GPU
#[derive(Debug, clap::Args)]
pub(crate) struct DoctorArgs {
    /// Check every kernel on the first CUDA device against its twin, and a small model against the CPU, in under a minute
    #[arg(long)]
    gpu: bool,
    /// Print a JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &DoctorArgs) -> Result<()> {
    let json = |value: serde_json::Result<String>| value.expect("a report is plain data");
    if !args.gpu {
        let machine = Machine::read().map_err(Error::device)?;
        match args.json {
            true => say!("{}", json(serde_json::to_string(&machine))),
            false => say!("{machine}"),
        }
        return Ok(());
    }
    let examination = examine().map_err(Error::device)?;
    match args.json {
        true => say!("{}", json(serde_json::to_string(&examination))),
        false => say!("{examination}"),
    }
    match examination.checks.iter().filter(|check| !check.agrees).count() {
        0 => Ok(()),
        failed => Err(Error::Gpu { failed, checks: examination.checks.len() }),
    }
}
