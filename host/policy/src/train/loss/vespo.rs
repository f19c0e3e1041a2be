//! The loss of VESPO, which weighs whole sequences smoothly in the place of clipping. With w = exp Σ (log π − log π_old)
//! over the tokens of the sequence, and (k, λ) = (2, 3) for A ≥ 0 and (3, 2) otherwise:
//!
//! ```text
//! loss = −φ(w) A log π        φ(w) = exp(λ + k log w − λ w)
//! ```
//!
//! in which φ(w), which is 1 at w = 1, is held constant.
//!
//! Source: *Variational Sequence-Level Soft Policy Optimization*, arXiv 2602.10693.

use candle_core::{D, Result, Tensor};

/// k and λ for advantages of 0 or more, and for negative ones.
const POSITIVE: [f64; 2] = [2.0, 3.0];
const NEGATIVE: [f64; 2] = [3.0, 2.0];
/// Bounds of a token's log-ratio and of the sequence's.
const MOST: f64 = 20.0;
const LEAST: f64 = -18.420_680_743_952_367;

/// Returns the loss of each token, given log π − log π_old at each.
pub(super) fn loss(log_ratio: &Tensor, mask: &Tensor, advantages: &Tensor, log_probs: &Tensor) -> Result<Tensor> {
    let bounded = (log_ratio.detach().clamp(-MOST, MOST)? * mask)?;
    let log_w = bounded.sum_keepdim(D::Minus1)?.clamp(LEAST, MOST)?.broadcast_as(log_ratio.shape())?;
    let positive = advantages.ge(0.0)?.to_dtype(advantages.dtype())?;
    let choose = |index: usize| positive.affine(POSITIVE[index] - NEGATIVE[index], NEGATIVE[index]);
    let (k, lambda) = (choose(0)?, choose(1)?);
    let phi = ((&lambda + (k * &log_w)?)? - (lambda * log_w.exp()?)?)?.exp()?;
    ((phi * advantages)? * log_probs)?.neg()
}
