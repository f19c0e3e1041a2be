//! The engine that this program runs plugins with. The engine's workers are this program, by a hidden command.

use alft_plugin_host::{Engine, EngineError, Limits, Worker};

use crate::error::Result;

/// The hidden command that makes this program a worker.
pub(crate) const WORKER: &str = "plugin-worker";

/// The hidden command of `alft plugin` that makes this program run one conformance test.
pub(crate) const CHECK_CHILD: &str = "check-child";

/// This program as a worker.
pub(crate) fn worker() -> Result<Worker> {
    Ok(Worker::current_exe(vec![WORKER.into()]).map_err(EngineError::from)?)
}

/// This program as the child process of a conformance test.
pub(crate) fn check_child() -> Result<Worker> {
    Ok(Worker::current_exe(vec!["plugin".into(), CHECK_CHILD.into()]).map_err(EngineError::from)?)
}

/// Starts an engine for plugins whose limits are within `limits`.
pub(crate) fn start(limits: &Limits) -> Result<Engine> {
    Ok(Engine::new(limits, worker()?)?)
}
