//! A Newton step of the policy: to the maximum of the second-order model of the height (J, or its Lagrangian). The step costs
//! one evaluation for each answer. In return it has the interactions between answers at once, which a first-order method
//! learns in many steps.
//!
//! Let Δ be the step in logits, and d = ν Δ. The model's maximum is at (β/ν − H) d = β r under Σ_z d_i(z) = 0, where H = ∂g/∂ν
//! is the Hessian of m times the utility and r the centred residual. For u = d/√ν this is (β I + M) u = β √ν r, where M is
//! −√ν H √ν, projected from both sides to the vectors that keep the sums. M is positive semidefinite, so no eigenvalue is
//! below β, however small a probability is.

use super::cholesky;
use super::error::Error;
use super::instance::Game;
use super::objective::{Oracle, Point, Price};
use super::player::normalized;

/// The change of a logit for a finite difference of the rewards.
const DIFFERENCE: f64 = 1e-7;

/// The largest number of answers. With more, a step costs more than it saves.
const MAX_ANSWERS: usize = 500;

/// Returns the step in logits from `point`, whose centred residual is r. Returns `None` if there are too many answers, or the
/// rewards are not those of a concave utility.
///
/// # Errors
/// Fails if an objective cannot be evaluated.
pub(super) fn step(
    game: &Game,
    oracle: &mut Oracle<'_>,
    point: &Point,
    residual: &[f64],
    prices: &[Price],
) -> Result<Option<Vec<f64>>, Error> {
    let n = point.nu.len();
    if n > MAX_ANSWERS {
        return Ok(None);
    }
    let root: Vec<f64> = point.nu.iter().map(|p| p.sqrt()).collect();
    let mut model = vec![vec![0.0; n]; n];
    for at in 0..n {
        let mut changed = point.log_nu.clone();
        changed[at] += DIFFERENCE;
        let there = oracle.at(normalized(game, changed), prices)?;
        let mut slopes: Vec<f64> =
            there.rewards.iter().zip(&point.rewards).map(|(a, b)| (a - b) / DIFFERENCE).collect();
        for range in game.ranges() {
            let mean: f64 = range.clone().map(|other| point.nu[other] * slopes[other]).sum();
            slopes[range].iter_mut().for_each(|slope| *slope -= mean);
        }
        // M is symmetric, so each pair takes the difference at the likelier answer. The effect of a very unlikely answer on
        // the others is below the rounding error.
        for other in (0..n).filter(|other| (root[*other], *other) <= (root[at], at)) {
            model[other][at] = -slopes[other] * (root[other] / root[at]);
            model[at][other] = model[other][at];
        }
    }
    model.iter_mut().enumerate().for_each(|(at, row)| row[at] += game.beta);
    let right = residual.iter().zip(&root).map(|(r, root)| game.beta * root * r).collect();
    let Some(scaled) = cholesky::solve(model, right) else { return Ok(None) };
    let step: Vec<f64> = scaled.iter().zip(&root).map(|(u, root)| u / root).collect();
    Ok(step.iter().all(|step| step.is_finite()).then_some(step))
}
