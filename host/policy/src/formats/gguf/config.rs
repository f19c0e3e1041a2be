//! The configuration of a model as metadata.

use candle_core::quantized::gguf_file::Value;

use super::{
    architecture::GgufArchitecture,
    gemma3,
    metadata::{Metadata, boolean, float, size, token},
    rope,
};
use crate::{
    error::Result,
    model::config::{Architecture, ModelConfig, Variant},
};

/// Facts about a model that its tensors tell and its metadata does not.
pub(super) struct Present {
    /// Rows of the embedding.
    pub(super) vocab_size: usize,
    /// True if the output head has a weight of its own.
    pub(super) head: bool,
    /// True if queries have a bias.
    pub(super) query_bias: bool,
    /// Divisors of the frequencies of positions, if there are any.
    pub(super) frequency_factors: Option<Vec<f64>>,
}

/// Reads the configuration of a file.
pub(super) fn read(metadata: &Metadata<'_>, architecture: &GgufArchitecture, tensors: &Present) -> Result<ModelConfig> {
    let key = |name: &str| format!("{}.{name}", architecture.name);
    let require = |name: &str| metadata.require(&key(name), size);
    let optional = |name: &str| metadata.optional(&key(name), size);
    let (hidden_size, heads, layers) =
        (require("embedding_length")?, require("attention.head_count")?, require("block_count")?);
    let head_dim = optional("attention.key_length")?.unwrap_or(hidden_size / heads.max(1));
    for name in ["attention.value_length", "rope.dimension_count"] {
        if let Some(width) = optional(name)?.filter(|width| *width != head_dim) {
            let key = key(name);
            let reason = format!("`{key}` is {width} and heads are {head_dim} wide; both must be the same");
            return Err(metadata.wrong(reason));
        }
    }
    if metadata.optional(&key("attention.causal"), boolean)? == Some(false) {
        return Err(metadata.wrong(format!("`{}` is false; only causal models are supported", key("attention.causal"))));
    }
    let rope_theta = metadata.optional(&key("rope.freq_base"), float)?.unwrap_or(10_000.0);
    let context = require("context_length")?;
    let family = architecture.families.first().copied().unwrap_or(Architecture::Llama);
    let config = ModelConfig {
        architecture: family,
        vocab_size: tensors.vocab_size,
        hidden_size,
        intermediate_size: require("feed_forward_length")?,
        layers,
        heads,
        kv_heads: optional("attention.head_count_kv")?.unwrap_or(heads),
        head_dim,
        // Attention is over all keys, so the context ends where a window would begin to leave some out.
        context_length: optional("attention.sliding_window")?
            .filter(|window| *window > 0 && family != Architecture::Gemma3)
            .unwrap_or(context)
            .min(context),
        rms_norm_eps: metadata.require(&key("attention.layer_norm_rms_epsilon"), float)?,
        rope_theta,
        rope_scaling: None,
        variant: Variant::default(),
        unrotated_layers: Vec::new(),
        qk_norm: matches!(family, Architecture::Qwen3 | Architecture::Gemma3),
        tie_word_embeddings: !tensors.head,
        qkv_bias: tensors.query_bias || family == Architecture::Qwen2,
        output_bias: has_output_bias(family, tensors.query_bias),
        bos_token: metadata.optional("tokenizer.ggml.bos_token_id", token)?,
        eos_tokens: end_tokens(metadata, family)?,
    };
    config.check(metadata.path)?;
    let rope_scaling = rope::read(metadata, architecture, &config, context, tensors.frequency_factors.as_deref())?;
    let variant = match family {
        Architecture::Gemma3 => gemma3::read(metadata, &config)?,
        _ => Variant::default(),
    };
    let config = ModelConfig { rope_scaling, variant, unrotated_layers: unrotated_layers(family, layers), ..config };
    config.check(metadata.path)?;
    Ok(config)
}

/// The keys of the tokens that end a text, a turn or a message; the first one ends a supervised example.
pub(super) const END_TOKENS: [&str; 3] =
    ["tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];

fn end_tokens(metadata: &Metadata<'_>, family: Architecture) -> Result<Vec<u32>> {
    let of_turn = if family == Architecture::Gemma3 { gemma3::end_of_turn(metadata)? } else { None };
    let named: Vec<Option<u32>> = END_TOKENS.iter().map(|key| metadata.optional(key, token)).collect::<Result<_>>()?;
    let mut tokens = Vec::new();
    for token in named.into_iter().chain([of_turn]).flatten() {
        if !tokens.contains(&token) {
            tokens.push(token);
        }
    }
    Ok(tokens)
}

/// Returns the layers that rotate neither queries nor keys: every fourth one of SmolLM3. The format has no key for them.
fn unrotated_layers(family: Architecture, layers: usize) -> Vec<usize> {
    (0..layers).filter(|layer| family == Architecture::SmolLm3 && layer % 4 == 3).collect()
}

/// Returns true if the output of attention has a bias, given that the queries have one or not.
fn has_output_bias(family: Architecture, query_bias: bool) -> bool {
    query_bias && family != Architecture::Qwen2
}

/// Returns the metadata of a configuration, but for the tokenizer's. An error is the reason why the format has no names for
/// it.
pub(super) fn write(config: &ModelConfig, architecture: &GgufArchitecture) -> Result<Vec<(String, Value)>, String> {
    if config.unrotated_layers != unrotated_layers(config.architecture, config.layers) {
        return Err("other layers than every fourth of SmolLM3 rotate neither queries nor keys".to_owned());
    }
    if config.output_bias != has_output_bias(config.architecture, config.qkv_bias) {
        return Err("its attention has a bias on the output alone, or on all but the output".to_owned());
    }
    let number = |value: usize| u32::try_from(value).map(Value::U32).map_err(|_| format!("{value} is too large"));
    let mut values = vec![("general.architecture".to_owned(), Value::String(architecture.name.to_owned()))];
    for (name, value) in [
        ("vocab_size", config.vocab_size),
        ("context_length", config.context_length),
        ("embedding_length", config.hidden_size),
        ("feed_forward_length", config.intermediate_size),
        ("block_count", config.layers),
        ("attention.head_count", config.heads),
        ("attention.head_count_kv", config.kv_heads),
        ("attention.key_length", config.head_dim),
        ("attention.value_length", config.head_dim),
        ("rope.dimension_count", config.head_dim),
    ] {
        values.push((format!("{}.{name}", architecture.name), number(value)?));
    }
    for (name, value) in
        [("attention.layer_norm_rms_epsilon", config.rms_norm_eps), ("rope.freq_base", config.rope_theta)]
    {
        values.push((format!("{}.{name}", architecture.name), Value::F32(value as f32)));
    }
    values.extend(rope::write(config, architecture)?);
    if config.architecture == Architecture::Gemma3 {
        values.extend(gemma3::write(config)?);
    }
    Ok(values)
}
