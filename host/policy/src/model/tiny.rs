//! The embedded tiny model: a character model, small enough to learn arithmetic in seconds on a laptop's CPU. It is a
//! real model in all but size and exports as a Hugging Face folder.

use crate::{
    error::Result,
    model::{
        config::{Architecture, ModelConfig, Variant},
        tokenizer::Tokenizer,
    },
};

/// Returns the tokenizer: one token for each character of printable ASCII, and for the newline.
pub(crate) fn tokenizer() -> Result<Tokenizer> {
    let characters: String = std::iter::once('\n').chain(' '..='~').collect();
    Tokenizer::from_characters(&["<pad>", "<eos>", "<unk>"], "<unk>", &characters)
}

/// Returns the configuration: 3 layers, 64 wide, about 160 thousand weights.
pub(crate) fn config(tokenizer: &Tokenizer) -> ModelConfig {
    ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: tokenizer.vocab_size(),
        hidden_size: 64,
        intermediate_size: 176,
        layers: 3,
        heads: 4,
        kv_heads: 4,
        head_dim: 16,
        context_length: 512,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        rope_scaling: None,
        unrotated_layers: Vec::new(),
        qk_norm: false,
        variant: Variant::default(),
        tie_word_embeddings: true,
        qkv_bias: false,
        output_bias: false,
        bos_token: None,
        eos_tokens: tokenizer.token_id("<eos>").into_iter().collect(),
    }
}
