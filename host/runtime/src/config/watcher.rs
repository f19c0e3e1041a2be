//! Edits of the run file while its run goes on.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use alft_text::Foreign;

use super::run_file::RunFile;
use super::source::RunFileError;
use crate::error::{Error, Result};

/// Reads the text of a run file that has this path, with overrides.
type Parse<T> = fn(&Path, &str, &[String]) -> Result<T, RunFileError>;

/// Reads a run file, and again whenever its text has changed.
#[derive(Debug)]
pub struct RunFileWatcher<T = RunFile> {
    path: PathBuf,
    overrides: Vec<String>,
    parse: Parse<T>,
    /// The text that was read last; `None` if it could not be read.
    seen: Option<String>,
}

impl RunFileWatcher {
    /// Reads the run file of training for the first time, with `overrides` (`key.path=value`) applied.
    ///
    /// # Errors
    /// The file cannot be read, or has a mistake.
    pub fn new(path: PathBuf, overrides: Vec<String>) -> Result<(Self, RunFile)> {
        Self::of(path, overrides, RunFile::parse)
    }
}

impl<T> RunFileWatcher<T> {
    /// Reads the run file for the first time by `parse`, with `overrides` (`key.path=value`) applied.
    ///
    /// # Errors
    /// The file cannot be read, or has a mistake.
    pub fn of(path: PathBuf, overrides: Vec<String>, parse: Parse<T>) -> Result<(Self, T)> {
        refuse_other_than_utf8(&path)?;
        let text = read(&path)?;
        let run = parse(&path, &text, &overrides).map_err(Box::new)?;
        Ok((Self { path, overrides, parse, seen: Some(text) }, run))
    }

    /// Reads the run file again and returns it if its text is another one than before. A broken edit is an error once.
    pub fn poll(&mut self) -> Option<Result<T>> {
        let unchanged = self.seen == read(&self.path).ok();
        (!unchanged).then(|| self.read_again())
    }

    /// Reads the run file again, whether its text has changed or not.
    ///
    /// # Errors
    /// The file cannot be read, or has a mistake.
    pub fn read_again(&mut self) -> Result<T> {
        let text = read(&self.path);
        self.seen = text.as_ref().ok().cloned();
        Ok((self.parse)(&self.path, &text?, &self.overrides).map_err(Box::new)?)
    }

    /// The run file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Refuses a run file whose folder, which its paths begin with, could not be written down.
fn refuse_other_than_utf8(path: &Path) -> Result<()> {
    let folder = std::path::absolute(path).map_err(Error::io("find the run file", path))?;
    if folder.to_str().is_some() {
        return Ok(());
    }
    let message = format!("the path of the run file is not UTF-8: {}", Foreign::path(&folder));
    let help = Some("rename the folder, or move the run file into another one".to_owned());
    let name = Foreign::path(&path).to_string();
    Err(Box::new(RunFileError { message, help, name, text: String::new(), span: None }).into())
}

fn read(path: &Path) -> Result<String> {
    let hint = |error: io::Error| match error.kind() {
        ErrorKind::IsADirectory => {
            io::Error::new(error.kind(), "it is a folder; name a run file in it, such as run.toml")
        }
        _ => alft_fs::with_hint(path, error),
    };
    alft_fs::read_to_string(path, alft_fs::MAX_SETTINGS).map_err(hint).map_err(Error::io("read the run file", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str =
        "output = \"x\"\nmodel = { embedded = \"tiny\" }\nprompts = { train = \"t\" }\ntrain = { steps = 3 }\n";

    #[test]
    fn an_edit_is_seen_once_and_a_broken_one_is_an_error_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, RUN).unwrap();
        let (mut watcher, run) = RunFileWatcher::new(path.clone(), vec!["seed=7".into()]).unwrap();
        assert_eq!((run.train.steps, run.seed), (3, 7));
        assert!(watcher.poll().is_none(), "nothing was edited");

        std::fs::write(&path, RUN.replace("steps = 3", "steps = 4")).unwrap();
        let edited = watcher.poll().unwrap().unwrap();
        assert_eq!((edited.train.steps, edited.seed), (4, 7), "overrides stay in force");
        assert!(watcher.poll().is_none());

        std::fs::write(&path, RUN.replace("steps", "stpes")).unwrap();
        let error = watcher.poll().unwrap().unwrap_err();
        assert_eq!(error.to_string(), "unknown field `stpes`");
        assert!(watcher.poll().is_none());

        std::fs::remove_file(&path).unwrap();
        assert!(watcher.poll().unwrap().is_err());
        assert!(watcher.poll().is_none());
        std::fs::write(&path, RUN).unwrap();
        assert_eq!(watcher.poll().unwrap().unwrap().train.steps, 3, "and the file may come back");
    }
}
