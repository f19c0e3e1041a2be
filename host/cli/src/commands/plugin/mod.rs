//! `alft plugin …`: the tools of those who write plugins and of those who decide whether to trust them.
//!
//! | module | holds |
//! | --- | --- |
//! | `new` | `alft plugin new`: a project that builds and passes its tests |
//! | `build` | `alft plugin build`: a component or a native library from its source |
//! | `check` | `alft plugin check`: the conformance tests and the abuse table |
//! | `watch` | `alft plugin watch`: build and check after every change |
//! | `inspect` | `alft plugin inspect`: the facts about a plugin before it is trusted |
//! | `bench` | `alft plugin bench`: the cost of a call |
//! | `lock` | `alft plugin lock`: the approved plugins of a run |
//! | `publish` | `alft plugin publish`: a plugin into a registry |
//! | `pull` | `alft plugin pull`: a plugin from a registry |
//! | `list` | `alft plugin list`: the plugins in the cache, the lock and a run |
//! | `published` | the facts about a plugin in a registry |
//! | `target` | the plugin that a command names: a file, or a project that is built first |

mod bench;
mod build;
mod check;
mod inspect;
mod list;
mod lock;
mod new;
mod publish;
mod published;
mod pull;
mod target;
mod watch;

use alft_runtime::conformance::serve_test;
use clap::Subcommand;

use crate::engine;
use crate::error::Result;
use crate::print;

pub(crate) use lock::lock_dir;

/// Write, build, check, inspect, approve, publish and fetch plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    New(new::NewArgs),
    Build(build::BuildArgs),
    Watch(watch::WatchArgs),
    Check(check::CheckArgs),
    Inspect(inspect::InspectArgs),
    Bench(bench::BenchArgs),
    Lock(lock::LockArgs),
    Publish(publish::PublishArgs),
    Pull(pull::PullArgs),
    List(list::ListArgs),
    /// Be a child process that runs one test of `check`
    #[command(hide = true, name = engine::CHECK_CHILD)]
    CheckChild,
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
        PluginCommand::Publish(args) => publish::run(args),
        PluginCommand::Pull(args) => pull::run(args),
        PluginCommand::List(args) => list::run(args),
        PluginCommand::CheckChild => {
            print::for_parent(&serve_test(engine::worker()?)?);
            Ok(())
        }
    }
}
