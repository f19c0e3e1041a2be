//! The journal of a run: a line for each step, and from time to time the whole state in their place.
//!
//! A step counts once its line is in the journal. The line names the length of the ledger, which is cut to it when the run is
//! opened again, so whatever a kill leaves behind, targets and ledger agree.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use alft_game::Target;
use alft_runtime::record::RunDir;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::remembered::Answer;

/// The whole state is written again once the lines since have this many bytes, and as many as the state itself.
const LINES: u64 = 8 << 20;

/// The largest file that is read back.
const MAX_READ: u64 = 16 << 30;

/// A step of a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Entry {
    /// The step, from 1.
    pub(crate) step: u64,
    /// Bytes of the ledger after the step.
    pub(crate) ledger: u64,
    /// The reader that the targets' keys come from.
    pub(crate) reader: String,
    /// The targets that moved, by question.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) targets: BTreeMap<String, Target>,
    /// The multipliers after the step.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) multipliers: BTreeMap<String, f64>,
    /// The answer to a request that may be repeated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answer>,
}

/// The whole state after a step.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snapshot {
    /// The last step, with all targets.
    pub(crate) entry: Entry,
    /// The answers that are remembered, oldest first.
    pub(crate) answers: Vec<Answer>,
}

/// The journal that a run appends to.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
    /// Bytes of the lines, and of the snapshot before them.
    lines: u64,
    snapshot: u64,
}

const SNAPSHOT: &str = "state.json";

impl Journal {
    /// Opens the journal of a run. Returns the state before its lines, and the steps since. A line that a kill left half
    /// written is cut off.
    pub(crate) fn open(dir: &RunDir) -> Result<(Self, Snapshot, Vec<Entry>)> {
        let wrong = |path: &Path, reason: String| Error::Record { path: path.to_path_buf(), reason };
        let state = dir.path.join(SNAPSHOT);
        let bytes = read(&state)?;
        let snapshot: Snapshot = match bytes.as_slice() {
            [] => Snapshot::default(),
            bytes => serde_json::from_slice(bytes).map_err(|error| wrong(&state, error.to_string()))?,
        };
        let path = dir.path.join("journal.jsonl");
        let text = read(&path)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut entries = Vec::new();
        for (number, line) in text[..whole].split_inclusive(|byte| *byte == b'\n').enumerate() {
            let entry: Entry =
                serde_json::from_slice(line).map_err(|error| wrong(&path, format!("line {}: {error}", number + 1)))?;
            // A kill between the writing of the state and the emptying of the journal leaves lines that the state has.
            if entry.step > snapshot.entry.step {
                entries.push(entry);
            }
        }
        alft_fs::require_regular_if_exists(&path).map_err(Error::io("open", &path))?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        file.set_len(whole as u64).map_err(Error::io("cut", &path))?;
        Ok((Self { path, file, lines: whole as u64, snapshot: bytes.len() as u64 }, snapshot, entries))
    }

    /// Appends a step. It outlives this process, but not a power failure.
    pub(crate) fn append(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).expect("entries are plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io("append to", &self.path))?;
        self.lines += line.len() as u64;
        Ok(())
    }

    /// Returns true if it is time to [write](Self::write) the whole state.
    pub(crate) fn is_long(&self) -> bool {
        self.lines > LINES.max(self.snapshot)
    }

    /// Writes the whole state, on disk when this returns, and empties the journal.
    pub(crate) fn write(&mut self, dir: &RunDir, snapshot: &Snapshot) -> Result<()> {
        let bytes = serde_json::to_vec(snapshot).expect("a state is plain data");
        dir.write(SNAPSHOT, &bytes)?;
        self.file.set_len(0).map_err(Error::io("cut", &self.path))?;
        (self.lines, self.snapshot) = (0, bytes.len() as u64);
        Ok(())
    }

    /// Waits until all steps are on disk.
    pub(crate) fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io("write", &self.path))
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    match alft_fs::read(path, MAX_READ) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(Error::io("read", path)),
    }
}
