//! Opening a plugin's file that the user names on the command line.

use std::path::Path;

use alft_plugin_host::{Engine, Error as HostError, Limits, NativeTrust, Plugin, Source, source};

use crate::error::Error;

/// The error of a native library that the user has not allowed to run. A run file has another remedy.
pub(super) const UNTRUSTED: &str = "it is a native library, which runs with all the rights of this program; add \
                                    --trust-native if you trust it, or use a component";

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

/// For `map_err` on [`open`], with the plugin's name.
pub(crate) fn cannot_use(name: &str) -> impl FnOnce(HostError) -> Error {
    let name = name.to_owned();
    move |error| match error {
        HostError::Untrusted { .. } => Error::plugin(&name)(UNTRUSTED),
        error => Error::plugin(&name)(error),
    }
}
