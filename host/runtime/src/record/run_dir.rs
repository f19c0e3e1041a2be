//! A run's folder.
//!
//! Records are flushed before the state that counts them is saved, and a resumed run cuts them to the length that its
//! state had counted. So whatever a kill leaves behind, records and state agree.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The files in a run's folder.
#[derive(Debug, Clone)]
pub struct RunDir {
    /// The folder.
    pub path: PathBuf,
}

impl RunDir {
    /// Makes a new folder: `wanted`, or `wanted-2`, `wanted-3`… where there already is one that is not empty. Nothing is
    /// overwritten.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn create(wanted: &Path) -> Result<Self> {
        // Without a slash at the end, and with the name of the folder that `.` is.
        let absolute = || std::fs::canonicalize(wanted).map_err(Error::io("find the folder", wanted));
        let wanted: PathBuf = match wanted.file_name() {
            Some(_) => wanted.components().collect(),
            None => absolute()?,
        };
        if let Some(parent) = wanted.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
        }
        let mut path = wanted.clone();
        let mut number = 1;
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if std::fs::read_dir(&path).is_ok_and(|mut entries| entries.next().is_none()) {
                        return Ok(Self { path });
                    }
                    number += 1;
                    let mut name = wanted.as_os_str().to_owned();
                    name.push(format!("-{number}"));
                    path = name.into();
                }
                Err(error) => return Err(Error::io("create the folder", &path)(error)),
            }
        }
    }

    /// The state that a resumed run goes on from.
    pub fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    /// The trained model, as a Hugging Face folder.
    pub fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    /// The adapters of a run that trains some, as a folder of PEFT.
    pub fn adapter(&self) -> PathBuf {
        self.path.join("adapter")
    }

    /// The model after a step, as a Hugging Face folder.
    pub fn checkpoint(&self, step: u64) -> PathBuf {
        self.checkpoints().join(format!("step-{step:06}"))
    }

    /// The exported models after a step, each with its step, in their order.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn exported(&self) -> Result<Vec<(u64, PathBuf)>> {
        let folder = self.checkpoints();
        let entries = match std::fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::io("read the folder", &folder))?,
        };
        let step = |path: PathBuf| Some((path.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()?, path));
        let mut exported: Vec<(u64, PathBuf)> = entries.flatten().filter_map(|entry| step(entry.path())).collect();
        exported.sort();
        Ok(exported)
    }

    fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Every call of every plugin.
    pub fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    /// The plugins' files, by their hashes.
    pub fn plugins(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// The plugin's file of this BLAKE3.
    pub fn plugin(&self, hash: &str) -> PathBuf {
        self.plugins().join(hash)
    }

    /// A line a step.
    pub fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// A line a sample.
    pub fn samples(&self) -> PathBuf {
        self.path.join("samples.jsonl")
    }

    /// The plugins' diagnostics.
    pub fn diagnostics(&self) -> PathBuf {
        self.path.join("diagnostics.jsonl")
    }

    /// The picture of the run's curves.
    pub fn curves(&self) -> PathBuf {
        self.path.join("curves.svg")
    }

    /// Keeps other processes out of the run until the returned file is dropped.
    ///
    /// # Errors
    /// Another process works on the run, or the file cannot be made.
    pub fn lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file = alft_fs::open_to_change(&path).map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                let reason = "another process works on this run; wait for it, or stop it".into();
                Err(Error::Resume { path: self.path.clone(), reason })
            }
            Err(std::fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// Removes the drafts that killed processes left. The caller holds the folder's lock.
    pub fn sweep(&self) {
        for folder in [&self.path, &self.state(), &self.plugins(), &self.checkpoints()] {
            alft_fs::sweep(folder);
        }
    }

    /// Writes a whole file in the folder, which appears complete or not at all.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        Ok(alft_fs::write(&self.path.join(name), bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_numbered_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let wanted = home.path().join("runs/x");
        let used = |wanted: &Path| {
            let path = RunDir::create(wanted).unwrap().path;
            std::fs::write(path.join("run.toml"), "").unwrap();
            path
        };
        let names = [used(&wanted), used(&wanted), used(&home.path().join("runs/x/"))];
        assert_eq!(names, ["runs/x", "runs/x-2", "runs/x-3"].map(|name| home.path().join(name)));
        // An empty one is nobody's.
        std::fs::create_dir(home.path().join("given")).unwrap();
        assert_eq!(used(&home.path().join("given")), home.path().join("given"));
    }

    #[test]
    fn a_sweep_covers_every_folder_that_a_run_writes_into() {
        let home = tempfile::tempdir().unwrap();
        let dir = RunDir { path: home.path().to_path_buf() };
        let folders = [dir.path.clone(), dir.state(), dir.plugins(), dir.checkpoints()];
        let leftovers = folders.each_ref().map(|folder| folder.join("file.partial"));
        for (folder, leftover) in folders.iter().zip(&leftovers) {
            std::fs::create_dir_all(folder).unwrap();
            std::fs::write(leftover, b"half").unwrap();
        }
        dir.write("summary.json", b"{}").unwrap();
        dir.sweep();
        assert!(leftovers.iter().all(|leftover| !leftover.exists()));
        assert!(dir.path.join("summary.json").exists());
    }
}
