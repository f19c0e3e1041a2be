//! The table `[model]`: the policy.

use std::path::PathBuf;

use alft_policy::{DevicePreference, HubModel, LoraConfig, Precision, Quantisation};
use serde::{Deserialize, Serialize};

use super::source::InvalidSetting;

/// The policy: `embedded`, `path` or `hub`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// A model that comes with alft.
    pub embedded: Option<Embedded>,
    /// A folder in Hugging Face's format, or a GGUF file.
    pub path: Option<PathBuf>,
    /// A model of a hub, as `owner/model` or `owner/model/FILE.gguf`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// The branch, tag or commit of a model of a hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The device of the weights.
    #[serde(default)]
    pub device: DevicePreference,
    /// The number format of computations.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub dtype: Precision,
    /// The type that the weights of projections are kept in, frozen, while adapters are trained.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
    /// Low-rank adapters, trained in place of all weights.
    pub lora: Option<LoraConfig>,
    /// A folder of PEFT, whose adapters are trained further in place of all weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
}

impl Model {
    /// Finds the first setting that cannot work.
    pub(super) fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = |key: &str, reason: &str| Err(InvalidSetting::new(key, reason));
        let Model { embedded, path, hub, revision, .. } = self;
        if [embedded.is_some(), path.is_some(), hub.is_some()].into_iter().filter(|given| *given).count() != 1 {
            return wrong("model", "needs one of `embedded = \"tiny\"`, `path` and `hub`, and not two");
        }
        if revision.is_some() && hub.is_none() {
            return wrong("model.revision", "is that of a model of a hub; write `hub`");
        }
        if self.quantisation.is_some() && self.lora.is_none() && self.adapter.is_none() {
            let reason = "keeps frozen weights in few bits, and without adapters all are trained, by steps that few bits would \
                          round away; add `lora` or `adapter`, or leave it out";
            return wrong("model.quantisation", reason);
        }
        if self.lora.is_some() && self.adapter.is_some() {
            let reason = "goes on from adapters that have their settings; leave `lora` out";
            return wrong("model.adapter", reason);
        }
        Ok(())
    }

    /// Returns the model of a hub that the run file names, if it names one.
    ///
    /// # Errors
    /// [`alft_policy::Error::Setting`] for a text that is no such name.
    pub(crate) fn hub(&self) -> Result<Option<HubModel>, alft_policy::Error> {
        self.hub.as_deref().map(|name| HubModel::new(name, self.revision.as_deref())).transpose()
    }
}

/// A model that comes with alft.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Embedded {
    /// A character-level transformer of about 160 thousand weights, random from the seed.
    Tiny,
}
