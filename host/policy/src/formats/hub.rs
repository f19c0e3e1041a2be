//! Models of a hub, by name: fetched once into the cache that the Python library huggingface_hub uses too.
//!
//! `HF_ENDPOINT` names another hub than huggingface.co, `HF_HOME` another cache, and `HF_TOKEN` opens models that need one.

use std::fmt;
use std::path::PathBuf;

use crate::error::{Error, Result};

/// A file that is being fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download<'a> {
    /// The file's name in the model's repository.
    pub file: &'a str,
    /// The bytes that have arrived.
    pub received: u64,
    /// The bytes in all.
    pub size: u64,
}

impl fmt::Display for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let megabytes = self.size as f64 / 1e6;
        let percent = 100 * self.received / self.size.max(1);
        write!(f, "fetching {}: {percent}% of {megabytes:.1} MB", self.file)
    }
}

/// A model of a hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubModel {
    /// The repository, such as `HuggingFaceTB/SmolLM2-135M`.
    repository: String,
    /// A GGUF file in the repository; without one, the model is the folder.
    file: Option<String>,
    /// A branch, tag or commit.
    revision: String,
}

impl HubModel {
    /// A model by its name: `owner/model`, or `owner/model/FILE.gguf`. Without `revision` it is the branch `main`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a text that is no such name.
    pub fn new(name: &str, revision: Option<&str>) -> Result<Self> {
        let parts: Vec<&str> = name.split('/').collect();
        let (owner, model, file) = match parts[..] {
            [owner, model] => (owner, model, None),
            [owner, model, file] if file.ends_with(".gguf") => (owner, model, Some(file.to_owned())),
            _ => return Err(wrong_name(name)),
        };
        if !parts.iter().all(is_word) {
            return Err(wrong_name(name));
        }
        let revision = revision.unwrap_or("main").to_owned();
        Ok(Self { repository: format!("{owner}/{model}"), file, revision })
    }

    /// Returns the model's folder or file in the cache, and fetches the files that are missing from it. Without a
    /// connection to the hub, a model that was fetched whole before is used as it is.
    ///
    /// # Errors
    /// [`Error::HubNotBuilt`] in a build without the feature `hub`, and [`Error::Hub`] if the hub cannot be reached or has no
    /// such model.
    #[cfg(feature = "hub")]
    pub fn fetch(&self, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        fetched::fetch(self, progress)
    }

    /// Returns the model's folder or file in the cache, and fetches the files that are missing from it.
    ///
    /// # Errors
    /// [`Error::HubNotBuilt`]: this build is without the feature `hub`.
    #[cfg(not(feature = "hub"))]
    pub fn fetch(&self, _: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        let Self { repository, file, revision } = self;
        let files = file.as_deref().unwrap_or("config.json, tokenizer.json and all *.safetensors files").to_owned();
        Err(Error::HubNotBuilt { model: repository.clone(), revision: revision.clone(), files })
    }
}

/// Returns true for a part of a name: letters, digits, `-`, `_` and `.`, which does not begin it.
fn is_word(part: &&str) -> bool {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    !part.is_empty() && !part.starts_with('.') && part.chars().all(allowed)
}

fn wrong_name(name: &str) -> Error {
    let reason = format!("is {name:?}; it must be a name such as \"owner/model\" or \"owner/model/FILE.gguf\"");
    Error::setting("hub", reason)
}

#[cfg(feature = "hub")]
mod fetched {
    use std::{
        collections::BTreeSet,
        env, fs,
        path::{Path, PathBuf},
    };

    use hf_hub::{
        Cache, Repo, RepoType,
        api::{
            Progress, Siblings,
            sync::{ApiBuilder, ApiError},
        },
    };
    use serde_json::Value;

    use super::{Download, HubModel, is_word};
    use crate::{
        error::{Error, Result},
        formats::huggingface::{INDEX, WEIGHTS},
        model::companions::{self, CONFIG, TOKENIZER},
    };

    /// Tells of a file at its beginning and after each twentieth.
    struct Report<'a> {
        progress: &'a mut dyn FnMut(Download<'_>),
        file: String,
        received: u64,
        size: u64,
    }

    const PARTS: u64 = 20;

    impl Progress for Report<'_> {
        /// Also called when a download goes on after a break.
        fn init(&mut self, size: usize, file: &str) {
            let begins = self.file.is_empty();
            (self.size, self.file, self.received) = (size as u64, file.to_owned(), 0);
            if begins {
                (self.progress)(Download { file, received: 0, size: self.size });
            }
        }

        fn update(&mut self, size: usize) {
            let parts = |received: u64| received * PARTS / self.size.max(1);
            let before = parts(self.received);
            self.received += size as u64;
            if parts(self.received) > before {
                (self.progress)(Download { file: &self.file, received: self.received, size: self.size });
            }
        }

        fn finish(&mut self) {}
    }

    pub(super) fn fetch(model: &HubModel, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        let failed = |source: ApiError| Error::Hub { model: model.repository.clone(), source: source.into() };
        let at = |revision: &str| Repo::with_revision(model.repository.clone(), RepoType::Model, revision.to_owned());
        let cache = Cache::from_env().repo(at(&model.revision));
        let mut api = ApiBuilder::from_env().with_progress(false);
        if let Some(token) = env::var("HF_TOKEN").ok().filter(|token| !token.trim().is_empty()) {
            api = api.with_token(Some(token));
        }
        let api = api.build().map_err(failed)?;
        // The last file that is fetched.
        let last = model.file.as_deref().unwrap_or(CONFIG);
        let info = match (api.repo(at(&model.revision)).info(), cache.get(last)) {
            (Ok(info), _) => info,
            (Err(_), Some(found)) if model.file.is_some() || is_whole(&found) => return Ok(place(model, &found)),
            (Err(error), _) => return Err(failed(error)),
        };
        // All files are those of one commit, also if the branch moves meanwhile.
        let (snapshot, remote) = (cache.pointer_path(&info.sha), api.repo(at(&info.sha)));
        let mut get = |name: &str| -> Result<PathBuf> {
            let found = snapshot.join(name);
            if found.exists() {
                return Ok(found);
            }
            let report = Report { progress, file: String::new(), received: 0, size: 0 };
            remote.download_with_progress(name, report).map_err(failed)
        };
        if model.file.is_none() {
            let has = |name: &str| info.siblings.iter().any(|Siblings { rfilename }| rfilename == name);
            if let Some(missing) = [CONFIG, TOKENIZER].into_iter().find(|name| !has(name)) {
                let reason = format!("the repository has no {missing}, which alft needs");
                return Err(Error::content(Path::new(&model.repository), reason));
            }
            if has(INDEX) {
                for shard in shards(&get(INDEX)?)? {
                    get(&shard)?;
                }
            } else {
                get(WEIGHTS)?;
            }
            for name in companions::NAMES.into_iter().filter(|name| *name != last && has(name)) {
                get(name)?;
            }
        }
        let found = place(model, &get(last)?);
        cache.create_ref(&info.sha).map_err(|error| failed(error.into()))?;
        Ok(found)
    }

    /// Returns true if the weights lie beside a `config.json`: other programs may have fetched it alone.
    fn is_whole(config: &Path) -> bool {
        let beside = |name: &str| config.with_file_name(name);
        let has_shards = || shards(&beside(INDEX)).is_ok_and(|names| names.iter().all(|name| beside(name).exists()));
        beside(TOKENIZER).exists() && (beside(WEIGHTS).exists() || has_shards())
    }

    /// Returns the file, or the folder around it.
    fn place(model: &HubModel, last: &Path) -> PathBuf {
        match (&model.file, last.parent()) {
            (None, Some(folder)) => folder.to_owned(),
            _ => last.to_owned(),
        }
    }

    /// Returns the names of the files that an index of shards lists.
    fn shards(path: &Path) -> Result<BTreeSet<String>> {
        let text = fs::read_to_string(path).map_err(Error::read(path))?;
        let index: Value = serde_json::from_str(&text).map_err(Error::format(path, "JSON"))?;
        let files = index["weight_map"].as_object().into_iter().flatten().filter_map(|(_, file)| file.as_str());
        // The index is a stranger's, and a name with `..` would lead out of the cache.
        let name = |file: &str| match is_word(&file) {
            true => Ok(file.to_owned()),
            false => Err(Error::content(path, format!("lists {file:?}, which is no name of a file beside it"))),
        };
        files.map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_an_owner_a_model_and_perhaps_a_file() {
        let model = HubModel::new("Qwen/Qwen3-0.6B", Some("abc")).unwrap();
        assert_eq!((model.repository.as_str(), model.revision.as_str(), model.file), ("Qwen/Qwen3-0.6B", "abc", None));
        let model = HubModel::new("owner/model/q8.gguf", None).unwrap();
        assert_eq!((model.revision.as_str(), model.file.as_deref()), ("main", Some("q8.gguf")));
        for name in ["model", "a/b/c", "a//b", "a/../b.gguf", "a/b?x", ""] {
            assert!(HubModel::new(name, None).unwrap_err().to_string().contains("owner/model"), "{name}");
        }
    }

    #[test]
    #[cfg(not(feature = "hub"))]
    fn a_build_without_the_hub_says_what_to_put_where() {
        let error = HubModel::new("a/b", None).unwrap().fetch(&mut |_| ()).unwrap_err().to_string();
        assert!(error.contains("--features hub") && error.contains("tokenizer.json"), "{error}");
    }
}
