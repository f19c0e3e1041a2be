//! Model families: a file each, which says how the models of a family differ from Llama's.
//!
//! A family reads its keys of a `config.json` to a [`ModelConfig`], and writes them. All families share one forward pass,
//! which the configuration steers.

mod llama;
mod mistral;
mod qwen2;
mod qwen3;
mod smollm3;

use serde_json::Value;

use super::config::{Architecture, ModelConfig};

/// The differences of a family from Llama.
pub(super) struct Family {
    /// The class in `architectures`.
    pub(super) class: &'static str,
    /// The value of `model_type`.
    pub(super) model_type: &'static str,
    /// True if the output head is the embedding unless `tie_word_embeddings` is there.
    pub(super) tied: bool,
    /// The base of the rotary frequencies of a `config.json` without `rope_theta`.
    pub(super) rope_theta: f64,
    /// Sets what differs, given the whole `config.json`; an error is a reason.
    pub(super) read: fn(&Value, &mut ModelConfig) -> Result<(), String>,
    /// Adds the family's keys to a `config.json`.
    pub(super) write: fn(&ModelConfig, &mut Value),
}

/// The list in [`crate::Error::Architecture`].
pub(super) const SUPPORTED: &str =
    "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM and SmolLM3ForCausalLM";

/// Returns the family whose models have this class.
pub(super) fn of_class(class: &str) -> Option<Architecture> {
    use Architecture::{Llama, Mistral, Qwen2, Qwen3, SmolLm3};
    [Llama, Mistral, Qwen2, Qwen3, SmolLm3].into_iter().find(|architecture| of(*architecture).class == class)
}

/// Returns the differences of a family.
pub(super) fn of(architecture: Architecture) -> &'static Family {
    match architecture {
        Architecture::Llama => &llama::FAMILY,
        Architecture::Mistral => &mistral::FAMILY,
        Architecture::Qwen2 => &qwen2::FAMILY,
        Architecture::Qwen3 => &qwen3::FAMILY,
        Architecture::SmolLm3 => &smollm3::FAMILY,
    }
}

/// Returns the value of a key that is true or false; false if it is missing.
fn flag(config: &Value, key: &str) -> bool {
    config[key].as_bool().unwrap_or(false)
}

/// The window of a `config.json` without `sliding_window`. `null` means none.
const WINDOW: u64 = 4096;

/// Ends the context where a sliding window would begin to leave keys out: attention is over all keys.
fn end_context_at_window(config: &Value, model: &mut ModelConfig) {
    let window = config.get("sliding_window").map_or(Some(WINDOW), Value::as_u64);
    if let Some(window) = window {
        model.context_length = model.context_length.min(usize::try_from(window).unwrap_or(usize::MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, path::Path};

    use candle_core::{DType, Device, Tensor, Var};
    use serde::Deserialize;

    use crate::{
        cuda::can_emulate,
        generate::{completion::Request, config::SampleConfig, sample::sample, seed::Seed},
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
        for family in ["llama", "mistral", "qwen2", "qwen3", "smollm3"] {
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
                path.force(|| {
                    let got = log_probs(&policy.transformer, &sequences(), 1.0, 1 << 20).unwrap();
                    for (got, want) in got.iter().flatten().zip(expected.log_probs.iter().flatten()) {
                        near(f64::from(*got), *want, "log-probability");
                    }
                    for checkpointing in [Checkpointing::Off, Checkpointing::Layers] {
                        let got = gradients(&policy, checkpointing);
                        assert_eq!(got.len(), expected.gradients.len());
                        for (name, want) in &expected.gradients {
                            near(got[name][0], want[0], name);
                            near(got[name][1], want[1], name);
                        }
                    }
                });
            }
            let prompt: Vec<u32> = (0..9).map(|i| (7 * i + 3) % 40).collect();
            let request = Request { prompt: &prompt, seed: Seed { run: 0, step: 0, sample: 0 } };
            let config = SampleConfig { temperature: 0.0, max_new_tokens: 20, ..SampleConfig::default() };
            let greedy = &sample(&policy, &[request], &config).unwrap()[0].tokens;
            // Decoding ends at an end-of-sequence token, which transformers' loop passes over.
            assert!(greedy.len() > 3 && *greedy == expected.greedy[..greedy.len()], "{family}");
        }
    }
}
