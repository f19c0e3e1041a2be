//! The loss of REINFORCE, with importance sampling. With ρ the ratio of a token and A the advantage of its sample:
//!
//! ```text
//! loss = −ρ A
//! ```
//!
//! At the first update on a batch ρ is 1, and the gradient is that of −A log π: with the baseline of the others' mean and
//! the aggregation `sum` it is RLOO's. Nothing is clipped, so it is for few updates on a batch.
//!
//! Sources: Williams, *Simple Statistical Gradient-Following Algorithms*, 1992; Ahmadian et al., *Back to Basics*, arXiv
//! 2402.14740.

use candle_core::{Result, Tensor};

/// Returns the loss of each token.
pub(super) fn loss(ratio: &Tensor, advantages: &Tensor) -> Result<Tensor> {
    (ratio * advantages)?.neg()
}
