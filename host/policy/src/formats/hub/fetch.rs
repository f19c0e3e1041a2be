//! Fetches the files of a model that the cache does not have.
//!
//! `HF_ENDPOINT` names another hub than huggingface.co, `HF_TOKEN` opens models that need one, and `HF_HUB_OFFLINE` forbids to
//! connect.

use std::{
    env,
    path::{Path, PathBuf},
};

use hf_hub::{
    Cache, Repo, RepoType,
    api::{
        Progress, Siblings,
        sync::{ApiBuilder, ApiError},
    },
};

use super::{
    Download, HubModel,
    cache::{HubCache, is_whole, shards},
};
use crate::{
    error::{Error, Result},
    formats::safetensors::{INDEX, WEIGHTS},
    model::{
        companions::{self, CONFIG, TOKENIZER},
        config::ModelConfig,
    },
};

pub(super) fn fetch(model: &HubModel, progress: &mut dyn FnMut(Download<'_>)) -> Result<PathBuf> {
    let failed = |source: ApiError| Error::Hub { model: model.repository.clone(), source: source.into() };
    let at = |revision: &str| Repo::with_revision(model.repository.clone(), RepoType::Model, revision.to_owned());
    let folders = HubCache::of(|name| env::var_os(name), &env::home_dir().unwrap_or_default());
    let cache = Cache::new(folders.models.clone()).repo(at(&model.revision));
    let given = |token: String| Some(token.trim().to_owned()).filter(|token| !token.is_empty());
    let token = env::var("HF_TOKEN").ok().and_then(given);
    let api = ApiBuilder::from_env()
        .with_cache_dir(folders.models.clone())
        .with_token(token.or_else(|| given(alft_fs::read_to_string(&folders.token, alft_fs::MAX_SETTINGS).ok()?)))
        .with_progress(false)
        .build()
        .map_err(failed)?;
    let cached = folders.snapshot(&model.repository, &model.revision).and_then(|snapshot| fetched(model, &snapshot));
    if env::var("HF_HUB_OFFLINE").is_ok_and(|value| is_true(&value)) {
        return cached
            .ok_or_else(|| Error::HubOffline { model: model.repository.clone(), revision: model.revision.clone() });
    }
    let info = match (api.repo(at(&model.revision)).info(), cached) {
        (Ok(info), _) => info,
        (Err(_), Some(found)) => return Ok(found),
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
    let found = match &model.file {
        Some(file) => get(file)?,
        None => {
            let has = |name: &str| info.siblings.iter().any(|Siblings { rfilename }| rfilename == name);
            if let Some(missing) = [CONFIG, TOKENIZER].into_iter().find(|name| !has(name)) {
                let reason = format!("the repository has no {missing}, which alft needs");
                return Err(Error::content(Path::new(&model.repository), reason));
            }
            // A model that cannot be loaded is refused before its weights are fetched.
            let config = get(CONFIG)?;
            ModelConfig::from_json(
                &alft_fs::read_to_string(&config, alft_fs::MAX_DESCRIPTION).map_err(Error::read(&config))?,
                &config,
            )?;
            for name in companions::NAMES.into_iter().filter(|name| has(name)) {
                get(name)?;
            }
            if has(INDEX) {
                for shard in shards(&get(INDEX)?)? {
                    get(&shard)?;
                }
            } else {
                get(WEIGHTS)?;
            }
            snapshot.clone()
        }
    };
    if model.revision != info.sha {
        cache.create_ref(&info.sha).map_err(|error| failed(error.into()))?;
    }
    Ok(found)
}

/// Returns true for the values of a variable that huggingface_hub takes as a yes.
fn is_true(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_lowercase().as_str())
}

/// Returns the model's file or folder in the folder of a commit, if it was fetched whole.
fn fetched(model: &HubModel, snapshot: &Path) -> Option<PathBuf> {
    match &model.file {
        Some(file) => Some(snapshot.join(file)).filter(|file| file.exists()),
        None => is_whole(snapshot).then(|| snapshot.to_owned()),
    }
}

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
