//! The duality gap: a proof of how far a point is from the equilibrium, whoever found it.
//!
//! For any supergradient g of a concave U at q, no policy does better than
//!
//! ```text
//! upper = (β/m) Σ_i log Σ_z ν₀_i(z) exp(g_i(z)/β) + U(q) − (1/m) Σ_i ⟨g_i, q_i⟩,
//! ```
//!
//! the value of the policy's best response to g. With constraints U is the Lagrangian, whose maximum is no less than
//! the constrained one. The policy q itself reaches lower = J(q). A constant added to a prompt's rewards cancels.

use super::{Game, objective::Point};

/// Bounds on the game's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Certificate {
    /// J(q) = U(q) − (β/m) Σ KL(q_i ‖ ν₀_i): what is reached.
    pub lower: f64,
    /// What cannot be exceeded.
    pub upper: f64,
    /// How far they are apart, with what constraints' prices make of a limit that is not met exactly.
    pub gap: f64,
}

impl Certificate {
    /// The certificate of `point` under the prices `multipliers`.
    pub fn of(game: &Game, point: &Point, multipliers: &[f64]) -> Self {
        let (beta, m) = (game.beta, game.prompts());
        let (mut response, mut earned, mut divergence) = (0.0, 0.0, 0.0);
        for range in game.ranges() {
            let (g, nu) = (&point.rewards[range.clone()], &point.nu[range.clone()]);
            let (log_nu, log_reference) = (&point.log_nu[range.clone()], &game.log_reference[range]);
            let tilted: Vec<f64> = log_reference.iter().zip(g).map(|(log_p, g)| log_p + g / beta).collect();
            response += beta * log_sum_exp(&tilted);
            earned += g.iter().zip(nu).map(|(g, p)| g * p).sum::<f64>();
            divergence += nu.iter().zip(log_nu).zip(log_reference).map(|((p, l), l0)| p * (l - l0)).sum::<f64>();
        }
        let penalty = beta / m * divergence;
        let upper = response / m + point.lagrangian - earned / m;
        let slack: f64 = multipliers.iter().zip(&point.violations).map(|(mu, v)| mu * v.abs()).sum();
        let lower = point.utility - penalty;
        Self { lower, upper, gap: (upper - (point.lagrangian - penalty)).max(0.0) + slack }
    }
}

/// log Σ exp, without overflow.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let most = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    most + values.iter().map(|v| (v - most).exp()).sum::<f64>().ln()
}
