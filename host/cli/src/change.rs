//! Changes of the run file while its run goes on.
//!
//! Between steps `alft train` looks at its run file. Plugins and limits may be other ones than before; nothing else may.
//! An edit is read, checked and its plugins opened before anything is taken over: one that does not work is refused, and
//! the run keeps what it had.
//!
//! A change that is taken is first written to `changes.jsonl`, with the step that it comes before, and then used. So a
//! resumed run finds there what it did after its state was saved, and does it again at the same steps. Only when that
//! record is at its end does it heed the run file that it was given: where it asks for other plugins than those in force,
//! that is one more change, at that step, just as if the file had been edited between two steps.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;

use alft_plugin_host::{Limits, file};
use serde::{Deserialize, Serialize};

use crate::entry::PluginEntry;
use crate::error::{Error, Result};
use crate::folder::{Folder, Records};
use crate::identity::difference;
use crate::panel::Panel;
use crate::runfile::RunFile;

/// The plugins of a run from some step on, and what they may use.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Lineup {
    #[serde(rename = "plugin")]
    pub(crate) plugins: Vec<PluginEntry>,
    pub(crate) limits: Limits,
    /// BLAKE3 of each plugin's file, by the plugin's name.
    pub(crate) hashes: BTreeMap<String, String>,
    /// The plugin that reads the answers.
    reader: String,
}

impl Lineup {
    /// Of a run file and its opened plugins.
    pub(crate) fn of(run: &RunFile, panel: &Panel) -> Self {
        Self {
            plugins: run.plugins.clone(),
            limits: run.limits.clone(),
            hashes: panel.seats.iter().map(|seat| (seat.name.clone(), seat.hash.clone())).collect(),
            reader: panel.reader().name.clone(),
        }
    }

    /// What `now` has otherwise, in words; nothing where both are the same.
    pub(crate) fn changes(&self, now: &Self) -> Vec<String> {
        let mut words = Vec::new();
        let names = |lineup: &Self| lineup.plugins.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(self), names(now));
        words.extend(before.iter().filter(|name| !after.contains(name)).map(|name| format!("{name} is removed")));
        words.extend(after.iter().filter(|name| !before.contains(name)).map(|name| format!("{name} is added")));
        let kept = |names: &[String], others: &[String]| -> Vec<String> {
            names.iter().filter(|name| others.contains(name)).cloned().collect()
        };
        let both = kept(&after, &before);
        if both != kept(&before, &after) {
            words.push(format!("the order is {}", after.join(", ")));
        }
        for name in &both {
            if self.hashes.get(name) != now.hashes.get(name) {
                let hash = now.hashes.get(name).map_or("", String::as_str);
                words.push(format!("{name} is another file, {}", &hash[..hash.len().min(16)]));
            }
            words.extend(told(name, &self.settings(name), &now.settings(name)));
        }
        let limits = |lineup: &Self| serde_json::to_value(&lineup.limits).expect("limits print");
        words.extend(told("limits", &limits(self), &limits(now)));
        words
    }

    /// Whether the plugin is in both, and the same file with the same settings.
    pub(crate) fn keeps(&self, name: &str, now: &Self) -> bool {
        let settings = self.settings(name);
        !settings.is_null() && settings == now.settings(name) && self.hashes.get(name) == now.hashes.get(name)
    }

    /// Whether answers have the same keys in both.
    pub(crate) fn reads_as(&self, now: &Self) -> bool {
        let of = |lineup: &Self| {
            let config = lineup.settings(&lineup.reader)["config"].clone();
            (config, lineup.hashes.get(&lineup.reader).cloned())
        };
        of(self) == of(now)
    }

    /// The entry less where its file lies: a run may be moved, and what is in the file is hashed.
    fn settings(&self, name: &str) -> serde_json::Value {
        let entry = self.plugins.iter().find(|entry| entry.name == name);
        let mut settings = serde_json::to_value(entry).expect("an entry prints");
        if let Some(table) = settings.as_object_mut() {
            ["path", "crate"].iter().for_each(|key| drop(table.remove(*key)));
        }
        settings
    }
}

fn told(name: &str, before: &serde_json::Value, now: &serde_json::Value) -> Vec<String> {
    let changed = difference(before, now, name).into_iter();
    changed.map(|(key, before, now)| format!("{key} is {now} (was {before})")).collect()
}

/// A line of `changes.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Steps of the game that were done before it.
    pub(crate) step: u64,
    /// In words.
    pub(crate) what: Vec<String>,
    /// What is in force from here on.
    #[serde(flatten)]
    pub(crate) lineup: Lineup,
}

/// The record of a run's changes.
#[derive(Debug)]
pub(crate) struct Changes {
    records: Records,
    /// Recorded, but not yet done again by this resumed run.
    ahead: VecDeque<Change>,
}

impl Changes {
    /// Opens the record of a run whose state knows the first `known` changes. A line that a kill left half written was
    /// never used, and is cut off.
    pub(crate) fn open(folder: &Folder, known: usize) -> Result<Self> {
        let path = folder.path.join("changes.jsonl");
        let bytes = match file::regular_if_any(&path).and_then(|()| std::fs::read(&path)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io("read", &path))?,
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines: std::result::Result<Vec<Change>, _> =
            bytes[..whole].split_inclusive(|byte| *byte == b'\n').map(serde_json::from_slice).collect();
        let wrong = |reason: String| Error::Resume { path: path.clone(), reason };
        let lines = lines.map_err(|error| wrong(format!("a line is no change that this alft made: {error}")))?;
        if lines.len() < known {
            let have = lines.len();
            return Err(wrong(format!("has {have} changes, but the saved state counts on {known}")));
        }
        let ahead = lines.into_iter().skip(known).collect();
        Ok(Self { records: Records::open(path, whole as u64)?, ahead })
    }

    /// Whether there are changes to be done again.
    pub(crate) fn ahead(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// A change to be done again before the step that comes after `step`.
    pub(crate) fn due(&mut self, step: u64) -> Option<Change> {
        self.ahead.pop_front_if(|change| change.step <= step)
    }

    /// Writes a change down, on disk when this returns.
    pub(crate) fn record(&mut self, change: &Change) -> Result<()> {
        self.records.append(change)?;
        self.records.sync().map(drop)
    }
}

/// The run file on disk.
#[derive(Debug)]
pub(crate) struct Watch {
    path: PathBuf,
    overrides: Vec<String>,
    /// What was read last, or why it could not be.
    seen: Option<Result<String, String>>,
}

impl Watch {
    /// Reads the run file for the first time.
    pub(crate) fn begin(path: PathBuf, overrides: Vec<String>) -> Result<(Self, RunFile)> {
        let text = RunFile::text(&path)?;
        let run = RunFile::parse(&path, text.clone(), &overrides)?;
        Ok((Self { path, overrides, seen: Some(Ok(text)) }, run))
    }

    /// Looks at the file as if for the first time.
    pub(crate) fn forget(&mut self) {
        self.seen = None;
    }

    /// The run file, or why it cannot be used in place of `run`, if it is not as it was seen last.
    pub(crate) fn look(&mut self, run: &RunFile) -> Option<Result<RunFile, String>> {
        let found = RunFile::text(&self.path).map_err(|error| error.told());
        if self.seen.as_ref() == Some(&found) {
            return None;
        }
        self.seen = Some(found.clone());
        Some(found.and_then(|text| {
            let edited = RunFile::parse(&self.path, text, &self.overrides).map_err(|error| error.told())?;
            let fixed = |run: &RunFile| {
                let mut settings = serde_json::to_value(run).expect("a run file prints");
                let table = settings.as_object_mut().expect("a run file is a table");
                ["plugin", "limits"].iter().for_each(|key| drop(table.remove(*key)));
                settings
            };
            let keys: Vec<String> =
                difference(&fixed(run), &fixed(&edited), "").into_iter().map(|(key, ..)| key).collect();
            match keys.is_empty() {
                true => Ok(edited),
                false => Err(format!("{} cannot change while the run goes on", keys.join(", "))),
            }
        }))
    }

    /// What is told of an edit that is refused.
    pub(crate) fn refusal(&self, why: &str) -> String {
        format!("the edit of {} is refused, and the run keeps the plugins that it has: {why}", self.path.display())
    }
}
