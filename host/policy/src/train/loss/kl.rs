//! The KL penalty β · KL(π ‖ π_ref). With Δ = log π_ref − log π of a token and ρ the ratio of its probability to that when
//! it was drawn:
//!
//! | form | term | gradient on samples of the policy |
//! | --- | --- | --- |
//! | `reward` | β log(π/π_ref) of the whole completion is taken off its reward | that of KL(π ‖ π_ref) of completions |
//! | `k1` | β · (−Δ) at each token, in the loss | 0 on average |
//! | `k2` | β · Δ² / 2 | that of KL(π ‖ π_ref) |
//! | `k3` | β · (exp Δ − Δ − 1) | that of KL(π_ref ‖ π) |
//! | `k3-ratio` | β · ρ (exp Δ − Δ − 1), in which the gradient of ρ counts | that of KL(π ‖ π_ref) |
//!
//! The gradient of a term in the loss is that of the token's divergence, given the tokens before it: it does not count that a
//! token changes the divergence of later ones.
//!
//! Sources: Schulman, *Approximating KL Divergence*, 2020; the gradients: Tang, Munos, arXiv 2506.09477; `k3` in the loss:
//! GRPO, arXiv 2402.03300; `k3-ratio`: DeepSeek-AI, *DeepSeek-V3.2*, arXiv 2512.02556.

use std::{fmt, str::FromStr};

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// The form of the KL penalty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KlPenalty {
    /// In the reward, from which β log(π/π_ref) of the whole completion is subtracted, as in PPO for RLHF. The loss then has
    /// no KL term.
    Reward,
    /// In the loss, `−Δ`: it teaches nothing on average.
    K1,
    /// In the loss, `Δ² / 2`.
    K2,
    /// In the loss, `exp Δ − Δ − 1`, as in GRPO.
    K3,
    /// In the loss, k3 times the ratio, whose gradient counts.
    #[default]
    K3Ratio,
}

impl KlPenalty {
    const NAMES: [(KlPenalty, &str); 5] = [
        (KlPenalty::Reward, "reward"),
        (KlPenalty::K1, "k1"),
        (KlPenalty::K2, "k2"),
        (KlPenalty::K3, "k3"),
        (KlPenalty::K3Ratio, "k3-ratio"),
    ];

    /// Returns the estimate at each token, given Δ and the ratio; `None` for a penalty that is in the reward.
    pub(super) fn estimate(self, delta: &Tensor, ratio: &Tensor) -> Result<Option<Tensor>> {
        let k3 = || (delta.exp()? - delta)? - 1.0;
        Ok(Some(match self {
            KlPenalty::Reward => return Ok(None),
            KlPenalty::K1 => delta.neg()?,
            KlPenalty::K2 => (delta.sqr()? * 0.5)?,
            KlPenalty::K3 => k3()?,
            KlPenalty::K3Ratio => (k3()? * ratio)?,
        }))
    }
}

impl fmt::Display for KlPenalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(form, _)| form == self).map_or("", |(_, name)| name);
        f.pad(name)
    }
}

impl FromStr for KlPenalty {
    type Err = Error;

    fn from_str(text: &str) -> std::result::Result<Self, Error> {
        let unknown = || {
            let reason = format!("must be one of {}", Self::NAMES.map(|(_, name)| name).join(", "));
            Error::Argument { argument: text.to_owned(), reason }
        };
        Self::NAMES.iter().find(|(_, name)| *name == text).map(|(form, _)| *form).ok_or_else(unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_name_everywhere() {
        for (form, name) in KlPenalty::NAMES {
            assert_eq!(serde_json::to_value(form).unwrap(), name);
            assert_eq!((form.to_string().as_str(), name.parse::<KlPenalty>().unwrap()), (name, form));
        }
        assert!("k4".parse::<KlPenalty>().unwrap_err().to_string().contains("k3-ratio"));
    }
}
