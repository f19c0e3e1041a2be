//! The engine that this program runs plugins with. Its workers are this program again, by a hidden command.

use alft_plugin_host::{Engine, Limits, Worker};

use crate::error::{Error, Result};

/// The hidden command that makes this program a worker.
pub(crate) const WORKER: &str = "plugin-worker";

/// Starts an engine for plugins whose limits are within `limits`.
pub(crate) fn start(limits: &Limits) -> Result<Engine> {
    let wrong = |reason: String| Error::Plugin { name: "*".into(), reason };
    let program = std::env::current_exe().map_err(|error| wrong(format!("cannot find this program: {error}")))?;
    let worker = Worker { program, arguments: vec![WORKER.into()] };
    Engine::new(limits, worker).map_err(|error| wrong(error.to_string()))
}
