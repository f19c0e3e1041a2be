//! `alft`: the run file, the training loop that joins policy, plugins and game, and the reports.
//!
//! | module | holds |
//! | --- | --- |
//! | `train` | the loop: read it first |
//! | `play` | one step of the game: completions in, advantages out |
//! | `position` | how far a run is: what a resumed run goes on from |
//! | `panel`, `judge`, `engine` | the plugins of a run, and what runs them |
//! | `deeds`, `bounded` | what a plugin did in a step, with numbers that can be added up |
//! | `tally`, `account` | what each plugin has done, cost and failed at over a run; putting that on record |
//! | `order`, `reference` | which questions a step meets; what the reference policy answers to them |
//! | `weight`, `change` | weights by schedule; changes of the run file while its run goes on |
//! | `identity` | what a resumed run must have in common with itself |
//! | `solve`, `games` | exact games: `alft solve` |
//! | `simulate` | the same games from samples: `alft simulate` |
//! | `estimator` | the tables: `alft estimator` |
//! | `plugin`, `score` | what is done with plugins outside a run: `alft plugin …`, `alft score` |
//! | `evaluate` | the measurement before and after |
//! | `runfile`, `entry`, `toml_source`, `questions`, `args` | what the user gives |
//! | `folder`, `metrics`, `averages`, `mean`, `report`, `picture`, `progress`, `out` | what the user gets |
//! | `error` | everything that can end a command, and the exit codes |

#[macro_use]
mod out;

mod account;
mod args;
mod averages;
mod bounded;
mod change;
mod deeds;
mod engine;
mod entry;
mod error;
mod estimator;
mod evaluate;
mod folder;
mod games;
mod identity;
mod judge;
mod mean;
mod metrics;
mod order;
mod panel;
mod picture;
mod play;
mod plugin;
mod position;
mod progress;
mod questions;
mod reference;
mod report;
mod runfile;
mod score;
mod simulate;
mod solve;
mod tally;
mod toml_source;
mod train;
mod weight;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// Autograd walks the graph recursively, and a guest's stack lies on its caller's: both need more than the 8 MiB that
/// a main thread has.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Command::PluginWorker { job } = args.command {
        return alft_plugin_host::worker::serve([job]);
    }
    // SAFETY: no other thread runs yet.
    unsafe { limit_elementwise_threads() };
    let work = std::thread::Builder::new().name("alft".into()).stack_size(STACK).spawn(move || match args.command {
        Command::Train(args) => train::train(&args),
        Command::Solve(args) => solve::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Estimator(args) => estimator::run(&args),
        Command::Score(args) => score::run(&args),
        Command::Plugin(command) => plugin::run(&command),
        Command::PluginWorker { .. } => unreachable!("it was served"),
    });
    match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(Ok(()))) => ExitCode::SUCCESS,
        Ok(Ok(Err(error))) => {
            let code = error.exit_code();
            eprintln!("{:?}", miette::Report::new(error));
            ExitCode::from(code)
        }
        // The panic has printed itself.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("alft: cannot start a thread: {error}");
            ExitCode::FAILURE
        }
    }
}

/// candle's elementwise operations wait for each other in a spinning barrier; on a busy machine one thread is several
/// times faster. Products of matrices keep all cores.
///
/// # Safety
/// No other thread may run.
unsafe fn limit_elementwise_threads() {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // SAFETY: the caller's promise.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
}
