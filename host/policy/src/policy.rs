//! The policy: a model with its tokenizer.

use candle_core::Device;

use crate::{
    device::Precision,
    error::Result,
    model::{
        batch::Sequence, companions::Companions, config::ModelConfig, init::random, lora, quantisation::Quantisation,
        tiny, tokenizer::Tokenizer, transformer::Transformer,
    },
};

/// A language model that can be sampled, scored and trained.
///
/// A clone shares the weights, so the clone of a policy in training changes with it, and so does [`Policy::merged`] of a
/// policy without adapters. [`Policy::save`] keeps the weights of a moment.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) config: ModelConfig,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) transformer: Transformer,
    /// Files that came with the model and are exported with it, such as the chat template.
    pub(crate) companions: Companions,
}

impl Policy {
    /// Creates the embedded tiny model: one token for each character of printable ASCII, about 160 thousand weights,
    /// drawn from `seed`. It knows nothing until it is trained.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub fn tiny(seed: u64, device: &Device) -> Result<Self> {
        let tokenizer = tiny::tokenizer()?;
        let config = tiny::config(&tokenizer);
        let transformer = random(&config, seed, device)?;
        Ok(Self { config, tokenizer, transformer, companions: Companions::default() })
    }

    /// Returns the policy computing in `precision`, with the same weights.
    ///
    /// # Errors
    /// As [`Precision::prepare`].
    pub fn in_precision(self, precision: Precision) -> Result<Self> {
        precision.prepare(self.device())?;
        Ok(Self { transformer: self.transformer.computing_in(precision.dtype()), ..self })
    }

    /// Returns the policy with the weights of its projections kept in a type of few bits, if there is one, for training of
    /// adapters. Its embedding, head, norms and biases stay as they are.
    ///
    /// # Errors
    /// [`Error::Setting`](crate::Error::Setting) if the type's blocks do not fill the rows of a weight.
    pub fn quantised(mut self, quantisation: Option<Quantisation>) -> Result<Self> {
        if let Some(quantisation) = quantisation {
            quantisation.quantise_projections(&mut self.transformer)?;
        }
        Ok(self)
    }

    /// Returns the policy with its adapters merged into its weights. Nothing in it is trainable.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub fn merged(&self) -> Result<Self> {
        Ok(Self { transformer: lora::merge(&self.transformer)?, ..self.clone() })
    }

    /// Returns the tokens of a text. Special tokens such as `<|im_start|>` are recognised.
    ///
    /// # Errors
    /// Fails for a text that the tokenizer cannot encode, for example a character that a character tokenizer lacks.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        self.tokenizer.encode(text)
    }

    /// Returns the text of tokens, without special tokens.
    ///
    /// # Errors
    /// Fails if the tokenizer does.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.tokenizer.decode(tokens)
    }

    /// Returns a supervised example: the prompt, as [`Tokenizer::encode_whole`] has it, and the completion followed by the
    /// end-of-sequence token.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn example(&self, prompt: &str, completion: &str) -> Result<Sequence> {
        self.completed(self.tokenizer.encode_whole(prompt)?, completion)
    }

    /// Returns a supervised example of a prompt's tokens, and the completion followed by the end-of-sequence token.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn completed(&self, prompt: Vec<u32>, completion: &str) -> Result<Sequence> {
        let mut completion = self.encode(completion)?;
        completion.extend(self.eos_tokens().first());
        Ok(Sequence { prompt, completion })
    }

    /// Returns the configuration of the model.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Returns the tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Returns the weights.
    pub fn transformer(&self) -> &Transformer {
        &self.transformer
    }

    /// Returns the device that holds the weights.
    pub fn device(&self) -> &Device {
        self.transformer.device()
    }

    /// Returns the end-of-sequence tokens; [`Self::example`] appends the first one. Empty for a model that names none.
    pub fn eos_tokens(&self) -> &[u32] {
        &self.config.eos_tokens
    }
}
