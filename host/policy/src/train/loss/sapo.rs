//! The loss of SAPO, a soft gate in the place of clipping. With ρ the ratio of a token, A the advantage of its sample and
//! τ the temperature of the gate, 1 for A > 0 and 1.05 otherwise:
//!
//! ```text
//! loss = −(4 / τ) σ(τ (ρ − 1)) A
//! ```
//!
//! The factor 4 / τ makes the slope 1 at ρ = 1.
//!
//! Source: Gao et al., *Soft Adaptive Policy Optimization*, arXiv 2511.20347.

use candle_core::{Result, Tensor};

const POSITIVE: f64 = 1.0;
const NEGATIVE: f64 = 1.05;

/// Returns the loss of each token.
pub(super) fn loss(ratio: &Tensor, advantages: &Tensor) -> Result<Tensor> {
    let positive = advantages.gt(0.0)?.to_dtype(advantages.dtype())?;
    let temperature = positive.affine(POSITIVE - NEGATIVE, NEGATIVE)?;
    // A ratio is at least 0, so the exponential is at most exp τ.
    let gate = (((ratio - 1.0)? * &temperature)?.neg()?.exp()? + 1.0)?.recip()?;
    ((gate * 4.0)? / temperature)?.mul(advantages)?.neg()
}
