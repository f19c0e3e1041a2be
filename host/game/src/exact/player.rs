//! The steps of both players. Distributions are flat vectors of log-probabilities.

use super::certificate::log_sum_exp;
use super::instance::Game;

/// The lowest log-probability. exp of it is 2e-300, which is as good as 0, and it is finite.
pub(super) const MIN_LOG_PROBABILITY: f64 = -690.0;

/// Returns the policy's best response to rewards g: ν_i(z) ∝ ν₀_i(z) exp(g_i(z)/β).
pub fn best_response(game: &Game, rewards: &[f64]) -> Vec<f64> {
    normalized(game, game.log_reference.iter().zip(rewards).map(|(log_p, g)| log_p + g / game.beta).collect())
}

/// Returns a KL-proximal (mirror) step of the policy from ν towards its best response: ν^{1−η} · response^η, normalised. The
/// step maximises ⟨g, ν'⟩ − β KL(ν' ‖ ν₀) − β(1−η)/η KL(ν' ‖ ν).
///
/// The target's mirror step from q towards ν has the same form, and minimises η KL(q' ‖ ν) + (1−η) KL(q' ‖ q).
pub fn mirror_step(game: &Game, from: &[f64], towards: &[f64], rate: f64) -> Vec<f64> {
    normalized(game, from.iter().zip(towards).map(|(a, b)| a + rate * (b - a)).collect())
}

/// Returns an averaging step of the target: (1−η) q + η ν.
pub fn average_step(game: &Game, from: &[f64], towards: &[f64], rate: f64) -> Vec<f64> {
    normalized(game, from.iter().zip(towards).map(|(a, b)| ((1.0 - rate) * a.exp() + rate * b.exp()).ln()).collect())
}

/// Returns log-probabilities: the logits, shifted so that each prompt's probabilities sum to 1.
pub fn normalized(game: &Game, mut logits: Vec<f64>) -> Vec<f64> {
    for range in game.ranges() {
        let total = log_sum_exp(&logits[range.clone()]);
        logits[range].iter_mut().for_each(|l| *l = (*l - total).max(MIN_LOG_PROBABILITY));
    }
    logits
}
