//! `alft plugin …`: a file for each command.

mod build;
mod lock;
mod replay;

pub(crate) use build::BuildArgs;
pub(crate) use lock::{LockArgs, folder as lock_folder};
pub(crate) use replay::ReplayArgs;

use clap::Subcommand;

use crate::error::Result;

/// Work on plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    Build(BuildArgs),
    Lock(LockArgs),
    Replay(ReplayArgs),
}

pub(crate) fn run(command: &PluginCommand) -> Result<()> {
    match command {
        PluginCommand::Build(args) => build::run(args),
        PluginCommand::Lock(args) => lock::run(args),
        PluginCommand::Replay(args) => replay::run(args),
    }
}
