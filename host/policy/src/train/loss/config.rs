//! The settings of the loss.

use serde::{Deserialize, Serialize};

use super::{aggregation::Aggregation, clipped::Clip, kl::KlPenalty, ratio::ImportanceSampling};
use crate::{
    error::{Error, Result},
    setting::{not_negative, within},
};

/// The loss of a token as a function of the ratio ρ and the advantage A.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PolicyLoss {
    /// `−min(ρ A, clip(ρ) A)`: a token whose ratio is beyond the bound has no gradient (PPO, GRPO).
    #[default]
    Clipped,
    /// `−min(ρ, 1 + clip_high) A log π`, whose factor before log π is held constant: every token has a gradient (CISPO, arXiv
    /// 2506.13585).
    Cispo,
    /// `−(4 / τ) σ(τ (ρ − 1)) A`: a soft gate in the place of clipping (SAPO, arXiv 2511.20347).
    Sapo,
    /// `−φ(w) A log π` with w the ratio of the whole sequence: a smooth weight in the place of clipping (VESPO, arXiv
    /// 2602.10693).
    Vespo,
    /// `−ρ A`, without clipping (REINFORCE; RLOO, arXiv 2402.14740).
    Reinforce,
}

/// The settings of the loss of GRPO and of its variants.
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
    /// The loss of a token.
    #[serde(skip_serializing_if = "is_default")]
    pub policy_loss: PolicyLoss,
    /// Coefficient of the KL penalty; 0 needs no reference.
    pub beta: f64,
    /// Form of the KL penalty.
    pub kl: KlPenalty,
    /// Coefficient of the entropy bonus: the mean entropy of the next-token distribution over the completion tokens, in
    /// nats, times this is subtracted from the loss.
    #[serde(skip_serializing_if = "is_default")]
    pub entropy_coef: f64,
    /// Aggregation of tokens.
    pub aggregation: Aggregation,
    /// Level at which the ratio is taken.
    pub importance_sampling: ImportanceSampling,
    /// Leaves completions that were ended by the largest number of tokens out of the loss. They count in the statistics of
    /// their group, and among the sequences of the batch. The caller leaves them out.
    #[serde(skip_serializing_if = "is_default")]
    pub mask_truncated: bool,
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

/// The largest coefficient of a term of the loss: terms beside a larger one would be lost in rounding.
const MAX_COEFFICIENT: f64 = 1e6;

/// The largest number of updates on a batch: those of one step are made as a whole or not at all.
const MAX_UPDATES: usize = 1000;

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
            kl: KlPenalty::default(),
            entropy_coef: 0.0,
            aggregation: Aggregation::default(),
            importance_sampling: ImportanceSampling::default(),
            mask_truncated: false,
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
        not_negative("clip_low", self.clip_low)?;
        not_negative("clip_high", self.clip_high)?;
        within("beta", self.beta, 0.0..=MAX_COEFFICIENT)?;
        within("entropy_coef", self.entropy_coef, -MAX_COEFFICIENT..=MAX_COEFFICIENT)?;
        if let Some(delta) = self.delta {
            not_negative("delta", delta)?;
            if delta <= 1.0 + self.clip_high {
                let least = 1.0 + self.clip_high;
                return Err(Error::setting(
                    "delta",
                    format!("is {delta:?}; it must be above 1 + clip_high, {least:?}"),
                ));
            }
            if self.policy_loss != PolicyLoss::Clipped {
                let reason = "is a bound of `policy_loss = \"clipped\"`; leave it out with any other loss";
                return Err(Error::setting("delta", reason));
            }
        }
        if !(1..=MAX_UPDATES).contains(&self.updates_per_batch) {
            let reason = format!("is {}; it must be from 1 to {MAX_UPDATES}", self.updates_per_batch);
            return Err(Error::setting("updates_per_batch", reason));
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
        if self.kl == KlPenalty::Reward { 0.0 } else { self.beta }
    }

    /// Returns the weight of a token of each sequence in the loss of a batch, given the sequences' lengths in tokens; a
    /// masked sequence has the length 0.
    pub fn token_weights(&self, lengths: &[usize]) -> Vec<f64> {
        self.aggregation.weights(lengths, self.max_completion_tokens)
    }

    /// Returns the weight of a token's entropy in the loss of a batch, given the sequences' lengths in tokens.
    pub(crate) fn entropy_weight(&self, lengths: &[usize]) -> f64 {
        self.entropy_coef / lengths.iter().sum::<usize>().max(1) as f64
    }

    pub(super) fn clip(&self) -> Clip {
        Clip { low: self.clip_low, high: self.clip_high, delta: self.delta }
    }

    /// Returns true if the ratio of a token is clipped, so that a change of the ratio does not change the loss.
    pub(crate) fn clips(&self, ratio: f64, advantage: f64) -> bool {
        match self.policy_loss {
            PolicyLoss::Clipped => self.clip().clips(ratio, advantage),
            PolicyLoss::Cispo => ratio > 1.0 + self.clip_high,
            PolicyLoss::Sapo | PolicyLoss::Vespo | PolicyLoss::Reinforce => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_range_are_errors() {
        let refused = |config: GrpoConfig| config.check().unwrap_err().to_string();
        assert!(refused(GrpoConfig { beta: f64::NAN, ..Default::default() }).contains("`beta` is NaN"));
        assert!(refused(GrpoConfig { clip_low: -0.1, ..Default::default() }).contains("`clip_low` is -0.1"));
        assert!(refused(GrpoConfig { entropy_coef: f64::INFINITY, ..Default::default() }).contains("`entropy_coef`"));
        assert!(refused(GrpoConfig { delta: Some(1.1), ..Default::default() }).contains("`delta` is 1.1"));
        let cispo = GrpoConfig { delta: Some(2.0), policy_loss: PolicyLoss::Cispo, ..Default::default() };
        assert!(refused(cispo).contains("\"clipped\""));
        assert!(refused(GrpoConfig { updates_per_batch: 0, ..Default::default() }).contains("updates_per_batch"));
    }
}
