//! `alft plugin watch`: builds and checks again at every change.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::error::{Error, Result};

/// How often the files are looked at. A change that is still going on is waited for.
const EVERY: Duration = Duration::from_millis(300);

/// What a build makes, and what no build reads.
const PASSED_OVER: [&str; 5] = ["target", ".git", "node_modules", "__pycache__", ".venv"];

/// Build and check a plugin again whenever a file of it changes, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alft plugin watch plugins/entropy")]
pub(crate) struct WatchArgs {
    /// The project's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &WatchArgs) -> Result<()> {
    let dir = &args.dir;
    let mut seen = files(dir)?;
    loop {
        let started = Instant::now();
        let outcome = if check(dir)? { "passed" } else { "failed" };
        eprintln!("{outcome} in {:.1} s; waiting for a change in {}", started.elapsed().as_secs_f64(), dir.display());
        seen = settled(dir, seen)?;
    }
}

/// `alft plugin check DIR`, which builds first, in a process of its own. What it finds it tells, and the author goes on.
fn check(dir: &Path) -> Result<bool> {
    let alft = std::env::current_exe().map_err(Error::io("find", Path::new("alft")))?;
    let status = Command::new(&alft).args([OsStr::new("plugin"), OsStr::new("check"), dir.as_os_str()]).status();
    Ok(status.map_err(Error::io("run", &alft))?.success())
}

/// Waits until the files differ from `seen` and have been still for a while.
fn settled(dir: &Path, seen: Vec<Seen>) -> Result<Vec<Seen>> {
    let mut last = seen.clone();
    loop {
        sleep(EVERY);
        let now = files(dir)?;
        if now == last && now != seen {
            return Ok(now);
        }
        last = now;
    }
}

/// A file, its length and its time of change.
type Seen = (PathBuf, u64, Option<SystemTime>);

/// The project's files, in the order of their names.
fn files(dir: &Path) -> Result<Vec<Seen>> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A folder may go between being listed and being read, the project may not.
            Err(_) if folder != dir => continue,
            Err(error) => return Err(Error::io("read", dir)(error)),
        };
        for entry in entries.flatten().filter(|entry| !PASSED_OVER.iter().any(|name| entry.file_name() == *name)) {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => folders.push(entry.path()),
                Ok(meta) => found.push((entry.path(), meta.len(), meta.modified().ok())),
                Err(_) => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_one_of_the_authors_files() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "1");
        let before = files(dir.path()).unwrap();
        write("target/x.wasm", "built");
        write("src/__pycache__/x", "");
        assert_eq!(files(dir.path()).unwrap(), before);
        write("src/lib.rs", "12");
        assert_ne!(files(dir.path()).unwrap(), before);
        write("src/lib.rs", "1");
        write("new.txt", "");
        assert_ne!(files(dir.path()).unwrap(), before);
    }
}
