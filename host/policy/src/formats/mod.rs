//! Models on disk: Hugging Face folders, read and written, and GGUF files, read.

mod gguf;
mod huggingface;
pub(crate) mod safetensors;

use std::path::Path;

use candle_core::Device;

use crate::{
    error::{Error, Result},
    policy::Policy,
};

impl Policy {
    /// Opens a model: a folder in Hugging Face's format (`config.json`, `tokenizer.json`, safetensors), or a GGUF file.
    ///
    /// # Errors
    /// Fails if files are missing or damaged, and for an architecture that is not supported.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
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

    /// Returns the chat template that came with the model, in Jinja, if there is one.
    pub fn chat_template(&self) -> Option<String> {
        huggingface::chat_template(&self.companions)
    }
}
