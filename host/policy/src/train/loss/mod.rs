//! The loss of GRPO and of its variants. With A the advantage of a sample, ρ the ratio of a token's probability to that when
//! it was drawn, and H the entropy of its distribution:
//!
//! ```text
//! loss = Σ over tokens of  weight · ( policy loss(ρ, A) + β KL(π ‖ π_ref) )  −  c · mean H
//! ```
//!
//! | module | has |
//! | --- | --- |
//! | `clipped` | the policy loss of PPO, GRPO, DAPO and GSPO |
//! | `cispo`, `sapo`, `vespo`, `reinforce` | those of CISPO, SAPO, VESPO, and of REINFORCE and RLOO |
//! | `ratio` | ρ, of tokens (GRPO) or of sequences (GSPO) |
//! | `kl` | the forms of the KL penalty |
//! | `aggregation` | the weights of tokens (DAPO, GRPO, Dr. GRPO, RLOO) |
//! | `entropy` | the entropy bonus |
//! | `config` | the settings |
//!
//! The weights are fixed for the whole batch in advance, so the loss of a batch is the sum of the losses of its
//! micro-batches.

mod aggregation;
mod cispo;
mod clipped;
mod config;
mod entropy;
mod kl;
mod ratio;
mod reinforce;
mod sapo;
#[cfg(test)]
mod tests;
mod vespo;

use candle_core::Tensor;

use crate::error::{Error, Result};

pub use self::{
    aggregation::Aggregation,
    config::{GrpoConfig, PolicyLoss},
    entropy::EntropyBonus,
    kl::KlPenalty,
    ratio::ImportanceSampling,
};

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
    /// The entropy bonus, if there is one.
    pub entropy: Option<EntropyBonus>,
}

/// Returns the loss of a batch, a tracked scalar.
///
/// # Errors
/// Fails for shapes that do not agree. [`Error::NoReference`] if there is a KL penalty in the loss and no reference.
pub fn loss(inputs: &LossInputs, config: &GrpoConfig) -> Result<Tensor> {
    let log_ratio = (&inputs.log_probs - inputs.old_log_probs.detach())?;
    let ratio = config.importance_sampling.ratio(&log_ratio, &inputs.mask)?;
    let advantages = inputs.advantages.unsqueeze(1)?.broadcast_as(ratio.shape())?;
    let mut per_token = match config.policy_loss {
        PolicyLoss::Clipped => config.clip().loss(&ratio, &advantages)?,
        PolicyLoss::Cispo => cispo::loss(&ratio, &advantages, &inputs.log_probs, config.clip_high)?,
        PolicyLoss::Sapo => sapo::loss(&ratio, &advantages)?,
        PolicyLoss::Vespo => vespo::loss(&log_ratio, &inputs.mask, &advantages, &inputs.log_probs)?,
        PolicyLoss::Reinforce => reinforce::loss(&ratio, &advantages)?,
    };
    let beta = config.loss_beta();
    if beta != 0.0 {
        let reference = inputs.reference_log_probs.as_ref().ok_or(Error::NoReference { beta })?;
        let delta = (reference.detach() - &inputs.log_probs)?;
        // The ratio is the token's own: with that of a whole sequence the gradient is not the divergence's.
        if let Some(estimate) = config.kl.estimate(&delta, &log_ratio.exp()?)? {
            per_token = (per_token + (estimate * beta)?)?;
        }
    }
    let weights = inputs.mask.broadcast_mul(&inputs.token_weights.unsqueeze(1)?)?;
    let sum = (per_token * weights)?.sum_all()?;
    match &inputs.entropy {
        Some(bonus) => Ok((sum + bonus.loss(&inputs.mask)?)?),
        None => Ok(sum),
    }
}
