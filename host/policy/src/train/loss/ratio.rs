//! The ratio ρ of a token's probability to its probability when the sample was drawn. With r_t = log π − log π_old of
//! token t:
//!
//! ```text
//! token (GRPO)      ρ_t = exp r_t
//! sequence (GSPO)   ρ_t = exp( mean of r over the tokens of the sequence )
//! ```
//!
//! Source of the second: Zheng et al., *Group Sequence Policy Optimization*, arXiv 2507.18071.

use candle_core::{D, Result, Tensor};
use serde::{Deserialize, Serialize};

/// The level at which the probability ratio is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ImportanceSampling {
    /// Each token: the ratio of its probabilities.
    #[default]
    Token,
    /// Each sequence: the geometric mean of its tokens' ratios.
    Sequence,
}

impl ImportanceSampling {
    /// Returns the ratio at each token, (B, T), given log π − log π_old and the mask of tokens.
    pub(super) fn ratio(self, log_ratio: &Tensor, mask: &Tensor) -> Result<Tensor> {
        match self {
            ImportanceSampling::Token => log_ratio.exp(),
            ImportanceSampling::Sequence => sequence_mean(log_ratio, mask)?.exp(),
        }
    }
}

/// Replaces each token's value by the mean over the tokens of its sequence; 0 for a sequence without tokens.
fn sequence_mean(values: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let count = mask.sum_keepdim(D::Minus1)?.maximum(1.0)?;
    (values * mask)?.sum_keepdim(D::Minus1)?.broadcast_div(&count)?.broadcast_as(values.shape())
}
