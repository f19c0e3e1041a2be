//! alft's own folder on this machine: compiled components, and the copies of native libraries that are loaded.
//!
//! What lies in it is run without a further look, so the folder belongs to this user alone; one that others can write
//! to is not used. Everything in it can be deleted at any time.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A folder in the cache, made if need be: in `ALFT_CACHE`, or else in the user's cache folder.
pub(crate) fn folder(kind: &str) -> io::Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || {
        let user = set("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        user.map(|user| user.join("alft"))
    };
    let cache =
        set("ALFT_CACHE").or_else(home).ok_or_else(|| io::Error::other("neither ALFT_CACHE nor HOME is set"))?;
    let folder = std::path::absolute(cache.join(kind))?;
    make_private(&folder)?;
    Ok(folder)
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let found = fs::symlink_metadata(folder)?;
    let ours = found.is_dir() && found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    let refuse =
        || io::Error::other(format!("{} is open to others; make it yours alone (chmod 700)", folder.display()));
    if ours { Ok(()) } else { Err(refuse()) }
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// The bytes kept under a name, if they are there and whole.
pub(crate) fn get(folder: &Path, name: &str) -> Option<Vec<u8>> {
    let mut kept = fs::read(folder.join(name)).ok()?;
    let hash = kept.split_off(kept.len().checked_sub(blake3::OUT_LEN)?);
    (blake3::hash(&kept).as_bytes()[..] == hash[..]).then_some(kept)
}

/// Keeps bytes under a name, followed by their hash.
pub(crate) fn put(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    write(folder, name, &[bytes, blake3::hash(bytes).as_bytes()])
}

/// A file with these bytes that nobody else can change, for loaders that take nothing but files.
pub(crate) fn file(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let path = folder.join(name);
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        write(folder, name, &[bytes])?;
    }
    Ok(path)
}

/// Appears whole or not at all, whoever else writes the same.
fn write(folder: &Path, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let partial = folder.join(format!("{name}.{}.{:?}.partial", std::process::id(), std::thread::current().id()));
    let mut file = File::create(&partial)?;
    let written =
        parts.iter().try_for_each(|part| file.write_all(part)).and_then(|()| fs::rename(&partial, folder.join(name)));
    written.inspect_err(|_| {
        // What could not be written is of no use; if it cannot be removed either, it is a name that nobody reads.
        let _ = fs::remove_file(&partial);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(get(folder.path(), "a"), None);
        put(folder.path(), "a", b"code").unwrap();
        assert_eq!(get(folder.path(), "a").unwrap(), b"code");
        let kept = fs::read(folder.path().join("a")).unwrap();
        for (at, _) in kept.iter().enumerate() {
            let mut changed = kept.clone();
            changed[at] ^= 1;
            fs::write(folder.path().join("a"), &changed).unwrap();
            assert_eq!(get(folder.path(), "a"), None, "byte {at}");
        }
        fs::write(folder.path().join("a"), &kept[..20]).unwrap();
        assert_eq!(get(folder.path(), "a"), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_others_can_write_to_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("x");
        make_private(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make_private(&folder).unwrap_err().to_string().contains("chmod 700"));
    }
}
