//! The files of a model, which the fingerprint of a run covers.

use std::path::{Path, PathBuf};

/// The files that a model's folder is read from, besides its weights.
const SETTINGS: [&str; 6] = [
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "generation_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];

/// Returns the files of the model at `path`, each with its name in messages: `model.path/config.json` and so on, or for a
/// GGUF file `model.path`.
pub(super) fn model_files(path: &Path) -> Vec<(String, PathBuf)> {
    if !path.is_dir() {
        return vec![("model.path".into(), path.to_owned())];
    }
    let mut names: Vec<String> = SETTINGS.map(String::from).to_vec();
    let single = "model.safetensors";
    if path.join(single).is_file() {
        names.push(single.into());
    } else {
        // Shards, and the index that says which tensor is in which.
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let shard = |name: &String| name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
        names.extend(entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(shard));
    }
    let files = names.into_iter().map(|name| (format!("model.path/{name}"), path.join(name)));
    files.filter(|(_, path)| path.is_file()).collect()
}

/// Returns the files of the adapter in a folder of PEFT, each with its name in messages.
pub(super) fn adapter_files(folder: &Path) -> Vec<(String, PathBuf)> {
    let names = ["adapter_config.json", "adapter_model.safetensors"];
    names.map(|name| (format!("model.adapter/{name}"), folder.join(name))).to_vec()
}
