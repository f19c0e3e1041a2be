//! What makes a run the run it is: a resumed run must be the same.

use std::collections::{BTreeMap, BTreeSet};

use alft_policy::Decay;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::panel::Panel;
use crate::runfile::RunFile;

/// What makes a run the run it is: what may not change when it is resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    settings: serde_json::Value,
    /// BLAKE3 of each plugin's file, and of the files of questions and worked examples.
    files: BTreeMap<String, String>,
}

impl Identity {
    /// Reads and hashes the files that the run learns from.
    pub(crate) fn of(run: &RunFile, panel: &Panel) -> Result<Self> {
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
        ];
        if run.train.schedule.decay == Decay::Constant {
            // It may be made longer, too, where the learning rate does not depend on how long it is.
            free.push("/train/steps".into());
        }
        free.extend(
            (0..run.plugins.len()).flat_map(|at| [format!("/plugin/{at}/path"), format!("/plugin/{at}/crate")]),
        );
        for key in free {
            if let Some(value) = settings.pointer_mut(&key) {
                value.take();
            }
        }
        let plugins = panel.seats.iter().map(|seat| (format!("plugin {}", seat.name), seat.hash.clone()));
        let mut files: BTreeMap<String, String> = plugins.collect();
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
        let mut changed = difference(&self.settings, &now.settings, "");
        let names: BTreeSet<&String> = self.files.keys().chain(now.files.keys()).collect();
        changed.extend(names.into_iter().filter(|name| self.files.get(*name) != now.files.get(*name)).cloned());
        changed
    }
}

/// The keys at which two JSON values differ.
fn difference(a: &serde_json::Value, b: &serde_json::Value, key: &str) -> Vec<String> {
    use serde_json::Value::{Array, Object};
    let below = |inner: &str| if key.is_empty() { inner.to_owned() } else { format!("{key}.{inner}") };
    match (a, b) {
        (Object(a), Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            let null = serde_json::Value::Null;
            let inner =
                |key: &String| difference(a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), &below(key));
            keys.into_iter().flat_map(inner).collect()
        }
        (Array(a), Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().flat_map(|(at, (a, b))| difference(a, b, &below(&at.to_string()))).collect()
        }
        _ if a == b => Vec::new(),
        _ => vec![key.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named_by_key() {
        let a = serde_json::json!({"train": {"steps": 1, "loss": {"beta": 0.1}}, "plugin": [{"weight": 1}]});
        let b = serde_json::json!({"train": {"steps": 1, "loss": {"beta": 0.2}}, "plugin": [{"weight": 2}]});
        assert_eq!(difference(&a, &b, ""), ["plugin.0.weight", "train.loss.beta"]);
    }
}
