//! The events that whoever runs the service is told, and the line of each request in its log.

use std::net::SocketAddr;

use alft_runtime::plugins::PluginEvent;
use serde::Serialize;

/// An event of the service.
#[derive(Debug)]
pub enum ServeEvent<'a> {
    /// A plugin is built or opened.
    Plugin(PluginEvent<'a>),
    /// The service answers requests.
    Listening {
        /// The address, with the port that was taken.
        address: SocketAddr,
    },
    /// A request was answered or refused.
    Request(&'a RequestLine),
    /// An edit of the run file is in force.
    Reloaded,
    /// An edit of the run file is refused, and the service keeps its plugins.
    ReloadRefused {
        /// The mistake.
        reason: String,
    },
    /// An edit of the run file changes settings that are fixed while the service runs.
    NeedsRestart,
    /// The service ends once the requests under way are answered.
    Stopping,
}

/// Whoever is told the events, from any thread.
pub type Observer = Box<dyn Fn(&ServeEvent<'_>) + Send + Sync>;

/// The line of a request in the log.
#[derive(Debug, Clone, Serialize)]
pub struct RequestLine {
    /// Seconds since 1970.
    pub time: f64,
    /// The request's name: that of its header `x-request-id`, or a new one.
    pub request_id: String,
    /// The method.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The status of the answer.
    pub status: u16,
    /// Milliseconds from the request's head to the answer.
    pub ms: f64,
    /// The reason of a status of 400 or more. It may tell of the machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
