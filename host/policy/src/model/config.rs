//! The configuration of a model. [`super::config_json`] reads and writes it.

use alft_kernels::{Activation, Heads, NormConstants};
use std::path::Path;

use super::rope::{Frequencies, Rope, RopeScaling};
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
    /// `Gemma3ForCausalLM`, and the text model of `Gemma3ForConditionalGeneration`.
    Gemma3,
}

/// The parts of a layer's computation that families other than Llama change; the default is Llama's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Variant {
    /// The activation of the gate in the feed-forward layers.
    pub activation: Activation,
    /// True if a normalisation's stored weight is the difference of its factor from 1.
    pub norms_from_one: bool,
    /// True if the outputs of attention and of feed-forward layers are normalised, too, before they are added to the stream.
    pub output_norms: bool,
    /// True if the embedding of a token is multiplied by the root of `hidden_size`.
    pub scaled_embedding: bool,
    /// Square of the divisor of attention scores; `head_dim` if `None`.
    pub query_pre_attn_scalar: Option<usize>,
    /// The sliding window of some layers, if any.
    pub window: Option<SlidingWindow>,
}

/// The attention of some layers to the last tokens alone.
#[derive(Debug, Clone, PartialEq)]
pub struct SlidingWindow {
    /// Number of tokens that a query attends to, of which its own is the last.
    pub size: usize,
    /// The layers, by index.
    pub layers: Vec<usize>,
    /// Base of these layers' rotary frequencies, which are not scaled; `None` if they have those of the other layers.
    pub rope_theta: Option<f64>,
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
    /// Further differences from Llama.
    pub variant: Variant,
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
        const MOST_LAYERS: usize = 1 << 12;
        if self.layers > MOST_LAYERS {
            return invalid(format!("num_hidden_layers is {}; it must be at most {MOST_LAYERS}", self.layers));
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
        let Variant { query_pre_attn_scalar, window, .. } = &self.variant;
        if *query_pre_attn_scalar == Some(0) {
            return invalid("query_pre_attn_scalar is 0; it must be at least 1".to_owned());
        }
        if let Some(SlidingWindow { size, rope_theta, .. }) = window {
            if *size == 0 || *size > LIMIT {
                return invalid(format!("sliding_window is {size}; it must lie between 1 and {LIMIT}"));
            }
            if rope_theta.is_some_and(|theta| !(theta > 0.0 && theta.is_finite())) {
                return invalid("the base of the rotary frequencies of sliding layers must be above 0".to_owned());
            }
        }
        let finite = |of: &Frequencies| of.angles.iter().all(|angle| angle.is_finite() && *angle >= 0.0);
        if !self.rope().all().all(finite) {
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
    pub(crate) fn rope(&self) -> Rope {
        let sliding = self.variant.window.as_ref().and_then(|window| window.rope_theta);
        Rope {
            full: Frequencies::new(self.head_dim, self.rope_theta, self.rope_scaling),
            sliding: sliding.map(|theta| Frequencies::new(self.head_dim, theta, None)),
        }
    }

    /// Returns the attention of a layer.
    pub(crate) fn attention(&self, layer: usize) -> Heads {
        let heads = Heads::new(self.heads, self.kv_heads, self.head_dim);
        let Variant { query_pre_attn_scalar, window, .. } = &self.variant;
        Heads {
            scale: query_pre_attn_scalar.map_or(heads.scale, |scalar| 1.0 / (scalar as f64).sqrt()),
            window: match window {
                Some(window) if window.layers.contains(&layer) => window.size,
                _ => heads.window,
            },
            ..heads
        }
    }

    /// Returns the numbers of normalisations.
    pub(crate) fn norm_constants(&self) -> NormConstants {
        let offset = if self.variant.norms_from_one { 1.0 } else { 0.0 };
        NormConstants { epsilon: self.rms_norm_eps, offset }
    }
}
