//! The GRPO loss. With ρ the ratio of a token's probability to its probability when the sample was drawn, A the advantage
//! of the sample, and Δ = log π_ref − log π:
//!
//! ```text
//! loss = Σ over tokens of  weight · ( −min(ρ A, clip(ρ, 1 − clip_low, 1 + clip_high) A) + β (exp Δ − Δ − 1) )
//! ```
//!
//! The second term is the k3 estimate of KL(π ‖ π_ref). The weights aggregate the tokens. They are fixed for the whole
//! batch in advance, so the loss of a batch is the sum of the losses of its micro-batches.
//!
//! Source: Shao et al., *DeepSeekMath*, arXiv 2402.03300; for the variants see [`Aggregation`] and
//! [`ImportanceSampling`].

use candle_core::{D, Result as TensorResult, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The aggregation of the tokens' losses into the loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the batch (DAPO, arXiv 2503.14476).
    #[default]
    Dapo,
    /// Mean over sequences of the mean over each sequence's tokens (GRPO, arXiv 2402.03300).
    Grpo,
    /// Sum over all tokens, divided by the number of sequences and by the largest number of completion tokens (Dr. GRPO,
    /// arXiv 2503.20783).
    DrGrpo,
}

/// The level at which the probability ratio is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportanceSampling {
    /// Each token: the ratio of its probabilities.
    #[default]
    Token,
    /// Each sequence: the geometric mean of its tokens' ratios (GSPO, arXiv 2507.18071).
    Sequence,
}

/// The place of the KL penalty: in the loss or in the reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlPenalty {
    /// In the loss, by the k3 estimate, as in GRPO. The estimate of KL(π ‖ π_ref) is unbiased, but on samples of the policy
    /// its gradient is that of KL(π_ref ‖ π) (Tang, Munos, arXiv 2506.09477), whose equilibrium differs from the game's.
    #[default]
    Loss,
    /// In the reward, from which β log(π/π_ref) of the whole completion is subtracted, as in PPO for RLHF. The gradient is
    /// that of KL(π ‖ π_ref), so the equilibrium is the game's if advantages are centred but not scaled, and tokens are
    /// aggregated by `dapo` or `dr-grpo`. The loss then has no KL term.
    Reward,
}

/// The settings of the GRPO loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GrpoConfig {
    /// Distance of the ratio's lower clipping bound from 1.
    pub clip_low: f64,
    /// Distance of the ratio's upper clipping bound from 1.
    pub clip_high: f64,
    /// Coefficient of the KL penalty; 0 needs no reference.
    pub beta: f64,
    /// Place of the KL penalty.
    pub kl: KlPenalty,
    /// Aggregation of tokens.
    pub aggregation: Aggregation,
    /// Level at which the ratio is taken.
    pub importance_sampling: ImportanceSampling,
    /// Largest number of completion tokens, for [`Aggregation::DrGrpo`]. The caller copies it from the sampling settings.
    #[serde(skip)]
    pub max_completion_tokens: usize,
    /// Temperature of the samples, above 0. Log-probabilities are taken at this temperature, because they must be those of
    /// the policy that drew the samples. The caller copies it from the sampling settings.
    #[serde(skip)]
    pub temperature: f64,
    /// Number of optimiser steps on one batch of samples.
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
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        let not_negative = [("clip_low", self.clip_low), ("clip_high", self.clip_high), ("beta", self.beta)];
        for (name, value) in not_negative {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::setting(name, format!("is {value}; it must be at least 0")));
            }
        }
        if self.updates_per_batch == 0 {
            return Err(Error::setting("updates_per_batch", "must be at least 1"));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let temperature = self.temperature;
            let reason =
                format!("is {temperature}; it must be above 0, because samples that are all equal teach nothing");
            return Err(Error::setting("temperature", reason));
        }
        if self.max_completion_tokens == 0 {
            return Err(Error::setting("max_completion_tokens", "must be at least 1"));
        }
        Ok(())
    }

    /// Returns the coefficient of the KL penalty in the loss.
    pub(crate) fn loss_beta(&self) -> f64 {
        match self.kl {
            KlPenalty::Loss => self.beta,
            KlPenalty::Reward => 0.0,
        }
    }

    /// Returns the weight of a token of each sequence in the loss of a batch, given the sequences' lengths in tokens.
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

    /// Returns true if the ratio of a token is clipped, so that the token has no gradient.
    pub(crate) fn clips(&self, ratio: f64, advantage: f64) -> bool {
        (advantage > 0.0 && ratio > 1.0 + self.clip_high) || (advantage < 0.0 && ratio < 1.0 - self.clip_low)
    }
}

/// The inputs of the loss for B sequences, padded to T tokens. All tensors have the same float type.
#[derive(Debug, Clone)]
pub struct LossInputs {
    /// Log-probabilities under the policy, (B, T); tracked. Padding must be finite.
    pub log_probs: Tensor,
    /// Log-probabilities under the policy that drew the samples, (B, T).
    pub old_log_probs: Tensor,
    /// Log-probabilities under the reference, (B, T); needed for a KL penalty in the loss.
    pub reference_log_probs: Option<Tensor>,
    /// Advantages, (B,).
    pub advantages: Tensor,
    /// 1 at completion tokens and 0 at padding, (B, T).
    pub mask: Tensor,
    /// Weight of each token of a sequence, (B,); see [`GrpoConfig::token_weights`].
    pub token_weights: Tensor,
}

/// Returns the loss of a batch, a tracked scalar.
///
/// # Errors
/// Fails for shapes that do not agree. [`Error::NoReference`] if there is a KL penalty in the loss and no reference.
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

/// Replaces each token's value by the mean over the tokens of its sequence; 0 for a sequence without tokens.
fn sequence_mean(values: &Tensor, mask: &Tensor) -> TensorResult<Tensor> {
    let count = mask.sum_keepdim(D::Minus1)?.maximum(1.0)?;
    (values * mask)?.sum_keepdim(D::Minus1)?.broadcast_div(&count)?.broadcast_as(values.shape())
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};
    use serde_json::Value;

    use super::*;

    /// Returns the batch of the golden file in f64, with weights by `config` and `norm` in place of the number of tokens.
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
        let golden: Value = serde_json::from_str(include_str!("../../tests/data/grpo_loss.json")).unwrap();
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
    fn the_loss_agrees_with_trl() {
        let (golden, cases) = cases();
        assert_eq!(cases.len(), 32);
        for (config, norm, want) in cases {
            let (_, inputs) = inputs(&golden, &config, norm);
            let got = loss(&inputs, &config).unwrap().to_scalar::<f64>().unwrap();
            // TRL's numbers were computed in f32.
            assert!((got - want).abs() < 1e-6, "{config:?}: {got} is not {want}");
        }
    }

    #[test]
    fn the_gradient_agrees_with_central_differences() {
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
    fn a_kl_penalty_without_a_reference_is_an_error() {
        let (golden, cases) = cases();
        let config = GrpoConfig { beta: 0.1, ..cases[0].0.clone() };
        let (_, mut inputs) = inputs(&golden, &config, 6.0);
        inputs.reference_log_probs = None;
        assert!(matches!(loss(&inputs, &config), Err(Error::NoReference { .. })));
    }

    #[test]
    fn settings_out_of_range_are_errors() {
        let refused = |config: GrpoConfig| config.check().unwrap_err().to_string();
        assert!(refused(GrpoConfig { beta: f64::NAN, ..Default::default() }).contains("`beta` is NaN"));
        assert!(refused(GrpoConfig { clip_low: -0.1, ..Default::default() }).contains("`clip_low` is -0.1"));
        assert!(refused(GrpoConfig { updates_per_batch: 0, ..Default::default() }).contains("updates_per_batch"));
    }
}
