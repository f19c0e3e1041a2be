//! The cache of the Python library huggingface_hub: its place and its layout.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::{Path, PathBuf},
};

use serde_json::Value;

use super::is_word;
use crate::{
    error::{Error, Result},
    formats::safetensors::{INDEX, WEIGHTS},
    model::companions::{CONFIG, TOKENIZER},
};

/// The folders of the library.
#[derive(Debug, PartialEq)]
pub(super) struct HubCache {
    /// The folder of the models.
    pub(super) models: PathBuf,
    /// The file with the token of a user who has logged in.
    pub(super) token: PathBuf,
}

impl HubCache {
    /// Returns the folders that an environment's variables name, of a user with this home: `HF_HUB_CACHE`, or `hub` in
    /// `HF_HOME`, which is `~/.cache/huggingface` unless it is set.
    pub(super) fn of(variable: impl Fn(&str) -> Option<OsString>, home: &Path) -> Self {
        let folder = |name: &str| {
            let path = PathBuf::from(variable(name).filter(|value| !value.is_empty())?);
            Some(path.strip_prefix("~").map(|rest| home.join(rest)).unwrap_or(path))
        };
        let caches = || folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
        let library = folder("HF_HOME").unwrap_or_else(|| caches().join("huggingface"));
        let models = folder("HF_HUB_CACHE").or_else(|| folder("HUGGINGFACE_HUB_CACHE"));
        Self {
            models: models.unwrap_or_else(|| library.join("hub")),
            token: folder("HF_TOKEN_PATH").unwrap_or_else(|| library.join("token")),
        }
    }

    /// Returns the folder of the commit of a revision: a branch or tag that was fetched before, or a commit.
    pub(super) fn snapshot(&self, repository: &str, revision: &str) -> Option<PathBuf> {
        let model = self.models.join(format!("models--{}", repository.replace('/', "--")));
        // The library keeps no reference for a commit.
        let commit = match alft_fs::read_to_string(&model.join("refs").join(revision), alft_fs::MAX_SETTINGS) {
            Ok(commit) => commit.trim().to_owned(),
            Err(_) => Some(revision).filter(|revision| is_commit(revision))?.to_owned(),
        };
        Some(model.join("snapshots").join(commit)).filter(|folder| folder.is_dir())
    }
}

/// Returns true for the full name of a commit.
fn is_commit(revision: &str) -> bool {
    revision.len() == 40 && revision.bytes().all(|letter| letter.is_ascii_hexdigit())
}

/// Returns true if a folder has a model's configuration, tokenizer and all weights. Other programs may have fetched a part.
pub(super) fn is_whole(folder: &Path) -> bool {
    let has = |name: &str| folder.join(name).exists();
    let has_shards = || shards(&folder.join(INDEX)).is_ok_and(|names| names.iter().all(|name| has(name)));
    has(CONFIG) && has(TOKENIZER) && (has(WEIGHTS) || has_shards())
}

/// Returns the names of the files that an index of shards lists.
pub(super) fn shards(path: &Path) -> Result<BTreeSet<String>> {
    let text = alft_fs::read_to_string(path, alft_fs::MAX_DESCRIPTION).map_err(Error::read(path))?;
    let index: Value = serde_json::from_str(&text).map_err(Error::format(path, "JSON"))?;
    let files = index["weight_map"].as_object().into_iter().flatten().filter_map(|(_, file)| file.as_str());
    // The index is a stranger's, and a name with `..` would lead out of the cache.
    let name = |file: &str| match is_word(&file) {
        true => Ok(file.to_owned()),
        false => Err(Error::content(path, format!("lists {file:?}, which is no name of a file beside it"))),
    };
    files.map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_cache_is_where_huggingface_hub_has_it() {
        let of = |variables: &[(&str, &str)]| {
            let variable = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, v)| v.into());
            let HubCache { models, token } = HubCache::of(variable, Path::new("/home/ada"));
            [models, token].map(|path| path.to_str().unwrap().to_owned())
        };
        let usual = ["/home/ada/.cache/huggingface/hub", "/home/ada/.cache/huggingface/token"];
        assert_eq!(of(&[]), usual);
        assert_eq!(of(&[("HF_HOME", ""), ("HF_HUB_CACHE", "")]), usual);
        assert_eq!(of(&[("XDG_CACHE_HOME", "/c")]), ["/c/huggingface/hub", "/c/huggingface/token"]);
        let home = [("HF_HOME", "~/hf"), ("XDG_CACHE_HOME", "/c")];
        assert_eq!(of(&home), ["/home/ada/hf/hub", "/home/ada/hf/token"]);
        let models = [("HF_HUB_CACHE", "/m"), ("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_HOME", "/h")];
        assert_eq!(of(&models), ["/m", "/h/token"]);
        assert_eq!(of(&[("HUGGINGFACE_HUB_CACHE", "/old"), ("HF_TOKEN_PATH", "/t")]), ["/old", "/t"]);
    }

    #[test]
    fn a_commit_is_found_without_a_reference_and_a_part_of_a_model_is_not_whole() {
        let home = tempfile::tempdir().unwrap();
        let cache = HubCache { models: home.path().to_owned(), token: PathBuf::new() };
        let (commit, model) = ("0123456789abcdef0123456789abcdef01234567", home.path().join("models--own--llama"));
        assert_eq!(cache.snapshot("own/llama", commit), None);
        let folder = model.join("snapshots").join(commit);
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(cache.snapshot("own/llama", commit).as_ref(), Some(&folder));
        assert_eq!(cache.snapshot("own/llama", "main"), None);
        assert_eq!(cache.snapshot("own/llama", "snapshots"), None);
        fs::create_dir_all(model.join("refs")).unwrap();
        fs::write(model.join("refs/main"), format!("{commit}\n")).unwrap();
        assert_eq!(cache.snapshot("own/llama", "main").as_ref(), Some(&folder));
        let write = |name: &str, text: &str| fs::write(folder.join(name), text).unwrap();
        write(CONFIG, "{}");
        write(TOKENIZER, "{}");
        assert!(!is_whole(&folder));
        write(INDEX, r#"{"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}"#);
        write("one.safetensors", "");
        assert!(!is_whole(&folder));
        write("two.safetensors", "");
        assert!(is_whole(&folder));
        write(INDEX, r#"{"weight_map": {"a": "../one.safetensors"}}"#);
        assert!(!is_whole(&folder) && shards(&folder.join(INDEX)).is_err());
    }
}
