//! Model families: a file each, which says how the models of a family differ from Llama's.
//!
//! A family reads its keys of a `config.json` to a [`ModelConfig`], and writes them. All families share one forward pass,
//! which the configuration steers.

mod gemma3;
mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod smollm3;
mod window;

use serde_json::Value;

use super::config::{Architecture, ModelConfig};

/// The differences of a family from Llama.
pub(super) struct Family {
    /// The class in `architectures`.
    pub(super) class: &'static str,
    /// The class of models of several parts whose text model is of this family, if there is one.
    pub(super) whole: Option<Whole>,
    /// The value of `model_type`.
    pub(super) model_type: &'static str,
    /// True if the output head is the embedding unless `tie_word_embeddings` is there.
    pub(super) tied: bool,
    /// The key of the feed-forward layers' activation, and the only value that is supported.
    pub(super) activation: (&'static str, &'static str),
    /// The base of the rotary frequencies of a `config.json` without `rope_theta`.
    pub(super) rope_theta: f64,
    /// Sets what differs, given the whole `config.json`; an error is a reason.
    pub(super) read: fn(&Value, &mut ModelConfig) -> Result<(), String>,
    /// Adds the family's keys to a `config.json`.
    pub(super) write: fn(&ModelConfig, &mut Value),
}

/// A class of models of several parts, such as those that read images: `text_config` in their `config.json` is that of their
/// text model.
pub(super) struct Whole {
    /// The class in `architectures`.
    pub(super) class: &'static str,
    /// The values of the keys that `text_config` does not have.
    pub(super) defaults: fn() -> Value,
}

impl Family {
    /// Returns true if the text model of this class is of the family.
    fn is_part_of(&self, class: &str) -> bool {
        self.whole.as_ref().is_some_and(|whole| whole.class == class)
    }

    /// Returns the `config.json` of the text model, given that of a model of class `class`, which is one of the family.
    pub(super) fn text_model(&self, class: &str, config: Value) -> Value {
        let Some(whole) = self.whole.as_ref().filter(|_| self.is_part_of(class)) else { return config };
        let mut text = (whole.defaults)();
        let keys = config["text_config"].as_object().into_iter().flatten();
        keys.for_each(|(key, value)| text[key] = value.clone());
        for key in ["bos_token_id", "eos_token_id", "quantization_config"] {
            if !config[key].is_null() {
                text[key] = config[key].clone();
            }
        }
        text
    }
}

/// The list in [`crate::Error::Architecture`].
pub(super) const SUPPORTED: &str = "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM, SmolLM3ForCausalLM, Gemma3ForCausalLM \
     and Gemma3ForConditionalGeneration";

/// Returns the family whose models have this class.
pub(super) fn of_class(class: &str) -> Option<Architecture> {
    use Architecture::{Gemma3, Llama, Mistral, Qwen2, Qwen3, SmolLm3};
    [Llama, Mistral, Qwen2, Qwen3, SmolLm3, Gemma3]
        .into_iter()
        .find(|architecture| of(*architecture).class == class || of(*architecture).is_part_of(class))
}

/// Returns the differences of a family.
pub(super) fn of(architecture: Architecture) -> &'static Family {
    match architecture {
        Architecture::Llama => &llama::FAMILY,
        Architecture::Mistral => &mistral::FAMILY,
        Architecture::Qwen2 => &qwen2::FAMILY,
        Architecture::Qwen3 => &qwen3::FAMILY,
        Architecture::SmolLm3 => &smollm3::FAMILY,
        Architecture::Gemma3 => &gemma3::FAMILY,
    }
}

/// Returns the value of a key that is true or false; false if it is missing.
fn flag(config: &Value, key: &str) -> bool {
    config[key].as_bool().unwrap_or(false)
}

/// The activation of Llama and of most families.
const SILU: (&str, &str) = ("hidden_act", "silu");

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use candle_core::{DType, Device, Tensor, Var};
    use serde::Deserialize;
    use serde_json::{Value, json};

    use crate::{
        Export, GgufType,
        cuda::can_emulate,
        generate::{
            completion::{Completion, Request},
            config::SampleConfig,
            sample::sample,
            seed::Seed,
        },
        model::{
            batch::{Batch, Sequence},
            gradient::{Checkpointing, Gradients},
            log_probs::log_probs,
        },
        ops::path::Path as Implementation,
        policy::Policy,
    };

    /// The results of transformers; see tests/data/families.py.
    #[derive(Deserialize)]
    struct Expected {
        log_probs: Vec<Vec<f64>>,
        greedy: Vec<u32>,
        gradients: BTreeMap<String, [f64; 2]>,
    }

    fn sequences() -> [Sequence; 2] {
        [40, 9].map(|count| {
            let tokens: Vec<u32> = (0..count).map(|i| (7 * i + 3) % 40).collect();
            Sequence { prompt: tokens[..1].to_vec(), completion: tokens[1..].to_vec() }
        })
    }

    /// Returns the gradient of the mean cross-entropy for each weight: its norm, and its product with cos 0, cos 1, …
    fn gradients(policy: &Policy, checkpointing: Checkpointing) -> BTreeMap<String, [f64; 2]> {
        let variable = |_: &str, weight: &Tensor| Ok(Var::from_tensor(weight)?.into_inner());
        let model = policy.transformer.map(&mut { variable }).unwrap();
        let sequences = sequences();
        let batch = Batch::from_sequences(&sequences.iter().collect::<Vec<_>>());
        let mut grads = Gradients::default();
        let scale = -1.0 / batch.targets.len() as f64;
        let loss = &mut |_, prediction: &crate::ops::Prediction| Ok((prediction.log_probs.sum_all()? * scale)?);
        model.add_gradient(&batch, 1.0, checkpointing, crate::ops::Tracked::LogProbs, &mut grads, loss).unwrap();
        let grads = grads.into_inner();
        let summary = |(name, weight): (String, Tensor)| {
            let grad = grads.get(&weight).unwrap_or_else(|| panic!("{name} has no gradient"));
            let grad: Vec<f64> = grad.flatten_all().unwrap().to_dtype(DType::F64).unwrap().to_vec1().unwrap();
            let norm = grad.iter().map(|g| g * g).sum::<f64>().sqrt();
            (name, [norm, grad.iter().zip(0..).map(|(g, i)| g * f64::from(i).cos()).sum()])
        };
        model.weights().into_iter().map(summary).collect()
    }

    #[test]
    fn a_model_of_each_family_computes_what_transformers_does() {
        let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/families");
        for family in ["llama", "mistral", "qwen2", "qwen3", "smollm3", "gemma3"] {
            let folder = data.join(family);
            let text = std::fs::read_to_string(folder.join("expected.json")).unwrap();
            let expected: Expected = serde_json::from_str(&text).unwrap();
            let policy = Policy::open(&folder, &Device::Cpu).unwrap();
            let near = |got: f64, want: f64, what: &str| {
                assert!((got - want).abs() < 1e-4 * (1.0 + want.abs()), "{family}, {what}: {got} is not {want}");
            };
            let mut paths = vec![Implementation::CpuKernel, Implementation::Fused];
            paths.extend(can_emulate().then_some(Implementation::CudaKernel));
            for path in paths {
                // The emulation is slow.
                let (checkpointings, max_new_tokens) = match path {
                    Implementation::CudaKernel => (&[Checkpointing::Off][..], 5),
                    _ => (&[Checkpointing::Off, Checkpointing::Layers][..], 20),
                };
                path.force(|| {
                    let got = log_probs(&policy.transformer, &sequences(), 1.0, 1 << 20).unwrap();
                    for (got, want) in got.iter().flatten().zip(expected.log_probs.iter().flatten()) {
                        near(f64::from(*got), *want, "log-probability");
                    }
                    for checkpointing in checkpointings {
                        let got = gradients(&policy, *checkpointing);
                        assert_eq!(got.len(), expected.gradients.len());
                        for (name, want) in &expected.gradients {
                            near(got[name][0], want[0], name);
                            near(got[name][1], want[1], name);
                        }
                    }
                    let prompt: Vec<u32> = (0..9).map(|i| (7 * i + 3) % 40).collect();
                    let request = Request { prompt: &prompt, seed: Seed { run: 0, step: 0, sample: 0 } };
                    let config = SampleConfig { temperature: 0.0, max_new_tokens, ..SampleConfig::default() };
                    let Completion { tokens, log_probs: drawn, .. } =
                        sample(&policy, &[request], &config).unwrap().remove(0);
                    // Decoding ends at an end-of-sequence token, which transformers' loop passes over.
                    assert!(tokens.len() > 3 && *tokens == expected.greedy[..tokens.len()], "{family}");
                    let sequence = Sequence { prompt, completion: tokens };
                    let scored = log_probs(&policy.transformer, &[sequence], 1.0, 1 << 20).unwrap();
                    for (got, want) in drawn.iter().zip(&scored[0]) {
                        near(f64::from(*got), f64::from(*want), "log-probability of a drawn token");
                    }
                });
            }
            let saved = tempfile::tempdir().unwrap();
            policy.save(saved.path()).unwrap();
            assert_eq!(Policy::open(saved.path(), &Device::Cpu).unwrap().config(), policy.config());
        }
    }

    #[test]
    fn the_text_model_of_a_model_that_reads_images_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/families/gemma3");
        let whole = tempfile::tempdir().unwrap();
        let json: Value = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let json = json!({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": json});
        std::fs::write(whole.path().join("config.json"), json.to_string()).unwrap();
        std::fs::copy(folder.join("tokenizer.json"), whole.path().join("tokenizer.json")).unwrap();
        let text = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu).unwrap();
        let mut tensors: std::collections::HashMap<String, Tensor> =
            text.into_iter().map(|(name, tensor)| (format!("language_model.{name}"), tensor)).collect();
        let image = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
        tensors.insert("vision_tower.post_layernorm.weight".to_owned(), image);
        candle_core::safetensors::save(&tensors, whole.path().join("model.safetensors")).unwrap();
        let [whole, part] = [whole.path(), &folder].map(|path| Policy::open(path, &Device::Cpu).unwrap());
        assert_eq!(whole.config(), part.config());
        let of = |policy: &Policy| log_probs(&policy.transformer, &sequences(), 1.0, 1 << 20).unwrap();
        assert_eq!(of(&whole), of(&part));
        let saved = tempfile::tempdir().unwrap();
        whole.save(saved.path()).unwrap();
        let config = std::fs::read_to_string(saved.path().join("config.json")).unwrap();
        assert!(config.contains("Gemma3ForCausalLM") && !config.contains("text_config"), "the export is a text model");
        assert_eq!(of(&Policy::open(saved.path(), &Device::Cpu).unwrap()), of(&part));
        let gguf = Export { gguf: Some(GgufType::F16), ..Export::default() };
        assert!(part.check_export(gguf).unwrap_err().to_string().contains("its query_pre_attn_scalar is 12"));
    }
}
