//! The cache: a folder with compiled components and with the copies of native libraries that are loaded.
//!
//! Its contents run without further checks, so the folder must be private: one that other users can access is not used.
//! Everything in it can be deleted at any time.

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use alft_text::Foreign;

/// Returns a private folder of the cache for files of another crate, and creates it if there is none.
///
/// # Errors
/// Fails if no cache folder is known, or other users can access it.
pub fn cache_folder(name: &str) -> io::Result<PathBuf> {
    private_folder(name, &Once::new())
}

/// Returns the compiled code with this name, if it is in the cache, undamaged and no larger than `max_bytes`.
pub(crate) fn get_compiled(name: &str, max_bytes: u64) -> Option<Vec<u8>> {
    get(&compiled().ok()?.join(name), max_bytes)
}

/// Keeps compiled code under a name.
pub(crate) fn put_compiled(name: &str, code: &[u8]) -> Result<(), Box<dyn Error + Send + Sync>> {
    put(&compiled()?.join(name), code)?;
    Ok(())
}

/// Copies a library into the cache, because loaders read files and nobody else can change this one. Returns its path.
pub(crate) fn copy_library(name: &str, bytes: &[u8]) -> Result<PathBuf, Box<dyn Error + Send + Sync>> {
    static SWEEP: Once = Once::new();
    let path = private_folder("libraries", &SWEEP)?.join(name);
    if fs::read(&path).ok().as_deref() != Some(bytes) {
        alft_fs::write(&path, bytes)?;
    }
    Ok(path)
}

fn compiled() -> io::Result<PathBuf> {
    static SWEEP: Once = Once::new();
    private_folder("compiled", &SWEEP)
}

/// Returns a folder of the cache, in `ALFT_CACHE` or else in the user's cache folder. Creates it if there is none.
fn private_folder(name: &str, sweep: &Once) -> io::Result<PathBuf> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let user_cache = || {
        let folder = variable("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        folder.map(|folder| folder.join("alft"))
    };
    let cache = variable("ALFT_CACHE")
        .or_else(user_cache)
        .ok_or_else(|| io::Error::other("neither ALFT_CACHE nor HOME is set; set one of them to a folder"))?;
    let folder = std::path::absolute(cache.join(name))?;
    make_private(&folder)?;
    // Killed processes leave drafts. Other processes may be writing into the cache at the same time; the sweep keeps the
    // drafts of those that are alive. Once in each process is enough, and keeps the sweep out of every opening.
    sweep.call_once(|| alft_fs::sweep(&folder));
    Ok(folder)
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let metadata = fs::symlink_metadata(folder)?;
    let is_private =
        metadata.is_dir() && metadata.uid() == rustix::process::geteuid().as_raw() && metadata.mode() & 0o077 == 0;
    match is_private {
        true => Ok(()),
        false => Err(io::Error::other(format!(
            "other users can access {}; make it private (chmod 700)",
            Foreign::path(&folder)
        ))),
    }
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Returns the bytes that were [put](put) at a path, if they are undamaged.
fn get(path: &Path, max_bytes: u64) -> Option<Vec<u8>> {
    let mut bytes = alft_fs::read(path, max_bytes.saturating_add(blake3::OUT_LEN as u64)).ok()?;
    let hash = bytes.split_off(bytes.len().checked_sub(blake3::OUT_LEN)?);
    (blake3::hash(&bytes).as_bytes()[..] == hash[..]).then_some(bytes)
}

/// Writes bytes and their hash.
fn put(path: &Path, bytes: &[u8]) -> Result<(), alft_fs::Error> {
    alft_fs::file(path, |draft| {
        let hash = blake3::hash(bytes);
        let write = |mut file: fs::File| file.write_all(bytes).and_then(|()| file.write_all(hash.as_bytes()));
        fs::File::create(draft).and_then(write).map_err(|source| alft_fs::Error { path: path.to_owned(), source })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damaged_files_are_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        assert_eq!(get(&path, 4), None);
        put(&path, b"code").unwrap();
        assert_eq!(get(&path, 4).unwrap(), b"code");
        assert_eq!(get(&path, 3), None, "larger than is asked for");
        let whole = fs::read(&path).unwrap();
        for (at, _) in whole.iter().enumerate() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert_eq!(get(&path, 4), None, "byte {at}");
        }
        fs::write(&path, &whole[..20]).unwrap();
        assert_eq!(get(&path, 4), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_that_other_users_can_access_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("x");
        make_private(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(make_private(&folder).unwrap_err().to_string().contains("chmod 700"));
    }
}
