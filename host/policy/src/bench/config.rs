//! The settings of a measurement.

use alft_kernels::WeightFormat;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    device::{DevicePreference, Precision},
    error::{Error, Result},
    model::{lora::LoraConfig, quantisation::Quantisation},
};

/// A part of training that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// Tokens drawn one after the other, after the prompts were computed; once for each batch size.
    Decode,
    /// Log-probabilities of given completions.
    LogProbs,
    /// A GRPO step of low-rank adapters: forward, backward and AdamW.
    UpdateLora,
    /// A GRPO step of all weights.
    UpdateFull,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Part::Decode => "decode",
            Part::LogProbs => "log-probs",
            Part::UpdateLora => "update-lora",
            Part::UpdateFull => "update-full",
        })
    }
}

/// The settings of a measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BenchConfig {
    /// The device of the weights.
    pub device: DevicePreference,
    /// The number format of the computations.
    pub dtype: Precision,
    /// Storage of the weights while completions are drawn, on the CPU.
    pub weights: WeightFormat,
    /// The parts. They are measured in the order of [`Part`].
    pub parts: Vec<Part>,
    /// Numbers of completions that are drawn together.
    pub batches: Vec<usize>,
    /// Number of sequences that share a prompt, as the samples of a GRPO group do.
    pub group: usize,
    /// Tokens of a prompt.
    pub prompt_tokens: usize,
    /// Tokens drawn after each prompt; at least 2.
    pub new_tokens: usize,
    /// Number of sequences that are scored and trained on.
    pub sequences: usize,
    /// Tokens of the completions that are scored and trained on.
    pub completion_tokens: usize,
    /// Largest number of tokens computed at once in scoring and training.
    pub token_budget: usize,
    /// The type that the weights of projections are kept in, frozen; all but `update-full` can be measured with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantisation: Option<Quantisation>,
    /// The adapters.
    pub lora: LoraConfig,
    /// Number of timed repetitions of each part, after one to warm up.
    pub repeat: usize,
    /// True for one more repetition, with the time of each operation.
    pub profile: bool,
    /// Bytes of the buffer by which memory bandwidth is measured.
    pub buffer: usize,
    /// Rows and columns of the matrices by which arithmetic is measured; four times as many on CUDA.
    pub side: usize,
}

impl Default for BenchConfig {
    fn default() -> Self {
        Self {
            device: DevicePreference::Auto,
            dtype: Precision::F32,
            weights: WeightFormat::F32,
            parts: vec![Part::Decode, Part::LogProbs, Part::UpdateLora, Part::UpdateFull],
            batches: vec![1, 8, 32, 64, 256],
            group: 8,
            prompt_tokens: 64,
            new_tokens: 64,
            sequences: 8,
            completion_tokens: 128,
            token_budget: 16_384,
            quantisation: None,
            lora: LoraConfig::default(),
            repeat: 3,
            profile: true,
            buffer: 512 << 20,
            side: 1536,
        }
    }
}

impl BenchConfig {
    /// Returns sizes for a look in a few seconds.
    pub fn quick() -> Self {
        Self {
            batches: vec![1, 8],
            prompt_tokens: 8,
            new_tokens: 16,
            completion_tokens: 16,
            repeat: 1,
            buffer: 8 << 20,
            side: 128,
            ..Self::default()
        }
    }

    /// Returns the configuration with other values for some keys, each written `KEY=VALUE`. A value is JSON or plain text,
    /// and a list is written with commas: `batches=1,32`.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first text that is no such pair, or whose key or value is unknown.
    pub fn with(mut self, overrides: &[String]) -> Result<Self> {
        for text in overrides {
            let refused = |reason: String| Error::Argument { argument: text.clone(), reason };
            let (key, value) =
                text.split_once('=').ok_or_else(|| refused("a setting is written KEY=VALUE".to_owned()))?;
            let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::from(text));
            let mut all = serde_json::to_value(&self).map_err(|error| refused(error.to_string()))?;
            all[key] = match all[key] {
                Value::Array(_) if !value.starts_with('[') => value.split(',').map(parse).collect(),
                _ => parse(value),
            };
            self = serde_json::from_value(all).map_err(|error| refused(error.to_string()))?;
        }
        Ok(self)
    }

    /// Fails for sizes with which nothing could be measured.
    pub(super) fn check(&self) -> Result<()> {
        let smallest_batch = self.batches.iter().copied().min().unwrap_or(1);
        let sizes = [
            ("batches", smallest_batch, 1),
            ("group", self.group, 1),
            ("prompt_tokens", self.prompt_tokens, 1),
            ("new_tokens", self.new_tokens, 2),
            ("sequences", self.sequences, 1),
            ("completion_tokens", self.completion_tokens, 1),
            ("repeat", self.repeat, 1),
            ("buffer", self.buffer, 8),
            ("side", self.side, 1),
        ];
        if self.quantisation.is_some() && self.parts.contains(&Part::UpdateFull) {
            let reason = "keeps the weights frozen, and update-full trains them; choose other `parts`";
            return Err(Error::setting("quantisation", reason));
        }
        match sizes.iter().find(|(_, size, least)| size < least) {
            Some((name, _, least)) => Err(Error::setting(name, format!("must be at least {least}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(texts: &[&str]) -> Result<BenchConfig> {
        BenchConfig::default().with(&texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn values_are_numbers_words_and_lists() {
        let config = with(&["new_tokens=5", "device=cpu", "parts=log-probs,decode", "batches=[2]", "profile=false"]);
        let expected = BenchConfig {
            new_tokens: 5,
            device: DevicePreference::Cpu,
            parts: vec![Part::LogProbs, Part::Decode],
            batches: vec![2],
            profile: false,
            ..BenchConfig::default()
        };
        assert_eq!(config.unwrap(), expected);
        assert_eq!(with(&["batches=1,32"]).unwrap().batches, [1, 32]);
    }

    #[test]
    fn a_wrong_key_or_value_is_named_with_those_that_are_allowed() {
        let message = |text: &str| with(&[text]).unwrap_err().to_string();
        assert!(message("new_tokns=5").contains("unknown field `new_tokns`, expected one of"));
        assert!(message("parts=prefill").starts_with("parts=prefill: unknown variant `prefill`, expected one of"));
        assert!(message("group").contains("KEY=VALUE"));
        let config = BenchConfig { new_tokens: 1, ..BenchConfig::default() };
        assert_eq!(config.check().unwrap_err().to_string(), "`new_tokens` must be at least 2");
        let config = with(&["quantisation=q4_0"]).unwrap();
        assert!(config.check().unwrap_err().to_string().contains("update-full trains them"));
        assert!(BenchConfig { batches: vec![4, 0], ..BenchConfig::default() }.check().is_err());
    }
}
