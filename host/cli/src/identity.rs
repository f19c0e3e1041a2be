//! What makes a run the run it is: a resumed run must be the same.

use std::collections::{BTreeMap, BTreeSet};

use alft_policy::Decay;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::runfile::RunFile;

/// What may not change when a run is resumed. Its plugins and limits may: see [`change`](crate::change).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    settings: Value,
    /// BLAKE3 of the files of questions and worked examples.
    files: BTreeMap<String, String>,
}

impl Identity {
    /// Reads and hashes the files that the run learns from.
    pub(crate) fn of(run: &RunFile) -> Result<Self> {
        let mut settings = serde_json::to_value(run).expect("a run file prints");
        // A run may be moved, saved more often, and go on on another device. What its files hold is hashed below.
        let mut free = vec![
            "/output".to_owned(),
            "/train/save_every".into(),
            "/train/checkpoint_every".into(),
            "/model/device".into(),
            "/model/path".into(),
            "/prompts/train".into(),
            "/prompts/eval".into(),
            "/warm_start/data".into(),
            "/plugin".into(),
            "/limits".into(),
        ];
        if run.train.schedule.decay == Decay::Constant {
            // It may be made longer, too, where the learning rate does not depend on how long it is.
            free.push("/train/steps".into());
        }
        for key in free {
            if let Some(value) = settings.pointer_mut(&key) {
                value.take();
            }
        }
        let mut files = BTreeMap::new();
        let worked = run.warm_start.as_ref().map(|warm| &warm.data);
        let data = [("prompts.train", Some(&run.prompts.train)), ("prompts.eval", run.prompts.eval.as_ref())];
        for (key, path) in data.into_iter().chain([("warm_start.data", worked)]) {
            if let Some(path) = path {
                let bytes = std::fs::read(path).map_err(Error::io("read", path))?;
                files.insert(key.into(), blake3::hash(&bytes).to_hex().to_string());
            }
        }
        Ok(Self { settings, files })
    }

    /// The keys and files in which a run differs from the one it would go on with.
    pub(crate) fn changes(&self, now: &Self) -> Vec<String> {
        let settings = difference(&self.settings, &now.settings, "");
        let mut changed: Vec<String> = settings.into_iter().map(|(key, ..)| key).collect();
        let names: BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        changed.extend(names.into_iter().filter(|name| self.files.get(*name) != now.files.get(*name)).cloned());
        changed
    }
}

/// The keys at which two JSON values differ, below `key`, with what is there in the one and in the other.
pub(crate) fn difference(a: &Value, b: &Value, key: &str) -> Vec<(String, Value, Value)> {
    use Value::{Array, Object};
    let below = |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
    match (a, b) {
        (Object(a), Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = Value::Null;
            let inner =
                |key: &String| difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &below(key));
            keys.into_iter().flat_map(inner).collect()
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().flat_map(|(at, (a, b))| difference(a, b, &below(&at.to_string()))).collect()
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
        let keys: Vec<String> = difference(&a, &b, "").into_iter().map(|(key, ..)| key).collect();
        assert_eq!(keys, ["plugin.0.weight", "train.loss.beta"]);
    }
}
