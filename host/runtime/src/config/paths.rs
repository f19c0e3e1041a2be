//! Paths in a run file, which begin at its folder.

use std::path::{Path, PathBuf};

/// Makes a path of a run file absolute: the copy of the run file in the run's folder must mean the same file.
pub(super) fn make_absolute(path: &mut PathBuf, folder: &Path) {
    let joined = folder.join(&*path);
    *path = std::path::absolute(&joined).unwrap_or(joined);
}
