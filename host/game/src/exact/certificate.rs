//! The duality gap: a proof of how far a point is from the equilibrium, whoever found it.
//!
//! For any supergradient g of a concave U at q, no policy does better than
//!
//! ```text
//! upper = (β/m) Σ_i log Σ_z ν₀_i(z) exp(g_i(z)/β) + U(q) − (1/m) Σ_i ⟨g_i, q_i⟩,
//! ```
//!
//! the value of the policy's best response to g. The policy q itself reaches lower = J(q). A constant added to a prompt's
//! rewards cancels. With constraints U is the Lagrangian, whose maximum is no less than the constrained one, and a q that
//! breaks a limit reaches −∞.

use super::{Game, objective::Point};

/// Limits are kept to this, relative to the largest cost. What the miss is worth is in the gap.
pub const KEPT: f64 = 1e-7;

/// Bounds on the game's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// J(q) = U(q) − (β/m) Σ KL(q_i ‖ ν₀_i): what is reached.
    pub lower: f64,
    /// What cannot be exceeded.
    pub upper: f64,
    /// How far they are apart; infinite where q breaks a limit, or where numbers end.
    pub gap: f64,
}

impl Certificate {
    /// Bounds on the Lagrangian's maximum, prices being what they are.
    pub fn at_prices(game: &Game, point: &Point) -> Self {
        let scale = game.beta / game.prompts();
        let (mut gap, mut divergence) = (0.0, 0.0);
        for range in game.ranges() {
            let nu = &point.nu[range.clone()];
            let log_ratio: Vec<f64> = range.clone().map(|at| point.log_nu[at] - game.log_reference[at]).collect();
            divergence += nu.iter().zip(&log_ratio).map(|(p, l)| p * l).sum::<f64>();
            // upper − lower, put together before it is summed: KL(q ‖ best response), without cancellation.
            let ahead: Vec<f64> =
                range.clone().zip(&log_ratio).map(|(at, l)| point.rewards[at] / game.beta - l).collect();
            let mean: f64 = nu.iter().zip(&ahead).map(|(p, a)| p * a).sum();
            let tilted: Vec<f64> = ahead.iter().zip(&point.log_nu[range]).map(|(a, l)| l + a - mean).collect();
            gap += log_sum_exp(&tilted);
        }
        let lower = point.lagrangian - scale * divergence;
        // NaN, where rewards over β overflow, must not pass for a small gap.
        let gap = if gap.is_nan() { f64::INFINITY } else { scale * gap.max(0.0) };
        Self { lower, upper: lower + gap, gap }
    }

    /// Bounds on the game's value, constraints kept to [`KEPT`].
    pub fn of(game: &Game, point: &Point) -> Self {
        let Self { lower, upper, gap } = Self::at_prices(game, point);
        let paid = || point.multipliers.iter().zip(&point.violations).map(|(price, violation)| price * violation);
        let largest = |costs: &[f64]| costs.iter().fold(0.0f64, |most, cost| most.max(cost.abs()));
        let kept = point.violations.iter().zip(&point.costs).all(|(excess, costs)| *excess <= KEPT * largest(costs));
        let gap = if kept { gap + paid().map(f64::abs).sum::<f64>() } else { f64::INFINITY };
        Self { lower: lower + paid().sum::<f64>(), upper, gap }
    }
}

/// log Σ exp, without overflow.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + values.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}
