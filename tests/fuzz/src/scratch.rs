//! Files for readers that take a path: they lie in memory where the system has such a folder.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Returns a folder of this process.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        made.expect("a temporary folder can be created").keep()
    })
}

/// Writes a file of the folder, and returns its path.
pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("the scratch folder can be written to");
    path
}
