//! Changes of plugins, limits and the learning rate while a run goes on.
//!
//! A change that is adopted is first written to `changes.jsonl`, with the step that it comes before, and then used. A
//! resumed run finds there which changes it made after its state was saved, and makes them again at the same steps. Only
//! when that record is at its end does the run follow the run file that it was given: where the file asks for something
//! else than what is active, that is one more change at that step, as if the file had been edited between two steps.

use std::collections::{BTreeMap, VecDeque};

use alft_plugin_host::Limits;
use alft_policy::Schedule;
use serde::{Deserialize, Serialize};

use super::set::PluginSet;
use crate::config::{PluginEntry, RunFile, differences};
use crate::error::{Error, Result};
use crate::record::{JsonlWriter, RunDir};

/// The settings of a run that may change while it goes on, as they are from some step on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActiveConfig {
    /// The plugins' tables of the run file.
    #[serde(rename = "plugin")]
    pub plugins: Vec<PluginEntry>,
    /// The run file's `[limits]`.
    pub limits: Limits,
    /// The learning rate over the steps of the game.
    pub schedule: Schedule,
    /// BLAKE3 of each plugin's file, by the plugin's name.
    pub hashes: BTreeMap<String, String>,
    /// The name of the plugin that reads the answers.
    reader: String,
}

impl ActiveConfig {
    /// The settings of a run file, with its plugins as they were opened.
    pub(crate) fn new(run: &RunFile, plugins: &PluginSet) -> Self {
        Self {
            plugins: run.plugins.clone(),
            limits: run.limits.clone(),
            schedule: run.game_schedule(),
            hashes: plugins.iter().map(|plugin| (plugin.name.clone(), plugin.hash.clone())).collect(),
            reader: plugins.reader().1.name.clone(),
        }
    }

    /// The differences between these settings and `next`, in words; empty where both are the same.
    pub fn changes(&self, next: &Self) -> Vec<String> {
        let mut words = Vec::new();
        let names = |active: &Self| active.plugins.iter().map(|entry| entry.name.clone()).collect::<Vec<_>>();
        let (before, after) = (names(self), names(next));
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
            if self.hashes.get(name) != next.hashes.get(name) {
                let hash = next.hashes.get(name).map_or("", String::as_str);
                words.push(format!("{name} is another file, {}", &hash[..hash.len().min(16)]));
            }
            words.extend(described(name, &self.settings(name), &next.settings(name)));
        }
        let limits = |active: &Self| serde_json::to_value(&active.limits).expect("limits print");
        words.extend(described("limits", &limits(self), &limits(next)));
        let schedule = |active: &Self| serde_json::to_value(&active.schedule).expect("a schedule prints");
        words.extend(described("train.schedule", &schedule(self), &schedule(next)));
        words
    }

    /// Returns true if the plugin is in both, as the same file with the same settings.
    pub(crate) fn keeps(&self, name: &str, next: &Self) -> bool {
        let settings = self.settings(name);
        !settings.is_null() && settings == next.settings(name) && self.hashes.get(name) == next.hashes.get(name)
    }

    /// Returns true if answers have the same keys in both.
    pub(crate) fn reads_as(&self, next: &Self) -> bool {
        let reader = |active: &Self| {
            let config = active.settings(&active.reader)["config"].clone();
            (config, active.hashes.get(&active.reader).cloned())
        };
        reader(self) == reader(next)
    }

    /// The plugin's table without the place of its file: a run may be moved, and the file itself is hashed.
    fn settings(&self, name: &str) -> serde_json::Value {
        let entry = self.plugins.iter().find(|entry| entry.name == name);
        let mut settings = serde_json::to_value(entry).expect("an entry prints");
        if let Some(table) = settings.as_object_mut() {
            ["path", "crate"].iter().for_each(|key| drop(table.remove(*key)));
        }
        settings
    }
}

fn described(name: &str, before: &serde_json::Value, next: &serde_json::Value) -> Vec<String> {
    let changed = differences(before, next, name).into_iter();
    changed.map(|(key, before, next)| format!("{key} is {next} (was {before})")).collect()
}

/// A line of `changes.jsonl`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConfigChange {
    /// Steps of the game that were done before the change.
    pub step: u64,
    /// The change in words.
    #[serde(rename = "what")]
    pub changes: Vec<String>,
    /// Everything that may change, as it is from here on.
    #[serde(flatten)]
    pub active: ActiveConfig,
}

/// The record of a run's changes.
#[derive(Debug)]
pub(crate) struct ChangeLog {
    file: JsonlWriter,
    /// Changes that are recorded and that this resumed run has not made again yet.
    pending: VecDeque<ConfigChange>,
}

impl ChangeLog {
    /// Opens the record of a run whose state counts the first `known` changes. A line that a kill left half written was
    /// never used, and is cut off.
    pub(crate) fn open(dir: &RunDir, known: usize) -> Result<Self> {
        let path = dir.path.join("changes.jsonl");
        let bytes = match alft_fs::read(&path, alft_fs::MAX_DATA) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(Error::io("read", &path))?,
        };
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let lines = bytes[..whole].split_inclusive(|byte| *byte == b'\n').enumerate();
        let wrong = |reason: String| Error::Resume { path: path.clone(), reason };
        let changes: Vec<ConfigChange> = lines
            .map(|(number, line)| {
                let reason = |error| format!("line {} is no change that this alft made: {error}", number + 1);
                serde_json::from_slice(line).map_err(|error| wrong(reason(error)))
            })
            .collect::<Result<_>>()?;
        if changes.len() < known {
            let found = changes.len();
            return Err(wrong(format!("the file has {found} changes, but the saved state counts {known}")));
        }
        let pending = changes.into_iter().skip(known).collect();
        Ok(Self { file: JsonlWriter::open(path, whole as u64)?, pending })
    }

    /// Returns true while recorded changes are still to be made again.
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// The next recorded change that is due once `step` steps are done.
    pub(crate) fn due(&mut self, step: u64) -> Option<ConfigChange> {
        self.pending.pop_front_if(|change| change.step <= step)
    }

    /// Closes the record without a change that was not handed to the system yet.
    pub(crate) fn discard(self) {
        self.file.discard();
    }

    /// Writes a change, on disk when this returns.
    pub(crate) fn record(&mut self, change: &ConfigChange) -> Result<()> {
        self.file.append(change)?;
        self.file.sync().map(drop)
    }
}
