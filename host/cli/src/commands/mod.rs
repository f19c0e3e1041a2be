//! The commands, one a file.

pub(crate) mod bench;
pub(crate) mod doctor;
pub(crate) mod estimator;
pub(crate) mod plugin;
pub(crate) mod replay;
pub(crate) mod rescore;
pub(crate) mod score;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod solve;
pub(crate) mod train;

use crate::args::Command;
use crate::error::Result;

/// Runs a command.
pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Train(args) => train::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Rescore(args) => rescore::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Solve(args) => solve::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Estimator(args) => estimator::run(&args),
        Command::Bench(command) => bench::run(&command),
        Command::Doctor(args) => doctor::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::PluginWorker { .. } => unreachable!("the worker was served by main"),
    }
}
