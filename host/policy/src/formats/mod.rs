//! Models on disk: Hugging Face folders and adapters of PEFT, read and written, and GGUF files, read; and models of a hub.

mod gguf;
pub(crate) mod hub;
mod huggingface;
pub(crate) mod peft;
pub(crate) mod safetensors;

use std::path::Path;

use candle_core::Device;

use crate::{
    error::{Error, Result},
    model::chat::ChatTemplate,
    policy::Policy,
};

impl Policy {
    /// Opens a model: a folder in Hugging Face's format (`config.json`, `tokenizer.json`, safetensors), or a GGUF file.
    ///
    /// # Errors
    /// Fails if files are missing or damaged, and for an architecture that is not supported.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        if !path.try_exists().map_err(Error::read(path))? {
            return Err(Error::NoModel { path: path.to_owned() });
        }
        let metadata = std::fs::metadata(path).map_err(Error::read(path))?;
        if metadata.is_dir() { huggingface::load(path, device) } else { gguf::load(path, device) }
    }

    /// Writes the model as a Hugging Face folder, in `f32`, with adapters merged. The folder appears complete or not at
    /// all; an existing folder is replaced.
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        huggingface::save(self, dir)
    }

    /// Writes the policy's adapters as a folder of PEFT, for the base model at `base`. The folder appears complete or not at
    /// all; an existing folder is replaced. Returns false for a policy without adapters, and writes nothing.
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn save_adapter(&self, base: &Path, dir: &Path) -> Result<bool> {
        peft::save(&self.transformer, base, dir)
    }

    /// Returns the chat template that came with the model, which is told `date`, as `2024-07-26`; that one unless there is
    /// one. `None` for a model without a template.
    ///
    /// # Errors
    /// [`Error::ChatTemplate`] for a template that cannot be compiled, [`Error::Setting`] for a text that is no date.
    pub fn chat_template(&self, date: Option<&str>) -> Result<Option<ChatTemplate>> {
        let Some(source) = huggingface::chat_template(&self.companions) else { return Ok(None) };
        ChatTemplate::new(&source, huggingface::named_tokens(&self.companions), date).map(Some)
    }
}
