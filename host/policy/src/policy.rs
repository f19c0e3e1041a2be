//! A policy: a model with its tokenizer.

use std::path::Path;

use candle_core::Device;

use crate::{
    config::ModelConfig,
    error::{Error, Result},
    gguf, huggingface,
    logprob::Sequence,
    lora,
    tiny::tiny,
    tokenizer::Tokenizer,
    transformer::Transformer,
};

/// A language model that can be sampled, scored and trained.
///
/// Cloning shares the weights: the clone of a policy in training moves with it. [`Policy::merged`] of a full run does
/// too; [`Policy::save`] is the way to keep what it was.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) transformer: Transformer,
    /// Files that came with the model, by name, and that an export carries along: chat template and the like.
    pub(crate) companions: Vec<(String, String)>,
}

impl Policy {
    /// Opens a model: a folder in Hugging Face's format (`config.json`, `tokenizer.json`, safetensors), or a GGUF file.
    ///
    /// # Errors
    /// Files missing or damaged, or an architecture that is not supported.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(|source| Error::io(path, source))?;
        if metadata.is_dir() { huggingface::load(path, device) } else { gguf::load(path, device) }
    }

    /// The embedded tiny model: a token per character of printable ASCII, about 160 thousand weights, random from
    /// `seed`. It knows nothing until it is trained.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn tiny(seed: u64, device: &Device) -> Result<Self> {
        tiny(seed, device)
    }

    /// Writes the model as a Hugging Face folder, adapters merged, in `f32`. The folder appears whole or not at all; one
    /// that is there is replaced.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn save(&self, dir: &Path) -> Result<()> {
        huggingface::save(self, dir)
    }

    /// The policy with its adapters folded into its weights; nothing of it is trainable.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn merged(&self) -> Result<Self> {
        Ok(Self { transformer: lora::merge(&self.transformer)?, ..self.clone() })
    }

    /// The tokens of a text; special tokens such as `<|im_start|>` are recognised.
    ///
    /// # Errors
    /// A text that the tokenizer cannot encode, for example a character that a character-level tokenizer lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// The tokenizer's.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer.decode(tokens)
    }

    /// A supervised example: prompt, and completion with the end-of-sequence token after it.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn example(&self, prompt: &str, completion: &str) -> Result<Sequence> {
        let mut completion = self.encode(completion)?;
        completion.extend(self.eos_tokens().first());
        Ok(Sequence { prompt: self.encode(prompt)?, completion })
    }

    /// The shape of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The weights.
    pub fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// Where the weights are.
    pub fn device(&self) -> &Device {
        self.transformer.device()
    }

    /// The tokens that end a completion; the first is the one examples end with. Empty for a model that names none.
    pub fn eos_tokens(&self) -> &[u32] {
        &self.config.eos_tokens
    }

    /// The chat template that came with the model, in Jinja, if one did.
    pub fn chat_template(&self) -> Option<String> {
        let companion = |name: &str| self.companions.iter().find(|(file, _)| file == name).map(|(_, text)| text);
        if let Some(template) = companion(huggingface::CHAT_TEMPLATE) {
            return Some(template.clone());
        }
        let config: serde_json::Value = serde_json::from_str(companion(huggingface::TOKENIZER_CONFIG)?).ok()?;
        Some(config["chat_template"].as_str()?.to_owned())
    }
}
