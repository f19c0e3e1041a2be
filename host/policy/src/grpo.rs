//! The GRPO loss. With ρ the ratio of a token's probability to what it was when the sample was drawn, A the sample's
//! advantage, and Δ = log π_ref − log π:
//!
//! ```text
//! loss = Σ over tokens of  weight · ( −min(ρ A, clip(ρ, 1 − clip_low, 1 + clip_high) A) + β (exp Δ − Δ − 1) )
//! ```
//!
//! The second term is the k3 estimate of KL(π ‖ π_ref). The weights say how tokens are aggregated; as they are fixed for
//! the whole batch beforehand, the loss of a batch is the sum of the losses of its parts.
//!
//! Source: Shao et al., *DeepSeekMath*, arXiv 2402.03300; for the variants see [`Aggregation`] and
//! [`ImportanceSampling`].

use candle_core::{D, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the loss of tokens becomes the loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the batch (DAPO, arXiv 2503.14476).
    #[default]
    Dapo,
    /// Mean over sequences of the mean over each sequence's tokens (GRPO, arXiv 2402.03300).
    Grpo,
    /// Sum over tokens, divided by a constant: sequences × the longest completion allowed (Dr. GRPO, arXiv 2503.20783).
    DrGrpo,
}

/// Whether the probability ratio is taken per token or per sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportanceSampling {
    /// The ratio of each token's probabilities.
    #[default]
    Token,
    /// The geometric mean over the sequence's tokens (GSPO, arXiv 2507.18071).
    Sequence,
}

/// Where the price of leaving the reference is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlPenalty {
    /// In the loss, by the k3 estimate, as in GRPO. The estimate is unbiased and its gradient is not: on samples of the
    /// policy it is that of KL(π_ref ‖ π) (Tang, Munos, arXiv 2506.09477), whose equilibrium is another than the game's.
    #[default]
    Loss,
    /// In the reward: β log(π/π_ref) of the whole completion is taken off it, as in PPO for RLHF. Its gradient is that
    /// of KL(π ‖ π_ref), so with advantages that are only centred, and tokens aggregated by `dapo` or `dr-grpo`, the
    /// equilibrium is the game's. The loss then has no KL term.
    Reward,
}

/// The settings of the GRPO loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoConfig {
    /// The ratio is clipped below at `1 − clip_low`.
    pub clip_low: f64,
    /// The ratio is clipped above at `1 + clip_high`.
    pub clip_high: f64,
    /// Price of the KL divergence from the reference; 0 needs no reference.
    pub beta: f64,
    /// Where it is paid.
    pub kl: KlPenalty,
    /// How tokens are weighed.
    pub aggregation: Aggregation,
    /// Where the ratio is taken.
    pub importance_sampling: ImportanceSampling,
    /// The longest completion allowed, in tokens: the constant of [`Aggregation::DrGrpo`]. It is the sampling's.
    #[serde(skip)]
    pub max_completion_tokens: usize,
    /// The temperature that the samples were drawn at, above 0: log-probabilities are taken at it, for that is the policy
    /// that acted. It is the sampling's.
    #[serde(skip)]
    pub temperature: f64,
    /// Optimiser steps made on one batch of samples.
    pub updates_per_batch: usize,
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            clip_low: 0.2,
            clip_high: 0.2,
            beta: 0.02,
            kl: KlPenalty::default(),
            aggregation: Aggregation::default(),
            importance_sampling: ImportanceSampling::default(),
            max_completion_tokens: 256,
            temperature: 1.0,
            updates_per_batch: 1,
        }
    }
}

impl GrpoConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// Names the setting, its value and what it takes.
    pub fn check(&self) -> Result<()> {
        let not_negative = [("clip_low", self.clip_low), ("clip_high", self.clip_high), ("beta", self.beta)];
        for (name, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(name, format!("is {value}; it must be 0 or more")));
            }
        }
        if self.updates_per_batch == 0 {
            return Err(Error::setting("updates_per_batch", "must be at least 1"));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let temperature = self.temperature;
            let reason = format!("is {temperature}; to learn from samples they must differ, so it must be above 0");
            return Err(Error::setting("temperature", reason));
        }
        if self.max_completion_tokens == 0 {
            return Err(Error::setting("max_completion_tokens", "must be at least 1"));
        }
        Ok(())
    }

    /// The price in the loss.
    pub(crate) fn loss_beta(&self) -> f64 {
        match self.kl {
            KlPenalty::Loss => self.beta,
            KlPenalty::Reward => 0.0,
        }
    }

    /// What a token of each sequence counts in the loss of a batch, given the sequences' lengths in tokens.
    pub fn token_weights(&self, lengths: &[usize]) -> Vec<f64> {
        let sequences = lengths.len() as f64;
        let all = lengths.iter().sum::<usize>().max(1) as f64;
        let of_length = |length: &usize| match self.aggregation {
            Aggregation::Dapo => 1.0 / all,
            Aggregation::Grpo => 1.0 / (sequences * (*length).max(1) as f64),
            Aggregation::DrGrpo => 1.0 / (sequences * self.max_completion_tokens as f64),
        };
        lengths.iter().map(of_length).collect()
    }

    /// Whether the ratio of a token is clipped, so that the loss does not move it.
    pub(crate) fn clips(&self, ratio: f64, advantage: f64) -> bool {
        (advantage > 0.0 && ratio > 1.0 + self.clip_high) || (advantage < 0.0 && ratio < 1.0 - self.clip_low)
    }
}

/// Padded log-probabilities and what to weigh them with: B sequences, T tokens. All of one float type.
#[derive(Debug, Clone)]
pub struct LossInputs {
    /// Log-probabilities under the policy, (B, T), tracked. Padding must be finite.
    pub log_probs: Tensor,
    /// Log-probabilities under the policy that drew the samples, (B, T).
    pub old_log_probs: Tensor,
    /// Log-probabilities under the reference, (B, T); needed when `beta` is not 0.
    pub reference_log_probs: Option<Tensor>,
    /// Advantages, (B,).
    pub advantages: Tensor,
    /// 1 at completion tokens and 0 at padding, (B, T).
    pub mask: Tensor,
    /// What each token of a sequence counts, (B,): see [`GrpoConfig::token_weights`].
    pub token_weights: Tensor,
}

/// The loss of a batch, a tracked scalar.
///
/// # Errors
/// Shapes that do not agree; [`Error::NoReference`] when `beta` is not 0 and there is no reference.
pub fn loss(inputs: &LossInputs, config: &GrpoConfig) -> Result<Tensor> {
    let log_ratio = (&inputs.log_probs - inputs.old_log_probs.detach())?;
    let log_ratio = match config.importance_sampling {
        ImportanceSampling::Token => log_ratio,
        ImportanceSampling::Sequence => sequence_mean(&log_ratio, &inputs.mask)?,
    };
    let ratio = log_ratio.exp()?;
    let clipped = ratio.clamp(1.0 - config.clip_low, 1.0 + config.clip_high)?;
    let advantages = inputs.advantages.unsqueeze(1)?.broadcast_as(ratio.shape())?;
    let mut per_token = (&ratio * &advantages)?.minimum(&(clipped * &advantages)?)?.neg()?;
    let beta = config.loss_beta();
    if beta != 0.0 {
        let reference = inputs.reference_log_probs.as_ref().ok_or(Error::NoReference { beta })?;
        let delta = (reference.detach() - &inputs.log_probs)?;
        let k3 = ((delta.exp()? - &delta)? - 1.0)?;
        per_token = (per_token + (k3 * beta)?)?;
    }
    let weights = inputs.mask.broadcast_mul(&inputs.token_weights.unsqueeze(1)?)?;
    Ok((per_token * weights)?.sum_all()?)
}

/// The mean over each sequence's tokens, in the place of every one of them. 0 for a sequence of no tokens.
fn sequence_mean(values: &Tensor, mask: &Tensor) -> TensorResult<Tensor> {
    let count = mask.sum_keepdim(D::Minus1)?.maximum(1.0)?;
    (values * mask)?.sum_keepdim(D::Minus1)?.broadcast_div(&count)?.broadcast_as(values.shape())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use serde_json::Value;

    use super::*;

    /// The batch of the golden file, in f64, its weights by `config`; `norm` stands in for the number of tokens.
    fn inputs(golden: &Value, config: &GrpoConfig, norm: f64) -> (Var, LossInputs) {
        let batch = &golden["batch"];
        let matrix = |name: &str| {
            let rows: Vec<Vec<f64>> = serde_json::from_value(batch[name].clone()).unwrap();
            Tensor::new(rows, &Device::Cpu).unwrap()
        };
        let advantages: Vec<f64> = serde_json::from_value(batch["advantages"].clone()).unwrap();
        let lengths = [3, 2, 1, 0];
        let mut weights = config.token_weights(&lengths);
        if config.aggregation == Aggregation::Dapo {
            weights.iter_mut().for_each(|weight| *weight *= 6.0 / norm);
        }
        let log_probs = Var::from_tensor(&matrix("logp")).unwrap();
        let inputs = LossInputs {
            log_probs: log_probs.as_tensor().clone(),
            old_log_probs: matrix("logp_old"),
            reference_log_probs: Some(matrix("logp_ref")),
            advantages: Tensor::new(advantages, &Device::Cpu).unwrap(),
            mask: matrix("mask"),
            token_weights: Tensor::new(weights, &Device::Cpu).unwrap(),
        };
        (log_probs, inputs)
    }

    fn cases() -> (Value, Vec<(GrpoConfig, f64, f64)>) {
        let golden: Value = serde_json::from_str(include_str!("../tests/data/grpo_loss.json")).unwrap();
        let cases = golden["cases"].as_array().unwrap().iter().map(|case| {
            let number = |name: &str| case[name].as_f64().unwrap();
            let config = GrpoConfig {
                clip_low: number("eps_low"),
                clip_high: number("eps_high"),
                beta: number("beta"),
                aggregation: match case["loss_type"].as_str().unwrap() {
                    "dapo" => Aggregation::Dapo,
                    "grpo" => Aggregation::Grpo,
                    "dr_grpo" => Aggregation::DrGrpo,
                    other => panic!("{other}"),
                },
                importance_sampling: match case["importance_sampling_level"].as_str().unwrap() {
                    "token" => ImportanceSampling::Token,
                    "sequence" => ImportanceSampling::Sequence,
                    other => panic!("{other}"),
                },
                max_completion_tokens: 3,
                ..GrpoConfig::default()
            };
            (config, number("dapo_norm"), number("loss"))
        });
        let cases = cases.collect();
        (golden, cases)
    }

    #[test]
    fn agrees_with_trl() {
        let (golden, cases) = cases();
        assert_eq!(cases.len(), 32);
        for (config, norm, want) in cases {
            let (_, inputs) = inputs(&golden, &config, norm);
            let got = loss(&inputs, &config).unwrap().to_scalar::<f64>().unwrap();
            // TRL computed in f32.
            assert!((got - want).abs() < 1e-6, "{config:?}: {got} is not {want}");
        }
    }

    #[test]
    fn gradient_agrees_with_central_differences() {
        let (golden, cases) = cases();
        for (config, norm, _) in cases {
            let (log_probs, mut inputs) = inputs(&golden, &config, norm);
            let grads = loss(&inputs, &config).unwrap().backward().unwrap();
            let grad = grads.get(&log_probs).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let values = log_probs.flatten_all().unwrap().to_vec1::<f64>().unwrap();
            for (index, grad) in grad.iter().enumerate() {
                let mut at = |step: f64| {
                    let mut moved = values.clone();
                    moved[index] += step;
                    inputs.log_probs = Tensor::from_vec(moved, (4, 3), &Device::Cpu).unwrap();
                    loss(&inputs, &config).unwrap().to_scalar::<f64>().unwrap()
                };
                let want = (at(1e-5) - at(-1e-5)) / 2e-5;
                assert!((grad - want).abs() < 1e-8, "{config:?}, {index}: {grad} is not {want}");
            }
        }
    }

    #[test]
    fn a_penalty_needs_a_reference() {
        let (golden, cases) = cases();
        let config = GrpoConfig { beta: 0.1, ..cases[0].0.clone() };
        let (_, mut inputs) = inputs(&golden, &config, 6.0);
        inputs.reference_log_probs = None;
        assert!(matches!(loss(&inputs, &config), Err(Error::NoReference { .. })));
    }

    #[test]
    fn refuses_settings_out_of_range() {
        let refused = |config: GrpoConfig| config.check().unwrap_err().to_string();
        assert!(refused(GrpoConfig { beta: f64::NAN, ..Default::default() }).contains("beta: is NaN"));
        assert!(refused(GrpoConfig { clip_low: -0.1, ..Default::default() }).contains("clip_low: is -0.1"));
        assert!(refused(GrpoConfig { updates_per_batch: 0, ..Default::default() }).contains("updates_per_batch"));
    }
}
