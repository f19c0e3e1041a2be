//! Keeps the paths of this machine out of compiled files.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Returns the compiler flag that replaces the prefix `from` by `to` in all paths that get into compiled code.
pub(crate) fn remap(from: &Path, to: &str) -> OsString {
    let mut flag = OsString::from("--remap-path-prefix=");
    flag.push(from);
    flag.push("=");
    flag.push(to);
    flag
}

/// Returns the folder in which cargo unpacks the sources of published crates.
pub(crate) fn cargo_registry() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))?;
    Some(std::path::absolute(home).ok()?.join("registry").join("src"))
}
