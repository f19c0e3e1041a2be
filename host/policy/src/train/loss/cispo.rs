//! The loss of CISPO. With ρ the ratio of a token and A the advantage of its sample:
//!
//! ```text
//! loss = −min(ρ, 1 + clip_high) A log π
//! ```
//!
//! in which the factor before log π is held constant: the ratio is clipped, and every token keeps its gradient.
//!
//! Source: MiniMax, *MiniMax-M1*, arXiv 2506.13585.

use candle_core::{Result, Tensor};

/// Returns the loss of each token.
pub(super) fn loss(ratio: &Tensor, advantages: &Tensor, log_probs: &Tensor, clip_high: f64) -> Result<Tensor> {
    let factor = ratio.detach().minimum(1.0 + clip_high)?;
    ((factor * advantages)? * log_probs)?.neg()
}
