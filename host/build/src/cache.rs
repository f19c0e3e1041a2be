//! The folder that keeps downloaded compilers, and the locks of folders that several processes write to.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::event::{BuildEvent, Observer};
use crate::io::{IoError, io};

/// Returns the folder that keeps compilers: ALFT_CACHE, or else `default`.
pub(crate) fn folder(default: &Path) -> Result<PathBuf, IoError> {
    let set = std::env::var_os("ALFT_CACHE").filter(|path| !path.is_empty());
    let cache = set.map_or_else(|| default.to_owned(), PathBuf::from);
    std::path::absolute(&cache).map_err(io("resolve", cache))
}

/// Locks a folder for this process, and waits for another process that has locked it. The lock ends when the returned
/// file is closed, be it by the death of the process.
pub(crate) fn lock(folder: &Path, observer: Observer<'_>) -> Result<File, IoError> {
    fs::create_dir_all(folder).map_err(io("create", folder))?;
    let path = folder.join("lock");
    let file = File::create(&path).map_err(io("write", &path))?;
    match file.try_lock() {
        Ok(()) => return Ok(file),
        Err(TryLockError::WouldBlock) => observer(BuildEvent::Waiting { folder: folder.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(io("lock", path)(source)),
    }
    file.lock().map_err(io("lock", path))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_folder_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path(), &|_| {}).unwrap();
        std::thread::scope(|scope| {
            let (sender, events) = std::sync::mpsc::channel();
            let folder = dir.path();
            let other = scope.spawn(move || lock(folder, &|event| sender.send(event).unwrap()).is_ok());
            assert_eq!(events.recv().unwrap(), BuildEvent::Waiting { folder: folder.to_owned() });
            drop(held);
            assert!(other.join().unwrap());
        });
    }
}
