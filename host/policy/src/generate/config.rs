//! The settings of sampling.

use alft_kernels::WeightFormat;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{
    cuda::draw::Filters,
    error::{Error, Result},
    setting::within,
};

/// The settings of sampling. A token's logits pass the filters in the order of the Python library transformers:
/// repetition penalty, temperature, `top_k`, `top_p`, `min_p`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleConfig {
    /// Divisor of the logits; 0 chooses the most likely token.
    pub temperature: f64,
    /// Number of most likely tokens that are drawn from, and all that are as likely as the last of them; 0 draws from all.
    pub top_k: usize,
    /// Probability of the smallest set of most likely tokens that is drawn from; 1 draws from all.
    pub top_p: f64,
    /// Least probability of a token that is drawn, as a share of the most likely token's; 0 draws from all.
    pub min_p: f64,
    /// Divisor of the positive logits of tokens that the prompt or the completion has already, and factor of their negative
    /// ones; 1 changes none (Keskar et al., *CTRL*, arXiv 1909.05858).
    pub repetition_penalty: f64,
    /// Largest number of tokens drawn, including the end-of-sequence token.
    pub max_new_tokens: usize,
    /// Texts that end a completion, in addition to the model's end-of-sequence tokens.
    pub stop: Vec<String>,
    /// Largest number of completions that are decoded together. When one ends, the next request takes its place.
    pub max_batch: usize,
    /// Largest size of the cache of keys and values, in MiB. When it is full, the completions that began last wait for
    /// others to end and are then drawn again, as they were.
    pub cache_mib: usize,
    /// Storage of the weights while completions are drawn, on the CPU. With 16 bits a step reads half the memory, and draws
    /// from a distribution close to that of the policy.
    pub weights: WeightFormat,
}

/// The divisors of logits that leave them finite.
const FACTORS: RangeInclusive<f64> = 1e-6..=1e6;

impl Default for SampleConfig {
    fn default() -> Self {
        Self {
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            max_new_tokens: 256,
            stop: Vec::new(),
            max_batch: 256,
            cache_mib: 2048,
            weights: WeightFormat::F32,
        }
    }
}

impl SampleConfig {
    /// Returns the way to draw, for the CUDA kernel.
    pub(crate) fn filters(&self) -> Filters {
        Filters {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        if self.temperature != 0.0 {
            within("temperature", self.temperature, FACTORS)?;
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting("top_p", format!("is {:?}; it must be above 0 and at most 1", self.top_p)));
        }
        within("min_p", self.min_p, 0.0..=1.0)?;
        within("repetition_penalty", self.repetition_penalty, FACTORS)?;
        let at_least_one =
            [("max_new_tokens", self.max_new_tokens), ("max_batch", self.max_batch), ("cache_mib", self.cache_mib)];
        if let Some((name, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(Error::setting(name, "must be at least 1"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "has an empty text, which would end every completion at once"));
        }
        Ok(())
    }

    /// Returns true if tokens are drawn from the whole distribution at `temperature`, so that their log-probabilities are
    /// those of the distribution that drew them.
    pub fn is_unfiltered(&self) -> bool {
        self.temperature > 0.0
            && self.top_k == 0
            && self.top_p == 1.0
            && self.min_p == 0.0
            && self.repetition_penalty == 1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_errors() {
        type Change = fn(&mut SampleConfig);
        let cases: [(Change, &str); 14] = [
            (|config| config.temperature = -1.0, "`temperature` is -1"),
            (|config| config.temperature = f64::NAN, "`temperature`"),
            (
                |config| config.temperature = 1e-300,
                "`temperature` is 1e-300; it must be a number from 1e-6 to 1000000.0",
            ),
            (|config| config.top_p = 0.0, "`top_p` is 0"),
            (|config| config.top_p = 1.1, "`top_p` is 1.1"),
            (|config| config.min_p = -0.1, "`min_p` is -0.1"),
            (|config| config.min_p = f64::NAN, "`min_p`"),
            (|config| config.repetition_penalty = 0.0, "`repetition_penalty` is 0"),
            (|config| config.repetition_penalty = 1e-300, "`repetition_penalty` is 1e-300"),
            (|config| config.repetition_penalty = f64::INFINITY, "`repetition_penalty`"),
            (|config| config.max_new_tokens = 0, "`max_new_tokens`"),
            (|config| config.max_batch = 0, "`max_batch`"),
            (|config| config.cache_mib = 0, "`cache_mib`"),
            (|config| config.stop = vec![String::new()], "`stop`"),
        ];
        for (edit, expected) in cases {
            let mut config = SampleConfig::default();
            edit(&mut config);
            let message = config.check().unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
        SampleConfig::default().check().unwrap();
    }
}
