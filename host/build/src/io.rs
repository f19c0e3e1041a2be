//! Errors of the file system, with the file and the operation.

use std::path::PathBuf;

use alft_text::Foreign;

/// A file or folder that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {operation} {}", Foreign::path(path))]
pub struct IoError {
    /// The operation, as in "read".
    pub operation: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// The system's reason.
    pub source: std::io::Error,
}

/// Returns a closure for `map_err` that adds the operation and the path to an error of the system.
pub(crate) fn io(operation: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> IoError {
    let path = path.into();
    move |source| IoError { operation, path, source }
}
