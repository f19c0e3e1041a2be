//! The command line as a whole.

use std::ffi::OsString;

use alft_text::Foreign;
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::{
    bench::BenchCommand, doctor::DoctorArgs, estimator::EstimatorArgs, plugin::PluginCommand, replay::ReplayArgs,
    rescore::RescoreArgs, score::ScoreArgs, serve::ServeArgs, simulate::SimulateArgs, solve::SolveArgs,
    train::TrainArgs,
};
use crate::error::EXIT_CODES;

/// Fine-tunes language models on what their final answers are worth.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Args {
    /// Reads the command line. Paths stand in records and reports, which are text, so all arguments and the working folder must be
    /// UTF-8.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let invalid = |message: String| Self::command().error(ErrorKind::InvalidUtf8, message);
        let arguments = std::env::args_os().skip(1);
        let folder = std::env::current_dir().unwrap_or_default();
        for (noun, value) in arguments.map(|value| ("argument", value)).chain([("working folder", folder.into())]) {
            if value.to_str().is_none() {
                let value = Foreign::new(value.to_string_lossy());
                return Err(invalid(format!("the {noun} \"{value}\" is not UTF-8; rename the file or the folder")));
            }
        }
        Self::try_parse()
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Serve(ServeArgs),
    Score(ScoreArgs),
    Rescore(RescoreArgs),
    Replay(ReplayArgs),
    Solve(SolveArgs),
    Simulate(SimulateArgs),
    Estimator(EstimatorArgs),
    Doctor(DoctorArgs),
    #[command(subcommand)]
    Bench(BenchCommand),
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Be a child process that compiles a component or runs a native library
    #[command(name = crate::engine::WORKER, hide = true)]
    PluginWorker {
        job: OsString,
    },
}
