//! A run's folder: append-only records, and the state from which a run goes on.
//!
//! Records are flushed before the state that counts them is saved, and a resumed run cuts them to what its state had
//! counted. So whatever a kill leaves behind, records and state tell the same story.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use alft_plugin_host::file;
use alft_plugin_host::ledger::Ledger;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The files in a run's folder.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Folder {
    /// Makes a new folder: `wanted`, or `wanted-2`, `wanted-3`… where there already is one. Nothing is overwritten.
    pub(crate) fn create(wanted: &Path) -> Result<Self> {
        if let Some(parent) = wanted.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create the folder", parent))?;
        }
        let mut path = wanted.to_path_buf();
        let mut number = 1;
        loop {
            match std::fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    number += 1;
                    let mut name = wanted.as_os_str().to_owned();
                    name.push(format!("-{number}"));
                    path = name.into();
                }
                Err(error) => return Err(Error::io("create the folder", &path)(error)),
            }
        }
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.path.join("state")
    }

    pub(crate) fn model(&self) -> PathBuf {
        self.path.join("model")
    }

    pub(crate) fn checkpoint(&self, step: u64) -> PathBuf {
        self.path.join(format!("checkpoints/step-{step:06}"))
    }

    pub(crate) fn ledger(&self) -> PathBuf {
        self.path.join("ledger")
    }

    pub(crate) fn plugins(&self) -> PathBuf {
        self.path.join("plugins")
    }

    /// Where the run keeps the plugin's file of this BLAKE3.
    pub(crate) fn plugin(&self, hash: &str) -> PathBuf {
        self.plugins().join(hash)
    }

    pub(crate) fn metrics(&self) -> PathBuf {
        self.path.join("metrics.jsonl")
    }

    /// Keeps other processes out of the run until the file is dropped.
    pub(crate) fn lock(&self) -> Result<File> {
        let path = self.path.join("lock");
        let file =
            file::regular_if_any(&path).and_then(|()| File::create(&path)).map_err(Error::io("create", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(std::fs::TryLockError::WouldBlock) => {
                Err(Error::Resume { path: self.path.clone(), reason: "another process is at work on this run".into() })
            }
            Err(std::fs::TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
        }
    }

    /// Removes the drafts that killed processes left. The caller has the folder's lock.
    pub(crate) fn sweep(&self) {
        for folder in [&self.path, &self.state(), &self.path.join("checkpoints")] {
            alft_policy::sweep(folder);
        }
    }

    pub(crate) fn curves(&self) -> PathBuf {
        self.path.join("curves.svg")
    }

    /// Writes a whole file so that it appears complete or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.path.join(name);
        let partial = self.path.join(format!("{name}.partial"));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            std::fs::rename(&partial, &path)
        };
        write().map_err(Error::io("write", &path))
    }
}

/// The records of a run.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) metrics: Records,
    pub(crate) samples: Records,
    pub(crate) diagnostics: Records,
    pub(crate) ledger: Ledger,
}

/// Bytes of each of a journal's files.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Lengths {
    metrics: u64,
    samples: u64,
    diagnostics: u64,
    ledger: u64,
}

impl Journal {
    /// Opens the records of a folder and cuts them to what a state counted.
    pub(crate) fn open(folder: &Folder, lengths: Lengths) -> Result<Self> {
        Ok(Self {
            metrics: Records::open(folder.metrics(), lengths.metrics)?,
            samples: Records::open(folder.path.join("samples.jsonl"), lengths.samples)?,
            diagnostics: Records::open(folder.path.join("diagnostics.jsonl"), lengths.diagnostics)?,
            ledger: Ledger::open(&folder.ledger(), lengths.ledger)?,
        })
    }

    /// Hands all lines to the system, so that readers of the files see them.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.samples.flush()?;
        self.diagnostics.flush()?;
        Ok(self.ledger.flush()?)
    }

    /// Makes sure that all lines are on disk, and says how many bytes they are.
    pub(crate) fn sync(&mut self) -> Result<Lengths> {
        Ok(Lengths {
            metrics: self.metrics.sync()?,
            samples: self.samples.sync()?,
            diagnostics: self.diagnostics.sync()?,
            ledger: self.ledger.sync()?,
        })
    }
}

/// A JSON-lines file that is only appended to.
#[derive(Debug)]
pub(crate) struct Records {
    path: PathBuf,
    file: BufWriter<File>,
    length: u64,
}

impl Records {
    /// Opens the file and cuts it to `length` bytes: what came later belongs to steps that will be made again.
    pub(crate) fn open(path: PathBuf, length: u64) -> Result<Self> {
        let file = file::regular_if_any(&path)
            .and_then(|()| OpenOptions::new().create(true).truncate(false).write(true).open(&path))
            .map_err(Error::io("open", &path))?;
        let found = file.metadata().map_err(Error::io("look at", &path))?.len();
        if found < length {
            let reason =
                format!("has {found} bytes, but the saved state counts on {length}; the run cannot go on from it");
            return Err(Error::Resume { path, reason });
        }
        let mut file = file;
        let cut = file.set_len(length).and_then(|()| std::io::Seek::seek(&mut file, std::io::SeekFrom::Start(length)));
        cut.map_err(Error::io("cut", &path))?;
        Ok(Self { path, file: BufWriter::new(file), length })
    }

    /// Appends one line.
    pub(crate) fn append(&mut self, record: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_vec(record).expect("records are plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("append to", &self.path))?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush().map_err(Error::io("append to", &self.path))
    }

    /// Makes sure that all lines are on disk, and says how many bytes they are.
    pub(crate) fn sync(&mut self) -> Result<u64> {
        self.flush()?;
        self.file.get_ref().sync_data().map_err(Error::io("append to", &self.path))?;
        Ok(self.length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_numbered_and_never_overwritten() {
        let home = tempfile::tempdir().unwrap();
        let wanted = home.path().join("runs/x");
        let names: Vec<_> = (0..3).map(|_| Folder::create(&wanted).unwrap().path).collect();
        assert_eq!(names, ["runs/x", "runs/x-2", "runs/x-3"].map(|name| home.path().join(name)));
    }

    #[test]
    fn records_are_cut_to_what_the_state_counted() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("m.jsonl");
        let mut records = Records::open(path.clone(), 0).unwrap();
        records.append(&1).unwrap();
        let length = records.sync().unwrap();
        records.append(&"half a st").unwrap();
        drop(records);
        let mut records = Records::open(path.clone(), length).unwrap();
        records.append(&2).unwrap();
        drop(records);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "1\n2\n");
        assert!(matches!(Records::open(path, 99), Err(Error::Resume { .. })));
    }
}
