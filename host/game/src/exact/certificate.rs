//! The duality gap: a proof of the distance in value between any point and the equilibrium, by whatever solver it was found.
//!
//! For any supergradient g of a concave U at q, the value of every policy is at most
//!
//! ```text
//! upper = (β/m) Σ_i log Σ_z ν₀_i(z) exp(g_i(z)/β) + U(q) − (1/m) Σ_i ⟨g_i, q_i⟩,
//! ```
//!
//! the value of the policy's best response to g. The value of the policy q itself is lower = J(q). A constant added to a
//! prompt's rewards cancels. With constraints, U is the Lagrangian, whose maximum is no less than the constrained one, and
//! the value of a q that exceeds a limit is −∞.

use super::instance::Game;
use super::objective::Point;

/// The largest violation of a limit that counts as kept, relative to the largest cost. The violation's value is in the gap.
pub const TOLERANCE: f64 = 1e-7;

/// Bounds on the game's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// J(q) = U(q) − (β/m) Σ KL(q_i ‖ ν₀_i), the value of the point.
    pub lower: f64,
    /// An upper bound on the value of every policy.
    pub upper: f64,
    /// The difference of the bounds. Infinite if q exceeds a limit, or a number overflows.
    pub gap: f64,
}

impl Certificate {
    /// Returns bounds on the maximum of the Lagrangian at the point's multipliers.
    pub fn at_prices(game: &Game, point: &Point) -> Self {
        let scale = game.beta / game.prompts();
        let (mut gap, mut divergence) = (0.0, 0.0);
        for range in game.ranges() {
            let nu = &point.nu[range.clone()];
            let log_ratio: Vec<f64> = range.clone().map(|at| point.log_nu[at] - game.log_reference[at]).collect();
            divergence += nu.iter().zip(&log_ratio).map(|(p, l)| p * l).sum::<f64>();
            // upper − lower is KL(q ‖ best response). Combined before they are summed, the terms do not cancel.
            let ahead: Vec<f64> =
                range.clone().zip(&log_ratio).map(|(at, l)| point.rewards[at] / game.beta - l).collect();
            let mean: f64 = nu.iter().zip(&ahead).map(|(p, a)| p * a).sum();
            let tilted: Vec<f64> = ahead.iter().zip(&point.log_nu[range]).map(|(a, l)| l + a - mean).collect();
            gap += log_sum_exp(&tilted);
        }
        let lower = point.lagrangian - scale * divergence;
        // NaN, the result where rewards over β overflow, must not pass for a small gap.
        let gap = if gap.is_nan() { f64::INFINITY } else { scale * gap.max(0.0) };
        Self { lower, upper: lower + gap, gap }
    }

    /// Returns bounds on the game's value. Limits must be kept to [`TOLERANCE`].
    pub fn of(game: &Game, point: &Point) -> Self {
        let Self { lower, upper, gap } = Self::at_prices(game, point);
        let priced = || point.multipliers.iter().zip(&point.violations).map(|(price, violation)| price * violation);
        let largest = |costs: &[f64]| costs.iter().fold(0.0f64, |most, cost| most.max(cost.abs()));
        let kept =
            point.violations.iter().zip(&point.costs).all(|(excess, costs)| *excess <= TOLERANCE * largest(costs));
        let gap = if kept { gap + priced().map(f64::abs).sum::<f64>() } else { f64::INFINITY };
        Self { lower: lower + priced().sum::<f64>(), upper, gap }
    }
}

/// Returns log Σ exp of the values, without overflow.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + values.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}
