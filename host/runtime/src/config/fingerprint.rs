//! The settings and files that a run may not change when it is resumed.

use std::collections::{BTreeMap, BTreeSet};

use alft_policy::Decay;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::run_file::RunFile;
use crate::error::{Error, Result};

/// Everything that a resumed run must have in common with the run that was saved. Plugins and limits may change: see
/// [`ActivePlugins`](crate::plugins::ActivePlugins).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigFingerprint {
    settings: Value,
    /// BLAKE3 of the files of questions and worked examples.
    files: BTreeMap<String, String>,
}

impl ConfigFingerprint {
    /// Reads and hashes the files that the run learns from.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(run: &RunFile) -> Result<Self> {
        let mut settings = serde_json::to_value(run).expect("a run file prints");
        // A run may be moved, saved more often, and continued on another device or with other memory, which neither completions
        // nor gradients depend on. The content of its files is hashed below.
        let mut free = vec![
            "/output",
            "/export",
            "/train/save_every",
            "/train/checkpoint_every",
            "/train/activation_checkpointing",
            "/model/device",
            "/model/path",
            "/model/adapter",
            "/sampling/max_batch",
            "/sampling/cache_mib",
            "/prompts/train",
            "/prompts/eval",
            "/warm_start/data",
            "/plugin",
            "/limits",
        ];
        if run.train.schedule.decay == Decay::Constant {
            // The learning rate does not depend on the run's length, so the run may be made longer.
            free.push("/train/steps");
        }
        for key in free {
            settings.pointer_mut(key).map(Value::take);
        }
        let examples = run.warm_start.as_ref().map(|warm_start| &warm_start.data);
        let adapter = run.model.adapter.as_ref().map(|folder| folder.join("adapter_config.json"));
        let data = [
            ("model.adapter", adapter.as_ref()),
            ("prompts.train", Some(&run.prompts.train)),
            ("prompts.eval", run.prompts.eval.as_ref()),
            ("warm_start.data", examples),
        ];
        let mut files = BTreeMap::new();
        for (key, path) in data.into_iter().filter_map(|(key, path)| Some((key, path?))) {
            let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
            files.insert(key.into(), blake3::hash(&bytes).to_hex().to_string());
        }
        Ok(Self { settings, files })
    }

    /// Adds a text that the run depends on and that is in none of its files.
    pub(crate) fn with_text(mut self, key: &str, text: &str) -> Self {
        self.files.insert(key.into(), blake3::hash(text.as_bytes()).to_hex().to_string());
        self
    }

    /// The keys and files in which `now` differs.
    pub fn changes(&self, now: &Self) -> Vec<String> {
        let settings = differences(&self.settings, &now.settings, "");
        let mut changed: Vec<String> = settings.into_iter().map(|(key, ..)| key).collect();
        let names: BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        changed.extend(names.into_iter().filter(|name| self.files.get(*name) != now.files.get(*name)).cloned());
        changed
    }
}

/// The keys below `key` at which two JSON values differ, with the value in each.
pub fn differences(a: &Value, b: &Value, key: &str) -> Vec<(String, Value, Value)> {
    use Value::{Array, Object};
    let below = |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
    match (a, b) {
        (Object(a), Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            let inner =
                |key: &String| differences(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &below(key));
            keys.into_iter().flat_map(inner).collect()
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            let entries = a.iter().zip(b).enumerate();
            entries.flat_map(|(place, (a, b))| differences(a, b, &below(&place.to_string()))).collect()
        }
        _ if a == b => Vec::new(),
        _ => vec![(key.to_owned(), a.clone(), b.clone())],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_key() {
        let a = serde_json::json!({"train": {"steps": 1, "loss": {"beta": 0.1}}, "plugin": [{"weight": 1}]});
        let b = serde_json::json!({"train": {"steps": 1, "loss": {"beta": 0.2}}, "plugin": [{"weight": 2}]});
        let keys: Vec<String> = differences(&a, &b, "").into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["plugin.0.weight", "train.loss.beta"]);
    }
}
