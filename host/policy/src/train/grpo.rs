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
//! Source: Shao et al., *DeepSeekMath*, arXiv 2402.03300; for the variants see [`PolicyLoss`], [`Aggregation`],
//! [`ImportanceSampling`] and [`KlEstimate`].

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

/// The first term of the loss, a function of the ratio ρ and the advantage A of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyLoss {
    /// `−min(ρ A, clip(ρ) A)`: a token whose ratio is beyond the bound has no gradient.
    #[default]
    Clipped,
    /// `−min(ρ, 1 + clip_high) A log π`, in which the factor before log π is held constant: every token has a gradient
    /// (CISPO, arXiv 2506.13585).
    Cispo,
}

/// The estimate of KL(π ‖ π_ref) at a token, for a penalty in the loss. With Δ = log π_ref − log π:
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlEstimate {
    /// `−Δ`. Its gradient is 0 on average over samples of the policy, so it teaches nothing there.
    K1,
    /// `Δ² / 2`. On samples of the policy its gradient is that of KL(π ‖ π_ref).
    K2,
    /// `exp Δ − Δ − 1`. On samples of the policy its gradient is that of KL(π_ref ‖ π).
    #[default]
    K3,
    /// k3 times the ratio ρ, whose gradient counts: it is that of KL(π ‖ π_ref).
    K3Ratio,
}

/// The place of the KL penalty: in the loss or in the reward.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KlPenalty {
    /// In the loss, by a [`KlEstimate`], as in GRPO. The k3 estimate of KL(π ‖ π_ref) is unbiased, but on samples of the
    /// policy its gradient is that of KL(π_ref ‖ π) (Tang, Munos, arXiv 2506.09477), whose equilibrium differs from the game's.
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
    /// Largest ratio that counts for a token with a negative advantage, above `1 + clip_high` (two-sided clipping, arXiv
    /// 2505.07291). Without it one ratio may outweigh a whole batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delta: Option<f64>,
    /// The first term of the loss.
    #[serde(skip_serializing_if = "is_default")]
    pub policy_loss: PolicyLoss,
    /// Coefficient of the KL penalty; 0 needs no reference.
    pub beta: f64,
    /// Estimate of the KL divergence in the loss.
    #[serde(skip_serializing_if = "is_default")]
    pub kl_estimate: KlEstimate,
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

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for GrpoConfig {
    fn default() -> Self {
        Self {
            clip_low: 0.2,
            clip_high: 0.2,
            delta: None,
            policy_loss: PolicyLoss::default(),
            beta: 0.02,
            kl_estimate: KlEstimate::default(),
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
        if let Some(delta) = self.delta {
            if !(delta > 1.0 + self.clip_high && delta.is_finite()) {
                let least = 1.0 + self.clip_high;
                return Err(Error::setting("delta", format!("is {delta}; it must be above 1 + clip_high, {least}")));
            }
            if self.policy_loss == PolicyLoss::Cispo {
                return Err(Error::setting("delta", "has no meaning for `policy_loss = \"cispo\"`; leave it out"));
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

    /// Returns true if the ratio of a token is clipped, so that a change of the ratio does not change the loss.
    pub(crate) fn clips(&self, ratio: f64, advantage: f64) -> bool {
        let high = ratio > 1.0 + self.clip_high;
        if self.policy_loss == PolicyLoss::Cispo {
            return high;
        }
        let too_high = self.delta.is_some_and(|delta| ratio > delta);
        (advantage > 0.0 && high) || (advantage < 0.0 && (ratio < 1.0 - self.clip_low || too_high))
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
    let advantages = inputs.advantages.unsqueeze(1)?.broadcast_as(ratio.shape())?;
    let gain = match config.policy_loss {
        PolicyLoss::Clipped => {
            let clipped = ratio.clamp(1.0 - config.clip_low, 1.0 + config.clip_high)?;
            let bounded = config.delta.map_or_else(|| Ok(ratio.clone()), |delta| ratio.minimum(delta))?;
            (bounded * &advantages)?.minimum(&(clipped * &advantages)?)?
        }
        PolicyLoss::Cispo => {
            let factor = ratio.detach().minimum(1.0 + config.clip_high)?;
            ((factor * &advantages)? * &inputs.log_probs)?
        }
    };
    let mut per_token = gain.neg()?;
    let beta = config.loss_beta();
    if beta != 0.0 {
        let reference = inputs.reference_log_probs.as_ref().ok_or(Error::NoReference { beta })?;
        let delta = (reference.detach() - &inputs.log_probs)?;
        let k3 = || (delta.exp()? - &delta)? - 1.0;
        let estimate = match config.kl_estimate {
            KlEstimate::K1 => delta.neg()?,
            KlEstimate::K2 => (delta.sqr()? * 0.5)?,
            KlEstimate::K3 => k3()?,
            KlEstimate::K3Ratio => (k3()? * &ratio)?,
        };
        per_token = (per_token + (estimate * beta)?)?;
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

    /// The losses and gradients of tests/data/losses.py.
    #[test]
    fn losses_and_gradients_are_those_of_trl() {
        let golden: Value = serde_json::from_str(include_str!("../../tests/data/losses.json")).unwrap();
        let rows = |value: &Value| -> Vec<Vec<f64>> { serde_json::from_value(value.clone()).unwrap() };
        let matrix = |name: &str| Tensor::new(rows(&golden["batch"][name]), &Device::Cpu).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert_eq!(cases.len(), 42);
        for case in cases {
            let (loss_type, sequence) = (case["loss_type"].as_str().unwrap(), case["level"] == "sequence");
            let config = GrpoConfig {
                clip_low: golden["epsilon_low"].as_f64().unwrap(),
                clip_high: golden["epsilon_high"].as_f64().unwrap(),
                delta: case["delta"].as_f64(),
                policy_loss: if loss_type == "cispo" { PolicyLoss::Cispo } else { PolicyLoss::Clipped },
                beta: case["beta"].as_f64().unwrap(),
                kl_estimate: if case["corrected"] == true { KlEstimate::K3Ratio } else { KlEstimate::K3 },
                aggregation: match loss_type {
                    "grpo" => Aggregation::Grpo,
                    "dr_grpo" => Aggregation::DrGrpo,
                    _ => Aggregation::Dapo,
                },
                importance_sampling: if sequence { ImportanceSampling::Sequence } else { ImportanceSampling::Token },
                max_completion_tokens: golden["max_completion_length"].as_u64().unwrap() as usize,
                ..GrpoConfig::default()
            };
            config.check().unwrap();
            let log_probs = Var::from_tensor(&matrix("logp")).unwrap();
            let advantages: Vec<f64> = serde_json::from_value(golden["batch"]["advantages"].clone()).unwrap();
            let inputs = LossInputs {
                log_probs: log_probs.as_tensor().clone(),
                old_log_probs: matrix("logp_old"),
                reference_log_probs: Some(matrix("logp_ref")),
                advantages: Tensor::new(advantages, &Device::Cpu).unwrap(),
                mask: matrix("mask"),
                token_weights: Tensor::new(config.token_weights(&[4, 2, 3]), &Device::Cpu).unwrap(),
            };
            let value = loss(&inputs, &config).unwrap();
            let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{case}: {got} is not {want}");
            near(value.to_scalar().unwrap(), case["loss"].as_f64().unwrap());
            let grads = value.backward().unwrap();
            let got = grads.get(&log_probs).unwrap().to_vec2::<f64>().unwrap();
            got.iter()
                .flatten()
                .zip(rows(&case["gradient"]).iter().flatten())
                .for_each(|(got, want)| near(*got, *want));
        }
    }

    #[test]
    fn every_estimate_of_the_divergence_has_its_own_gradient() {
        let (golden, cases) = cases();
        for kl_estimate in [KlEstimate::K1, KlEstimate::K2, KlEstimate::K3, KlEstimate::K3Ratio] {
            let config = GrpoConfig { beta: 0.3, kl_estimate, ..cases[0].0.clone() };
            let (log_probs, inputs) = inputs(&golden, &config, 6.0);
            let with = |beta: f64| {
                let value = loss(&inputs, &GrpoConfig { beta, ..config.clone() }).unwrap();
                value.backward().unwrap().get(&log_probs).unwrap().get(0).unwrap().get(0).unwrap().to_scalar::<f64>()
            };
            let at = |name: &str| golden["batch"][name][0][0].as_f64().unwrap();
            let delta = at("logp_ref") - at("logp");
            let ratio = (at("logp") - at("logp_old")).exp();
            let slope = match kl_estimate {
                KlEstimate::K1 => 1.0,
                KlEstimate::K2 => -delta,
                KlEstimate::K3 => 1.0 - delta.exp(),
                KlEstimate::K3Ratio => -ratio * delta,
            };
            let weight = inputs.token_weights.get(0).unwrap().to_scalar::<f64>().unwrap();
            let got = with(0.3).unwrap() - with(0.0).unwrap();
            assert!((got - 0.3 * weight * slope).abs() < 1e-12, "{kl_estimate:?}: {got}");
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
        assert!(refused(GrpoConfig { delta: Some(1.1), ..Default::default() }).contains("`delta` is 1.1"));
        let cispo = GrpoConfig { delta: Some(2.0), policy_loss: PolicyLoss::Cispo, ..Default::default() };
        assert!(refused(cispo).contains("cispo"));
        assert!(refused(GrpoConfig { updates_per_batch: 0, ..Default::default() }).contains("updates_per_batch"));
    }
}
