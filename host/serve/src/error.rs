//! Everything that keeps the service from starting or from recording a step.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use alft_text::Foreign;

/// The result of the service's functions.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// The reason why the service does not start, or a step is not recorded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The run file, a plugin or the folder cannot be used.
    #[error(transparent)]
    Runtime(Box<alft_runtime::Error>),

    /// The environment variable of the token is not set.
    #[error(
        "the environment variable {}, which `serve.token_env` names, is not set or empty; set it to the token that clients send",
        Foreign::new(variable)
    )]
    Token {
        /// The variable's name.
        variable: String,
    },

    /// The address cannot be listened on.
    #[error("cannot listen on {address}; choose another `serve.listen`, or stop the program that listens there")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A record of a run is broken.
    #[error(
        "{}: {reason}; the run cannot go on from it: restore the file, or move the run's folder away to begin anew",
        Foreign::path(path)
    )]
    Record {
        /// The file.
        path: PathBuf,
        /// The mistake in it.
        reason: String,
    },

    /// The ledger cannot be written or read.
    #[error(transparent)]
    Ledger(#[from] alft_plugin_host::ledger::Error),

    /// The file system refused an operation.
    #[error("cannot {doing} {}", Foreign::path(path))]
    Io {
        /// The operation.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// The runtime of asynchronous work does not start.
    #[error("the service cannot start its threads")]
    Threads(#[source] std::io::Error),
}

impl From<alft_runtime::Error> for Error {
    fn from(error: alft_runtime::Error) -> Self {
        Self::Runtime(Box::new(error))
    }
}

impl Error {
    /// For `map_err` on file operations: "cannot {doing} {path}".
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}
