//! The model to measure.

use std::path::Path;

use candle_core::Device;

use crate::{
    error::{Error, Result},
    model::{
        companions::Companions,
        config::{Architecture, ModelConfig, Variant},
        init::random,
        quantisation::Quantisation,
        tiny,
    },
    policy::Policy,
};

/// The shapes of known models that can be measured with random weights, named `shape:NAME`.
pub const SHAPES: [&str; 4] = ["smollm2-135m", "smollm2-360m", "qwen2.5-0.5b", "qwen2.5-1.5b"];

/// Opens a model by its text on a command line: a path, `tiny`, or `shape:NAME`, which draws random weights. Speed and
/// memory do not depend on the weights' values.
///
/// # Errors
/// [`Error::Argument`] with the remedy if there is no such file or shape. Otherwise as [`Policy::open`].
pub(super) fn open(model: &str, device: &Device, quantisation: Option<Quantisation>) -> Result<Policy> {
    let absent = |kind: &str| {
        let shapes = SHAPES.map(|name| format!("`shape:{name}`")).join(", ");
        let remedy = format!("give a GGUF file, a folder in Hugging Face's format, `tiny`, or one of {shapes}");
        Error::Argument { argument: model.to_owned(), reason: format!("there is no such {kind}; {remedy}") }
    };
    if model == "tiny" {
        return Policy::tiny(1, device)?.quantised(quantisation);
    }
    if let Some(name) = model.strip_prefix("shape:") {
        let config = shape(name).ok_or_else(|| absent("shape"))?;
        let (tokenizer, transformer) = (tiny::tokenizer()?, random(&config, 1, device)?);
        let policy = Policy { config, tokenizer, transformer, companions: Companions::default() };
        return policy.quantised(quantisation);
    }
    let path = Path::new(model);
    match path.try_exists() {
        Ok(false) => Err(absent("file or folder")),
        _ => Policy::open_quantised(path, device, quantisation),
    }
}

/// Returns the configuration of a known model, as its `config.json` has it.
fn shape(name: &str) -> Option<ModelConfig> {
    let smollm2 = |hidden_size, intermediate_size, layers, heads, kv_heads| ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: 49_152,
        hidden_size,
        intermediate_size,
        layers,
        heads,
        kv_heads,
        head_dim: 64,
        context_length: 8192,
        rms_norm_eps: 1e-5,
        rope_theta: 1e5,
        rope_scaling: None,
        unrotated_layers: Vec::new(),
        qk_norm: false,
        variant: Variant::default(),
        tie_word_embeddings: true,
        qkv_bias: false,
        output_bias: false,
        bos_token: None,
        eos_tokens: Vec::new(),
    };
    let qwen = |hidden_size, intermediate_size, layers, heads, head_dim| ModelConfig {
        architecture: Architecture::Qwen2,
        vocab_size: 151_936,
        head_dim,
        context_length: 32_768,
        rms_norm_eps: 1e-6,
        rope_theta: 1e6,
        qkv_bias: true,
        ..smollm2(hidden_size, intermediate_size, layers, heads, 2)
    };
    match name {
        "smollm2-135m" => Some(smollm2(576, 1536, 30, 9, 3)),
        "smollm2-360m" => Some(smollm2(960, 2560, 32, 15, 5)),
        "qwen2.5-0.5b" => Some(qwen(896, 4864, 24, 14, 64)),
        "qwen2.5-1.5b" => Some(qwen(1536, 8960, 28, 12, 128)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_has_the_number_of_parameters_of_its_model() {
        let parameters = |name: &str| {
            let c = shape(name).unwrap();
            c.check(name.as_ref()).unwrap();
            let (q, kv) = (c.heads * c.head_dim, c.kv_heads * c.head_dim);
            let biases = if c.qkv_bias { q + 2 * kv } else { 0 };
            let layer = c.hidden_size * (2 * q + 2 * kv + 3 * c.intermediate_size + 2) + biases;
            c.hidden_size * (c.vocab_size + 1) + c.layers * layer
        };
        // The counts of the published weights.
        assert_eq!(SHAPES.map(parameters), [134_515_008, 361_821_120, 494_032_768, 1_543_714_304]);
    }

    #[test]
    fn a_model_that_is_not_there_is_an_error_with_the_remedy() {
        for (model, reason) in [("shape:gpt-9", "no such shape"), ("models/absent", "no such file or folder")] {
            let message = open(model, &Device::Cpu, None).unwrap_err().to_string();
            assert!(message.starts_with(model) && message.contains(reason), "{message}");
            assert!(message.contains("GGUF") && message.contains("`shape:smollm2-135m`"), "{message}");
        }
    }
}
