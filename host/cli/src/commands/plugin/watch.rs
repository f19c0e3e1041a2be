//! `alft plugin watch`: builds and checks a project after every change.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use alft_text::Foreign;

use crate::error::{Error, Result};

/// Time between two looks at the files. Polling needs no support of the file system, and sees a change on any of them.
const POLL_INTERVAL: Duration = Duration::from_millis(300);

/// Files and folders that builds write or never read.
const IGNORED: [&str; 5] = ["target", ".git", "node_modules", "__pycache__", ".venv"];

/// Build and check a plugin after every change of its files, until Ctrl-C.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alft plugin watch plugins/entropy")]
pub(crate) struct WatchArgs {
    /// The project's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(crate) fn run(args: &WatchArgs) -> Result<()> {
    let dir = &args.dir;
    let mut checked = list(dir)?;
    loop {
        let started = Instant::now();
        let outcome = if check(dir)? { "passed" } else { "failed" };
        tell!("{outcome} in {:.1} s; waiting for a change in {}", started.elapsed().as_secs_f64(), Foreign::path(&dir));
        checked = wait_for_change(dir, &checked)?;
    }
}

/// Runs `alft plugin check DIR` in a child process, which prints its results. Returns true if the plugin passed.
fn check(dir: &Path) -> Result<bool> {
    let alft = std::env::current_exe().map_err(Error::io("find the program", Path::new("alft")))?;
    let status = Command::new(&alft).args([OsStr::new("plugin"), OsStr::new("check"), dir.as_os_str()]).status();
    Ok(status.map_err(Error::io("run", &alft))?.success())
}

/// Waits until the files differ from `checked` and are the same at two looks: an editor may still write.
fn wait_for_change(dir: &Path, checked: &[FileState]) -> Result<Vec<FileState>> {
    let mut last = checked.to_vec();
    loop {
        sleep(POLL_INTERVAL);
        let now = list(dir)?;
        if now == last && now != checked {
            return Ok(now);
        }
        last = now;
    }
}

/// The path, length and modification time of a file.
type FileState = (PathBuf, u64, Option<SystemTime>);

/// Lists the project's files in the order of their paths.
fn list(dir: &Path) -> Result<Vec<FileState>> {
    let mut files = Vec::new();
    let mut folders = vec![dir.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            // A folder may be removed after it was listed, but the project may not.
            Err(_) if folder != dir => continue,
            Err(error) => return Err(Error::io("read", dir)(error)),
        };
        for entry in entries.flatten().filter(|entry| !IGNORED.iter().any(|name| entry.file_name() == *name)) {
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => folders.push(entry.path()),
                Ok(metadata) => files.push((entry.path(), metadata.len(), metadata.modified().ok())),
                Err(_) => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn new_and_modified_sources_are_changes_and_build_outputs_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("src/lib.rs", "1");
        let before = list(dir.path()).unwrap();
        write("target/x.wasm", "built");
        write("src/__pycache__/x", "");
        assert_eq!(list(dir.path()).unwrap(), before);
        write("src/lib.rs", "12");
        assert_ne!(list(dir.path()).unwrap(), before);
        write("src/lib.rs", "1");
        write("new.txt", "");
        assert_ne!(list(dir.path()).unwrap(), before);
    }
}
