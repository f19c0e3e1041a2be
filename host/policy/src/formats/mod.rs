//! Models on disk: Hugging Face folders, GGUF files and adapters of PEFT, read and written; and models of a hub.
//!
//! [`export`] has the formats that a model is written in.

pub(crate) mod export;
mod gguf;
pub(crate) mod hub;
mod huggingface;
mod mistaken;
pub(crate) mod peft;
pub(crate) mod safetensors;

use std::path::Path;

use candle_core::{DType, Device};

use self::export::Export;
use crate::{
    error::{Error, Result},
    model::{chat::ChatTemplate, lora, quantisation::Quantisation},
    policy::Policy,
};

/// The GGUF file of an export.
const GGUF: &str = "model.gguf";

impl Policy {
    /// Opens a model: a folder in Hugging Face's format (`config.json`, `tokenizer.json`, safetensors), or a GGUF file.
    ///
    /// # Errors
    /// Fails if files are missing or damaged, and for an architecture that is not supported.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        Self::open_quantised(path, device, None)
    }

    /// Opens a model as [`Self::open`] does. With a quantisation each projection's weight is kept in that type as soon as it is
    /// read, for training of adapters; those that a GGUF file has in as many bits or fewer are kept as they are.
    ///
    /// # Errors
    /// As [`Self::open`]. [`Error::Setting`] for a model whose rows the type's blocks do not fill.
    pub fn open_quantised(path: &Path, device: &Device, quantisation: Option<Quantisation>) -> Result<Self> {
        if !path.try_exists().map_err(Error::read(path))? {
            return Err(Error::NoModel { path: path.to_owned() });
        }
        let metadata = std::fs::metadata(path).map_err(Error::read(path))?;
        match metadata.is_dir() {
            true => huggingface::load(path, device, quantisation),
            false => gguf::load(path, device, quantisation),
        }
    }

    /// Writes the model as a Hugging Face folder, in `f32`, with adapters merged. The folder appears complete or not at
    /// all; an existing folder is replaced.
    ///
    /// # Errors
    /// Fails if the folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        self.export(dir, Export::default())
    }

    /// Writes the model as a Hugging Face folder, with adapters merged, in the formats of `export`. A GGUF file is `model.gguf`
    /// in the folder. The folder appears complete or not at all; an existing folder is replaced.
    ///
    /// # Errors
    /// As [`Self::check_export`]; the folder cannot be written.
    pub fn export(&self, dir: &Path, export: Export) -> Result<()> {
        // Weights are converted from f32, whatever the policy computes in. A device that trains may be too small for that.
        let model = self.transformer.map(&mut |_, weight| Ok(weight.to_device(&Device::Cpu)?))?;
        let model = lora::merge(&model.computing_in(DType::F32))?;
        alft_fs::folder(dir, |dir| {
            huggingface::write(self, &model, dir, export.dtype)?;
            match export.gguf {
                Some(format) => gguf::write(self, &model, &dir.join(GGUF), format),
                None => Ok(()),
            }
        })
    }

    /// Fails if the model cannot be written in the formats of `export`.
    ///
    /// # Errors
    /// [`Error::Setting`] for a GGUF file of a model whose family, tokenizer or sizes the format has no names for.
    pub fn check_export(&self, export: Export) -> Result<()> {
        if export.gguf.is_some() { gguf::check(self) } else { Ok(()) }
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
    /// [`Error::ChatTemplate`] for a template that cannot be compiled, [`Error::TemplateWithoutQuestion`] for one that leaves
    /// questions out, [`Error::Setting`] for a text that is no date.
    pub fn chat_template(&self, date: Option<&str>) -> Result<Option<ChatTemplate>> {
        let Some(source) = self.companions.chat_template() else { return Ok(None) };
        let template = ChatTemplate::new(&source, self.companions.named_tokens(), date)?;
        template.check_keeps_questions(self.companions.chat_template_place())?;
        Ok(Some(template))
    }
}
