//! Opening a plugin's file that the user names outside a run file.

use std::path::Path;

use alft_plugin_host::{Engine, Error, Limits, NativeTrust, Plugin, Source, source};

/// The remedy for a native library that the user has not allowed to run. A run file has another one.
pub const UNTRUSTED: &str = "it is a native library, which runs with all the rights of this program; add --trust-native if \
                             you trust it, or use a component";

/// Opens the file at `path`. A native library needs no pinned hash: a user who names and trusts a file in one command
/// means its present contents.
///
/// # Errors
/// As [`Plugin::open`].
pub fn open_file(
    path: &Path,
    config: &str,
    limits: &Limits,
    native: NativeTrust,
    engine: &Engine,
) -> Result<Plugin, Error> {
    let pin = match native {
        NativeTrust::Refused => None,
        NativeTrust::Process | NativeTrust::InProcess => Some(source::hash_file(path, limits)?),
    };
    Plugin::open(&Source { path: path.into(), pin, native, config: config.into(), limits: limits.clone() }, engine)
}
