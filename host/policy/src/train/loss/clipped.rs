//! The clipped loss of PPO and GRPO. With ρ the ratio of a token and A the advantage of its sample:
//!
//! ```text
//! loss = −min( min(ρ, delta) A, clip(ρ, 1 − clip_low, 1 + clip_high) A )
//! ```
//!
//! A token whose ratio is beyond the bound has no gradient. The bounds may differ (DAPO's "clip higher"), and `delta`, if
//! given, bounds the ratio of tokens with a negative advantage, which the minimum leaves unbounded.
//!
//! Sources: Schulman et al., *PPO*, arXiv 1707.06347; Shao et al., *DeepSeekMath* (GRPO), arXiv 2402.03300; Yu et al.,
//! *DAPO*, arXiv 2503.14476; two-sided clipping: *INTELLECT-2*, arXiv 2505.07291. With a ratio of the sequence it is the
//! loss of GSPO.

use candle_core::{Result, Tensor};

/// The bounds of the ratio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clip {
    /// Distance of the lower bound from 1.
    pub(super) low: f64,
    /// Distance of the upper bound from 1.
    pub(super) high: f64,
    /// Largest ratio that counts for a negative advantage.
    pub(super) delta: Option<f64>,
}

impl Clip {
    /// Returns the loss of each token.
    pub(super) fn loss(self, ratio: &Tensor, advantages: &Tensor) -> Result<Tensor> {
        let clipped = ratio.clamp(1.0 - self.low, 1.0 + self.high)?;
        let bounded = self.delta.map_or_else(|| Ok(ratio.clone()), |delta| ratio.minimum(delta))?;
        (bounded * advantages)?.minimum(&(clipped * advantages)?)?.neg()
    }

    /// Returns true if the token has no gradient because of its ratio.
    pub(super) fn clips(self, ratio: f64, advantage: f64) -> bool {
        let too_high = self.delta.is_some_and(|delta| ratio > delta);
        (advantage > 0.0 && ratio > 1.0 + self.high) || (advantage < 0.0 && (ratio < 1.0 - self.low || too_high))
    }
}
