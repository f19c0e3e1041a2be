//! Edits of the run file while its run goes on.

use std::path::{Path, PathBuf};

use super::run_file::RunFile;
use crate::error::{Error, Result};

/// Reads a run file, and again whenever its text has changed.
#[derive(Debug)]
pub struct RunFileWatcher {
    path: PathBuf,
    overrides: Vec<String>,
    /// The text that was read last; `None` if it could not be read.
    seen: Option<String>,
}

impl RunFileWatcher {
    /// Reads the run file for the first time, with `overrides` (`key.path=value`) applied.
    ///
    /// # Errors
    /// The file cannot be read, or has a mistake.
    pub fn new(path: PathBuf, overrides: Vec<String>) -> Result<(Self, RunFile)> {
        let text = read(&path)?;
        let run = RunFile::parse(&path, &text, &overrides).map_err(Box::new)?;
        Ok((Self { path, overrides, seen: Some(text) }, run))
    }

    /// Reads the run file again and returns it if its text is another one than before. A broken edit is an error once.
    pub fn poll(&mut self) -> Option<Result<RunFile>> {
        let text = read(&self.path);
        let now = text.as_ref().ok();
        if self.seen.as_ref() == now {
            return None;
        }
        self.seen = now.cloned();
        Some(text.and_then(|text| Ok(RunFile::parse(&self.path, &text, &self.overrides).map_err(Box::new)?)))
    }

    /// The run file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::io("read the run file", path))
}
