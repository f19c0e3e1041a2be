//! Files and folders that appear whole or not at all: written beside their place, flushed to the disk, then renamed.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Writes a file by `write`, which is given the path to write to.
pub(crate) fn file(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    make_parent(path)?;
    let draft = sibling(path, "draft")?;
    let written = write(&draft).and_then(|()| flush(&draft)).and_then(|()| rename(&draft, path));
    if written.is_err() {
        // The error that matters is the one that is returned.
        let _ = fs::remove_file(&draft);
    }
    written?;
    flush_parent(path)
}

/// Writes a folder by `write`, which is given the path of an empty folder. A folder that is in the place is replaced;
/// in the moment between two renames a killed process can leave neither in the place, but the old one beside it.
pub(crate) fn folder(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    if path.is_file() {
        return Err(Error::file(path, "is a file; a folder is to be written here"));
    }
    make_parent(path)?;
    let (draft, old) = (sibling(path, "draft")?, sibling(path, "old")?);
    remove_folder(&draft)?;
    fs::create_dir(&draft).map_err(|source| Error::io(&draft, source))?;
    let written = write(&draft).and_then(|()| {
        for entry in fs::read_dir(&draft).map_err(|source| Error::io(&draft, source))? {
            flush(&entry.map_err(|source| Error::io(&draft, source))?.path())?;
        }
        flush(&draft)?;
        remove_folder(&old)?;
        if path.exists() {
            rename(path, &old)?;
        }
        rename(&draft, path)
    });
    if written.is_err() {
        let _ = fs::remove_dir_all(&draft);
    }
    written?;
    flush_parent(path)?;
    remove_folder(&old)
}

/// Removes what writers that were killed have left in `folder`. Nobody may be writing into it. What cannot be removed
/// only takes space: it is left there.
pub fn sweep(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        // The crate safetensors writes its files by way of `.tmp…`.
        if name.starts_with(".tmp")
            || name.starts_with('.') && [".draft-", ".old-"].iter().any(|kind| name.contains(kind))
        {
            let path = entry.path();
            let _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        }
    }
}

/// A hidden name beside `path`, of this process's own.
fn sibling(path: &Path, kind: &str) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| Error::file(path, "names no file or folder that could be written"))?;
    Ok(path.with_file_name(format!(".{}.{kind}-{}", name.to_string_lossy(), std::process::id())))
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn make_parent(path: &Path) -> Result<()> {
    fs::create_dir_all(parent(path)).map_err(|source| Error::io(parent(path), source))
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    fs::rename(from, to).map_err(|source| Error::io(to, source))
}

fn remove_folder(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path, source)),
        _ => Ok(()),
    }
}

fn flush(path: &Path) -> Result<()> {
    // Windows cannot open a folder as a file; there a rename needs no flush of it.
    if cfg!(windows) && path.is_dir() {
        return Ok(());
    }
    File::open(path).and_then(|file| file.sync_all()).map_err(|source| Error::io(path, source))
}

/// A rename is on the disk once the folder that holds the name is.
fn flush_parent(path: &Path) -> Result<()> {
    flush(parent(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_folder_is_replaced_whole_and_a_failure_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("deep/model");
        let put = |name: &'static str| {
            move |at: &Path| fs::write(at.join(name), name).map_err(|source| Error::io(at, source))
        };
        folder(&place, put("one")).unwrap();
        folder(&place, put("two")).unwrap();
        assert_eq!(names(&place), ["two"]);
        let failing = |at: &Path| {
            put("three")(at)?;
            Err(Error::file(at, "no"))
        };
        assert!(folder(&place, failing).is_err());
        assert_eq!(names(&place), ["two"]);
        assert_eq!(names(place.parent().unwrap()), ["model"]);
    }

    #[test]
    fn a_file_is_replaced_whole_and_a_failure_leaves_the_old_one() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("state");
        let put = |text: &'static str| move |at: &Path| fs::write(at, text).map_err(|source| Error::io(at, source));
        file(&place, put("one")).unwrap();
        let failing = |at: &Path| {
            put("two")(at)?;
            Err(Error::file(at, "no"))
        };
        assert!(file(&place, failing).is_err());
        assert_eq!(fs::read_to_string(&place).unwrap(), "one");
        assert_eq!(names(dir.path()), ["state"]);
        assert!(file(Path::new("/"), put("x")).is_err());
    }
}
