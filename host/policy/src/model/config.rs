//! The configuration of a model. [`super::config_json`] reads and writes it.

use std::path::Path;

use super::rope::{Frequencies, RopeScaling};
use crate::error::{Error, Result};

/// A model family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// `LlamaForCausalLM`: Llama, SmolLM 1 and 2, and many others.
    Llama,
    /// `MistralForCausalLM`.
    Mistral,
    /// `Qwen2ForCausalLM`: Qwen2 and Qwen2.5.
    Qwen2,
    /// `Qwen3ForCausalLM`.
    Qwen3,
    /// `SmolLM3ForCausalLM`.
    SmolLm3,
}

/// The configuration of a decoder-only transformer of one of the families.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// The family.
    pub architecture: Architecture,
    /// Number of rows of the embedding.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the gated feed-forward layer.
    pub intermediate_size: usize,
    /// Number of decoder layers.
    pub layers: usize,
    /// Number of query heads.
    pub heads: usize,
    /// Number of key and value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head; even.
    pub head_dim: usize,
    /// Number of tokens the model can attend to.
    pub context_length: usize,
    /// Constant added to the mean square in RMSNorm.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Scaling of the rotary frequencies, if any.
    pub rope_scaling: Option<RopeScaling>,
    /// The layers that rotate neither queries nor keys, by index.
    pub unrotated_layers: Vec<usize>,
    /// True if every head of the queries and keys is normalised before it is rotated.
    pub qk_norm: bool,
    /// True if the output head is the embedding.
    pub tie_word_embeddings: bool,
    /// True if the q, k and v projections have biases.
    pub qkv_bias: bool,
    /// True if the attention's output projection has a bias.
    pub output_bias: bool,
    /// The beginning-of-sequence token, if the model has one.
    pub bos_token: Option<u32>,
    /// The end-of-sequence tokens; training appends the first one. Empty for a model that names none.
    pub eos_tokens: Vec<u32>,
}

impl ModelConfig {
    /// Fails for sizes that would otherwise fail inside a tensor product, where the error could not name the field.
    /// Errors name `path`.
    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        let invalid = |reason: String| Err(Error::content(path, reason));
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.layers),
            ("num_attention_heads", self.heads),
            ("num_key_value_heads", self.kv_heads),
            ("head_dim", self.head_dim),
            ("max_position_embeddings", self.context_length),
        ];
        // The product of two sizes up to this limit cannot overflow.
        const LIMIT: usize = 1 << 28;
        for (name, size) in sizes {
            if size == 0 || size > LIMIT {
                return invalid(format!("{name} is {size}; it must lie between 1 and {LIMIT}"));
            }
        }
        const WIDEST_HEAD: usize = 1 << 16;
        if self.head_dim > WIDEST_HEAD {
            return invalid(format!("head_dim is {}; it must be at most {WIDEST_HEAD}", self.head_dim));
        }
        if !self.heads.is_multiple_of(self.kv_heads) {
            return invalid(format!(
                "num_key_value_heads ({}) must divide num_attention_heads ({})",
                self.kv_heads, self.heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return invalid(format!("head_dim is {}; it must be even for rotary embeddings", self.head_dim));
        }
        if !(self.rms_norm_eps >= 0.0 && self.rope_theta > 0.0) {
            return invalid("rms_norm_eps must be at least 0 and rope_theta above 0".to_owned());
        }
        if !self.frequencies().angles.iter().all(|angle| angle.is_finite() && *angle >= 0.0) {
            return invalid(
                "the rope scaling gives frequencies that are not finite; its factors must be above 0".to_owned(),
            );
        }
        if let Some(token) = self.eos_tokens.iter().find(|token| **token as usize >= self.vocab_size) {
            return invalid(format!("eos_token_id {token} is outside the vocabulary of {}", self.vocab_size));
        }
        Ok(())
    }

    /// Returns the rotation of queries and keys by their positions.
    pub(crate) fn frequencies(&self) -> Frequencies {
        Frequencies::new(self.head_dim, self.rope_theta, self.rope_scaling)
    }
}
