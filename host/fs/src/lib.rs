//! Atomic writes: a file or folder appears complete or not at all, also when the process is killed or the power fails.
//!
//! ```
//! # let dir = tempfile::tempdir()?;
//! let path = dir.path().join("summary.json");
//! alft_fs::write(&path, b"{}\n")?;
//! assert_eq!(std::fs::read(&path)?, b"{}\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`write()`] writes bytes, [`file()`] and [`folder()`] let a closure do the writing. All three write a draft beside the
//! destination, flush it to the disk (fsync), rename it into place and flush the folder that holds the name. A killed
//! process can leave its draft behind: [`sweep`] and [`sweep_of`] remove the drafts of dead processes.
//!
//! [`with_hint`] names the file that was probably meant where one is missing, and [`other_format`] what a file is that has
//! another format than its name says.
//!
//! [`read()`], [`read_to_string`] and [`open`] are for files that someone else named: they read regular files up to a size,
//! and wait for nothing.

mod draft;
mod other;
mod read;
mod similar;
mod sweep;

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use crate::draft::{Draft, parent};
pub use crate::{
    other::other_format,
    read::{
        MAX_DATA, MAX_DESCRIPTION, MAX_SETTINGS, open, open_to_change, read, read_to_string, require_regular_if_exists,
    },
    similar::{nearest, with_hint},
    sweep::{sweep, sweep_of},
};
use alft_text::Foreign;

/// An operation on the way to a complete file or folder failed. The destination is as it was before.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}", Foreign::path(path))]
pub struct Error {
    /// The destination, even where the failed operation was on the draft.
    pub path: PathBuf,
    /// The operating system's error.
    pub source: io::Error,
}

/// Writes `bytes` to the file `path`, replacing an existing file. Creates the parent folder if there is none.
///
/// # Errors
/// Fails if a file system operation fails. An existing file is then unchanged.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    file(path, |draft| fs::write(draft, bytes).map_err(error_at(path)))
}

/// Writes the file `path` by calling `fill` with the path of a draft, which `fill` must create. The draft has the name
/// of the destination, and a folder to itself. Replaces an existing file; creates the parent folder if there is none.
///
/// # Errors
/// Fails if `fill` or a file system operation fails. An existing file is then unchanged.
pub fn file<E: From<Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    let draft = Draft::create(path).map_err(error_at(path))?;
    fill(draft.path())?;
    let place = || -> io::Result<()> {
        flush(draft.path())?;
        fs::rename(draft.path(), path)?;
        flush(parent(path))
    };
    place().map_err(error_at(path))?;
    Ok(())
}

/// Writes the folder `path` by calling `fill` with the path of an empty folder. Replaces an existing folder; creates
/// the parent folder if there is none.
///
/// Replacing takes two renames. A process killed between them leaves no folder at `path`: [`sweep`] puts the old one
/// back.
///
/// # Errors
/// Fails if `path` is a file, or if `fill` or a file system operation fails. An existing folder is then unchanged.
pub fn folder<E: From<Error>>(path: &Path, fill: impl FnOnce(&Path) -> Result<(), E>) -> Result<(), E> {
    if path.is_file() {
        let source = io::Error::new(io::ErrorKind::NotADirectory, "a file has this name; remove it or choose another");
        return Err(error_at(path)(source).into());
    }
    let draft = Draft::create(path).map_err(error_at(path))?;
    fs::create_dir(draft.path()).map_err(error_at(path))?;
    fill(draft.path())?;
    let place = || -> io::Result<()> {
        flush_tree(draft.path())?;
        if path.exists() {
            fs::rename(path, draft.replaced())?;
            if let Err(error) = fs::rename(draft.path(), path) {
                fs::rename(draft.replaced(), path)?;
                return Err(error);
            }
        } else {
            fs::rename(draft.path(), path)?;
        }
        flush(parent(path))
    };
    place().map_err(error_at(path))?;
    Ok(())
}

/// Removes the folder `path` and everything in it. A killed process leaves it whole, or under a name that [`sweep`] removes.
///
/// # Errors
/// Fails if the folder cannot be moved.
pub fn remove_folder(path: &Path) -> Result<(), Error> {
    let draft = Draft::create(path).map_err(error_at(path))?;
    fs::rename(path, draft.path()).map_err(error_at(path))
}

fn error_at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { path: path.to_owned(), source }
}

/// Flushes a file's bytes or a folder's names to the disk. A rename survives a power failure only after the folder that
/// holds the name was flushed.
fn flush(path: &Path) -> io::Result<()> {
    // Windows cannot open a folder as a file, and needs no flush of it after a rename.
    if cfg!(windows) && path.is_dir() {
        return Ok(());
    }
    File::open(path)?.sync_all()
}

fn flush_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            flush_tree(&entry.path())?;
        } else if kind.is_file() {
            flush(&entry.path())?;
        }
    }
    flush(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap();
        let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// An error of a crate that writes through this one.
    #[derive(Debug)]
    enum Failure {
        Fs(Error),
        Fill,
    }

    impl From<Error> for Failure {
        fn from(error: Error) -> Self {
            Failure::Fs(error)
        }
    }

    #[test]
    fn a_removed_folder_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("model");
        fs::create_dir_all(path.join("inner")).unwrap();
        fs::write(path.join("inner/file"), "x").unwrap();
        remove_folder(&path).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        assert!(remove_folder(&path).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_failure_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/state.bin");
        write(&path, b"one").unwrap();
        let failing = file(&path, |draft| {
            assert_eq!(draft.file_name(), path.file_name(), "the extension of the destination is kept");
            fs::write(draft, "two").unwrap();
            Err(Failure::Fill)
        });
        assert!(matches!(failing, Err(Failure::Fill)));
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        assert_eq!(names(path.parent().unwrap()), ["state.bin"]);
    }

    #[test]
    fn a_folder_is_replaced_whole_and_a_failure_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/model");
        let put = |name: &'static str| {
            move |draft: &Path| {
                fs::create_dir(draft.join("nested")).unwrap();
                fs::write(draft.join(name), name).unwrap();
                Ok::<(), Failure>(())
            }
        };
        folder(&path, put("one")).unwrap();
        folder(&path, put("two")).unwrap();
        assert_eq!(names(&path), ["nested", "two"]);
        let failing = folder(&path, |draft| {
            put("three")(draft)?;
            Err(Failure::Fill)
        });
        assert!(matches!(failing, Err(Failure::Fill)));
        assert_eq!(names(&path), ["nested", "two"]);
        assert_eq!(names(path.parent().unwrap()), ["model"]);
    }

    #[test]
    fn a_panic_of_the_writer_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state");
        let panicking = || file(&path, |_| -> Result<(), Error> { panic!("the writer fails") });
        assert!(std::panic::catch_unwind(panicking).is_err());
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn errors_name_the_destination_and_keep_their_cause() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        fs::write(&path, "").unwrap();
        let error = folder(&path, |_| Ok::<(), Error>(())).unwrap_err();
        assert_eq!(error.path, path);
        assert!(error.to_string().contains("model"));
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("a file has this name"));
        let error = write(&path.join("below-a-file"), b"").unwrap_err();
        assert_eq!(error.path, path.join("below-a-file"));
        assert!(write(Path::new("/"), b"").is_err());
        let Err(Failure::Fs(error)) = file(&path, |_| Ok::<(), Failure>(())) else {
            panic!("a writer that creates no draft is an error")
        };
        assert_eq!(error.source.kind(), io::ErrorKind::NotFound);
    }
}
