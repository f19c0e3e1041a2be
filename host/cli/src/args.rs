//! The command line as a whole.

use std::ffi::OsString;

use clap::{Parser, Subcommand};

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
