//! Models of a hub, by name: fetched once into the cache that the Python library huggingface_hub uses too.
//!
//! `cache` finds what was fetched before, and `fetch` gets what is missing.

#[cfg(any(feature = "hub", test))]
mod cache;
#[cfg(feature = "hub")]
mod fetch;

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

    /// Returns the model's folder or file in the cache, and fetches the files that are missing from it; the weights last, if
    /// the architecture is supported. Without a connection to the hub, a model that was fetched whole before is used as it
    /// is.
    ///
    /// # Errors
    /// [`Error::HubNotBuilt`] in a build without the feature `hub`, [`Error::HubOffline`] if the environment forbids to fetch what is
    /// missing, [`Error::Hub`] if the hub cannot be reached or has no such model, and the error of a `config.json` that is not supported.
    #[cfg(feature = "hub")]
    pub fn fetch(&self, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
        fetch::fetch(self, progress)
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
