//! `alft`: the run file, the training loop that joins policy, plugins and game, and the reports.
//!
//! | module | holds |
//! | --- | --- |
//! | `train` | the loop: read it first |
//! | `play` | one step of the game: completions in, advantages out |
//! | `panel`, `judge` | the plugins of a run |
//! | `order`, `reference` | which questions a step meets; what the reference policy answers to them |
//! | `identity` | what a resumed run must have in common with itself |
//! | `solve`, `games` | exact games: `alft solve` |
//! | `simulate` | the same games from samples: `alft simulate` |
//! | `estimator` | the tables: `alft estimator` |
//! | `plugin` | author's tools: `alft plugin …` |
//! | `evaluate` | the measurement before and after |
//! | `runfile`, `toml_source`, `questions`, `args` | what the user gives |
//! | `folder`, `metrics`, `report`, `picture`, `progress`, `out` | what the user gets |
//! | `error` | everything that can end a command, and the exit codes |

#[macro_use]
mod out;

mod args;
mod error;
mod estimator;
mod evaluate;
mod folder;
mod games;
mod identity;
mod judge;
mod metrics;
mod order;
mod panel;
mod picture;
mod play;
mod plugin;
mod progress;
mod questions;
mod reference;
mod report;
mod runfile;
mod simulate;
mod solve;
mod toml_source;
mod train;

use std::process::ExitCode;

use alft_build::Form;
use clap::Parser;

use crate::args::{Args, BuildArgs, Command, PluginCommand};
use crate::error::Result;

/// Autograd walks the graph recursively, and a guest's stack lies on its caller's: both need more than the 8 MiB that
/// a main thread has.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    let args = Args::parse();
    // SAFETY: no other thread runs yet.
    unsafe { limit_elementwise_threads() };
    let work = std::thread::Builder::new().name("alft".into()).stack_size(STACK).spawn(move || match args.command {
        Command::Train(args) => train::train(&args),
        Command::Solve(args) => solve::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Estimator(args) => estimator::run(&args),
        Command::Plugin(PluginCommand::Build(args)) => build(&args),
        Command::Plugin(PluginCommand::Check(args)) => plugin::check::run(&args),
        Command::Plugin(PluginCommand::Inspect(args)) => plugin::inspect::run(&args),
        Command::Plugin(PluginCommand::Bench(args)) => plugin::bench::run(&args),
        Command::Plugin(PluginCommand::KitChild) => plugin::child::serve(),
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

fn build(args: &BuildArgs) -> Result<()> {
    let say = |line: &str| eprintln!("{line}");
    let component = args.component || !args.native;
    for (wanted, form) in [(component, Form::Component), (args.native, Form::Native)] {
        if wanted {
            say!("{}", alft_build::build(&args.dir, form, &say)?.display());
        }
    }
    Ok(())
}
