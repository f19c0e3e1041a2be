//! The settings and files that a run may not change when it is resumed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::model_files::{adapter_files, model_files};
use super::run_file::RunFile;
use crate::error::{Error, Result};

/// Everything that a resumed run must have in common with the run that was saved. Plugins, limits and the learning rate may change:
/// see [`ActiveConfig`](crate::plugins::ActiveConfig).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ConfigFingerprint {
    settings: Value,
    /// BLAKE3 of the files of questions, worked examples, model and adapter.
    files: BTreeMap<String, String>,
}

impl ConfigFingerprint {
    /// Reads and hashes the files that the run learns from.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn new(run: &RunFile) -> Result<Self> {
        let mut settings = serde_json::to_value(run).expect("a run file prints");
        // A run may be moved, saved, evaluated and made longer otherwise, and continued on another device or with other memory,
        // which neither completions nor gradients depend on. Changes of the learning rate are on record by themselves. The
        // content of the run's files is hashed below.
        let free = [
            "/output",
            "/export",
            "/train/save_every",
            "/train/checkpoint_every",
            "/train/keep",
            "/train/best",
            "/train/schedule",
            "/train/steps",
            "/eval/every",
            "/train/activation_checkpointing",
            "/model/device",
            "/model/path",
            "/model/hub",
            "/model/revision",
            "/model/adapter",
            "/sampling/max_batch",
            "/sampling/cache_mib",
            "/prompts/train",
            "/prompts/eval",
            "/warm_start/data",
            "/plugin",
            "/serve",
            "/limits",
        ];
        for key in free {
            settings.pointer_mut(key).map(Value::take);
        }
        let examples = run.warm_start.as_ref().map(|warm_start| &warm_start.data);
        let data = [
            ("prompts.train", Some(&run.prompts.train)),
            ("prompts.eval", run.prompts.eval.as_ref()),
            ("warm_start.data", examples),
        ];
        let data = data.into_iter().filter_map(|(key, path)| Some((key.to_owned(), path?.clone())));
        // Adapters are trained on top of weights that the state does not hold, and the reference policy may be them.
        let model = run.model.path.iter().flat_map(|path| model_files(path));
        let adapter = run.model.adapter.iter().flat_map(|folder| adapter_files(folder));
        let hashed = data.chain(model).chain(adapter).map(|(key, path)| Ok((key, hash(&path)?)));
        Ok(Self { settings, files: hashed.collect::<Result<_>>()? })
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

/// The BLAKE3 of a file, in hexadecimal. It is read in pieces: the weights may be larger than the memory.
fn hash(path: &Path) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    let read = alft_fs::open(path).and_then(|file| hasher.update_reader(file).map(drop));
    read.map_err(Error::io("read", path))?;
    Ok(hasher.finalize().to_hex().to_string())
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

    /// The files by which two fingerprints of the run with these keys differ, after the file `changed` was written anew.
    fn changed_file(keys: &str, folder: &Path, changed: &str) -> Vec<String> {
        let text = format!("output = \"x\"\nprompts = {{ train = \"train.jsonl\" }}\ntrain = {{ steps = 3 }}\n{keys}");
        let run = RunFile::parse(&folder.join("run.toml"), &text, &[]).unwrap();
        let before = ConfigFingerprint::new(&run).unwrap();
        let bytes = std::fs::read(folder.join(changed)).unwrap();
        std::fs::write(folder.join(changed), [&bytes[..], b"x"].concat()).unwrap();
        let after = ConfigFingerprint::new(&run).unwrap();
        std::fs::write(folder.join(changed), bytes).unwrap();
        before.changes(&after)
    }

    #[test]
    fn another_quantisation_is_another_run() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("train.jsonl"), "{}").unwrap();
        let with = |keys: &str| {
            let model = format!("model = {{ embedded = \"tiny\", lora = {{ rank = 2 }}{keys} }}");
            let text =
                format!("output = \"x\"\nprompts = {{ train = \"train.jsonl\" }}\ntrain = {{ steps = 3 }}\n{model}");
            ConfigFingerprint::new(&RunFile::parse(&folder.path().join("run.toml"), &text, &[]).unwrap()).unwrap()
        };
        let quantised = with(", quantisation = \"q4_0\"");
        assert_eq!(quantised.changes(&with(", quantisation = \"q8_0\"")), ["model.quantisation"]);
        assert_eq!(quantised.changes(&with("")), ["model.quantisation"]);
        assert!(quantised.changes(&quantised).is_empty());
    }

    #[test]
    fn the_files_of_the_model_and_the_adapter_are_named_when_they_change() {
        let folder = tempfile::tempdir().unwrap();
        for folder in ["one", "shards", "adapter"].map(|name| folder.path().join(name)) {
            std::fs::create_dir(folder).unwrap();
        }
        let one = ["config.json", "tokenizer.json", "model.safetensors"].map(|name| format!("one/{name}"));
        let shards = ["config.json", "model.safetensors.index.json", "model-00001-of-00001.safetensors"];
        let adapter = ["adapter_config.json", "adapter_model.safetensors"];
        let shards = shards.map(|name| format!("shards/{name}"));
        let adapter = adapter.map(|name| format!("adapter/{name}"));
        for name in one.iter().chain(&shards).chain(&adapter).map(String::as_str).chain(["train.jsonl", "model.gguf"]) {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let name_of = |file: &str| file.split_once('/').unwrap().1.to_owned();
        let keys = "model = { path = \"one\", adapter = \"adapter\" }";
        for file in &one {
            assert_eq!(changed_file(keys, folder.path(), file), [format!("model.path/{}", name_of(file))]);
        }
        for file in &adapter {
            assert_eq!(changed_file(keys, folder.path(), file), [format!("model.adapter/{}", name_of(file))]);
        }
        for file in &shards {
            let changed = changed_file("model = { path = \"shards\" }", folder.path(), file);
            assert_eq!(changed, [format!("model.path/{}", name_of(file))]);
        }
        let changed = changed_file("model = { path = \"model.gguf\" }", folder.path(), "model.gguf");
        assert_eq!(changed, ["model.path"]);
    }
}
