//! Gemma 3 as metadata: its sliding window, and the parts of its computation that the format has no keys for.

use alft_kernels::Activation;
use candle_core::quantized::gguf_file::Value;

use super::metadata::{Metadata, boolean, float, size, string};
use crate::{
    error::Result,
    model::config::{ModelConfig, SlidingWindow, Variant},
};

/// The value of `general.architecture`.
pub(super) const NAME: &str = "gemma3";

/// The token that ends a turn. Files of the models that converse name only the one that ends a text.
const END_OF_TURN: &str = "<end_of_turn>";

/// The base of the rotary frequencies of layers with a window, unless a file names another.
const ROPE_THETA: f64 = 10_000.0;

/// Every layer of this many attends to all tokens, unless a file names another number.
const PATTERN: usize = 6;

/// Number of layers of the 27B model, whose queries alone are not scaled by the width of a head.
const LARGEST: usize = 62;

/// Reads the differences from Llama of a model with this configuration.
pub(super) fn read(metadata: &Metadata<'_>, config: &ModelConfig) -> Result<Variant> {
    for name in ["attn_logit_softcapping", "final_logit_softcapping"] {
        let key = key(name);
        if let Some(cap) = metadata.optional(&key, float)?.filter(|cap| *cap != 0.0) {
            return Err(metadata.wrong(format!("`{key}` is {cap}; caps of logits are not supported")));
        }
    }
    Ok(Variant {
        activation: Activation::GeluTanh,
        norms_from_one: true,
        output_norms: true,
        scaled_embedding: true,
        query_pre_attn_scalar: Some(query_pre_attn_scalar(config)),
        window: window(metadata, config.layers)?,
    })
}

/// Returns the square of the divisor of attention scores. As in llama.cpp it follows from the sizes.
fn query_pre_attn_scalar(config: &ModelConfig) -> usize {
    if config.layers == LARGEST { config.hidden_size / config.heads.max(1) } else { config.head_dim }
}

/// Reads the window of the layers between those that attend to all tokens.
fn window(metadata: &Metadata<'_>, layers: usize) -> Result<Option<SlidingWindow>> {
    let Some(tokens) = metadata.optional(&key("attention.sliding_window"), size)?.filter(|tokens| *tokens > 0) else {
        return Ok(None);
    };
    let pattern = key("attention.sliding_window_pattern");
    let slides: Vec<bool> = match metadata.get(&pattern) {
        Some(Value::Array(_)) => metadata.list(&pattern, boolean)?.unwrap_or_default(),
        _ => {
            let every = metadata.optional(&pattern, size)?.unwrap_or(PATTERN);
            (0..layers).map(|layer| slides(layer, every)).collect()
        }
    };
    if slides.len() != layers {
        return Err(metadata.wrong(format!("`{pattern}` has {} entries for {layers} layers", slides.len())));
    }
    let rope_theta = metadata.optional(&key("rope.freq_base_swa"), float)?.unwrap_or(ROPE_THETA);
    let layers: Vec<usize> = (0..layers).filter(|layer| slides[*layer]).collect();
    let window = SlidingWindow { size: tokens, layers, rope_theta: Some(rope_theta) };
    Ok((!window.layers.is_empty()).then_some(window))
}

/// Returns true for a layer with a window where the last of every `every` layers has none.
fn slides(layer: usize, every: usize) -> bool {
    every == 0 || !(layer + 1).is_multiple_of(every)
}

/// Returns the token that ends a turn, if the chat template does end turns with it.
pub(super) fn end_of_turn(metadata: &Metadata<'_>) -> Result<Option<u32>> {
    let template = metadata.optional("tokenizer.chat_template", string)?;
    if !template.is_some_and(|template| template.contains(END_OF_TURN)) {
        return Ok(None);
    }
    let tokens = metadata.list("tokenizer.ggml.tokens", string)?.unwrap_or_default();
    Ok(tokens.iter().position(|token| *token == END_OF_TURN).and_then(|id| u32::try_from(id).ok()))
}

/// Returns the metadata of a configuration's differences from Llama. An error is the reason why the format has no names for
/// it.
pub(super) fn write(config: &ModelConfig) -> Result<Vec<(String, Value)>, String> {
    if config.qkv_bias || config.output_bias {
        return Err("its attention has biases, which the architecture gemma3 of the format has not".to_owned());
    }
    let (scalar, expected) = (config.variant.query_pre_attn_scalar, query_pre_attn_scalar(config));
    if scalar != Some(expected) {
        let scalar = scalar.unwrap_or(config.head_dim);
        return Err(format!(
            "its query_pre_attn_scalar is {scalar}, and the format has no key for another than {expected}"
        ));
    }
    let Some(SlidingWindow { size, layers, rope_theta }) = &config.variant.window else { return Ok(Vec::new()) };
    let every = std::iter::once(PATTERN)
        .chain(0..=config.layers)
        .find(|every| (0..config.layers).all(|layer| slides(layer, *every) == layers.contains(&layer)))
        .ok_or("its layers without a sliding window do not come at regular distances")?;
    let number = |value: usize| u32::try_from(value).map(Value::U32).map_err(|_| format!("{value} is too large"));
    let mut values = vec![
        (key("attention.sliding_window"), number(*size)?),
        (key("rope.freq_base_swa"), Value::F32(rope_theta.unwrap_or(config.rope_theta) as f32)),
    ];
    if every != PATTERN {
        values.push((key("attention.sliding_window_pattern"), number(every)?));
    }
    Ok(values)
}

fn key(name: &str) -> String {
    format!("{NAME}.{name}")
}
