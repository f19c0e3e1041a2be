//! Opening a plugin's file that the user names on the command line.

use std::path::{Path, PathBuf};

use alft_plugin_host::{Engine, Error as HostError, Limits, NativeTrust, Plugin, Source, source};

use crate::error::Error;

/// A native library that the user has not allowed to run.
#[derive(Debug, thiserror::Error)]
#[error(
    "{} is a native library, which runs with all the rights of this program; add --trust-native if you trust it, or use a \
     component",
    path.display()
)]
pub(crate) struct Untrusted {
    /// The library.
    pub(crate) path: PathBuf,
}

/// Opens the file at `path`. A native library needs no pinned hash: a user who names and trusts a file in one command means
/// its present contents.
pub(crate) fn open(
    path: &Path,
    config: &str,
    limits: &Limits,
    native: NativeTrust,
    engine: &Engine,
) -> Result<Plugin, HostError> {
    let pin = match native {
        NativeTrust::Refused => None,
        NativeTrust::Process | NativeTrust::InProcess => Some(source::hash_file(path, limits)?),
    };
    Plugin::open(&Source { path: path.into(), pin, native, config: config.into(), limits: limits.clone() }, engine)
}

/// For `map_err` on [`open`]: the remedy for a native library is a flag, and not a key of a run file.
pub(crate) fn cannot_use(name: &str) -> impl FnOnce(HostError) -> Error {
    let name = name.to_owned();
    move |error| match error {
        HostError::Untrusted { path } => Error::plugin(&name)(Untrusted { path }),
        error => Error::plugin(&name)(error),
    }
}
