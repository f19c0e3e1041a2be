//! The entropy bonus. With H the entropy of the next-token distribution at a completion token, N the number of completion
//! tokens of the batch and c the coefficient:
//!
//! ```text
//! loss = −c Σ H / N
//! ```
//!
//! The gradient is exact: H is a function of all logits of its token, as the log-probability is (`ops::predict`). A mean
//! over tokens, however the rest of the loss is aggregated, makes c comparable between aggregations.
//!
//! Sources: Williams and Peng, *Function Optimization Using Connectionist Reinforcement Learning*, 1991; Mnih et al., *A3C*,
//! arXiv 1602.01783.

use candle_core::{Result, Tensor};

/// The entropies of a batch's tokens, and their weight in the loss.
#[derive(Debug, Clone)]
pub struct EntropyBonus {
    /// Entropy at each token, in nats, (B, T); tracked.
    pub entropies: Tensor,
    /// The coefficient over the number of tokens of the whole batch: c / N.
    pub weight: f64,
}

impl EntropyBonus {
    /// Returns the contribution to the loss, a tracked scalar.
    pub(super) fn loss(&self, mask: &Tensor) -> Result<Tensor> {
        (&self.entropies * mask)?.sum_all()? * -self.weight
    }
}
