//! `alft`: the command line. Arguments come in, [`alft_runtime`] does the work, and the result is printed.
//!
//! | module | holds |
//! | --- | --- |
//! | `args`, `values` | the command line as a whole; values that several commands parse |
//! | `commands` | one file a command: its arguments, its work, its output |
//! | `error` | everything that can end a command, and the exit codes |
//! | `progress`, `print` | progress on standard error, data on standard output |
//! | `report`, `plots` | the summary of a run for people; pictures |
//! | `engine` | the WebAssembly engine, whose workers are this program |

#[macro_use]
mod print;

mod args;
mod commands;
mod engine;
mod error;
mod plots;
mod progress;
mod report;
mod values;

use std::process::ExitCode;

/// Autograd walks the graph recursively, and a guest's stack lies on its caller's: both need more than the 8 MiB of a
/// main thread.
const STACK: usize = 256 << 20;

fn main() -> ExitCode {
    print::panics();
    let args = match args::Args::read() {
        Ok(args) => args,
        Err(text) => {
            print::of_command_line(&text);
            return ExitCode::from(u8::try_from(text.exit_code()).unwrap_or(2));
        }
    };
    if let args::Command::PluginWorker { job } = args.command {
        return alft_plugin_host::worker::serve([job]);
    }
    // SAFETY: no other thread runs yet.
    unsafe { alft_policy::process::prepare() };
    let work = std::thread::Builder::new().name("alft".into()).stack_size(STACK).spawn(|| commands::run(args.command));
    match work.map(std::thread::JoinHandle::join) {
        Ok(Ok(result)) => error::exit_code(result),
        // The panic has printed itself.
        Ok(Err(_)) => ExitCode::FAILURE,
        Err(error) => {
            tell!("alft: cannot start a thread: {error}; lift the limits of the shell (`ulimit -a`)");
            ExitCode::FAILURE
        }
    }
}
