//! `alft plugin …`: tools for those who write plugins and for those who are to trust them.
//!
//! | module | holds |
//! | --- | --- |
//! | `new` | `alft plugin new`: a project that builds as it is |
//! | `build` | `alft plugin build`: a component or a library from its source |
//! | `check` | `alft plugin check`: the conformance kit |
//! | `watch` | `alft plugin watch`: both, at every change |
//! | `inspect` | `alft plugin inspect`: what a plugin is, before it is trusted |
//! | `bench` | `alft plugin bench`: what a call costs |
//! | `lock` | `alft plugin lock`: the plugins of a run, as they were approved |
//! | `replay` | `alft plugin replay`: the calls of a run, made again |
//! | `given` | the plugin that a command names: a file, or a project that is built first |
//! | `loaded` | a loaded plugin as what the kit tests |
//! | `child` | one test in a process of its own |

mod bench;
mod build;
mod check;
mod child;
mod given;
mod inspect;
mod loaded;
mod lock;
mod new;
mod replay;
mod watch;

use clap::Subcommand;

use crate::error::Result;

pub(crate) use lock::folder as lock_folder;

/// Work on plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Watch(watch::WatchArgs),
    Check(check::CheckArgs),
    Inspect(inspect::InspectArgs),
    Bench(bench::BenchArgs),
    Lock(lock::LockArgs),
    Replay(replay::ReplayArgs),
    /// One test of `check`, in a process of its own
    #[command(hide = true, name = child::COMMAND)]
    KitChild,
}

pub(crate) fn run(command: &PluginCommand) -> Result<()> {
    match command {
        PluginCommand::New(args) => new::run(args),
        PluginCommand::Build(args) => build::run(args),
        PluginCommand::Watch(args) => watch::run(args),
        PluginCommand::Check(args) => check::run(args),
        PluginCommand::Inspect(args) => inspect::run(args),
        PluginCommand::Bench(args) => bench::run(args),
        PluginCommand::Lock(args) => lock::run(args),
        PluginCommand::Replay(args) => replay::run(args),
        PluginCommand::KitChild => child::serve(),
    }
}
