//! The table `[serve]` of a run file: the service of `alft serve`.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Serialize};

/// The table `[serve]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Serve {
    /// The address to listen on. Another one than a loopback address needs a token.
    pub listen: SocketAddr,
    /// The environment variable that holds the token which requests must have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_env: Option<String>,
    /// The largest body of a request, in bytes.
    pub max_body: usize,
    /// Requests that are answered at once.
    pub concurrency: usize,
    /// Requests that wait for an answer; more are refused.
    pub queue: usize,
    /// Seconds in which a request is answered, its waiting included.
    pub deadline_s: u64,
    /// Seconds in which a client has to send the next part of a request.
    pub idle_s: u64,
    /// Connections that are open at once.
    pub connections: usize,
    /// Runs whose targets are kept in memory.
    pub runs: usize,
    /// Bytes of answers that a run remembers for repeated requests with the same `Idempotency-Key`.
    pub remembered: usize,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8765)),
            token_env: None,
            max_body: 16 << 20,
            concurrency: 16,
            queue: 256,
            deadline_s: 120,
            idle_s: 30,
            connections: 2048,
            runs: 64,
            remembered: 16 << 20,
        }
    }
}
