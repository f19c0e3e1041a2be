//! A Newton step of the policy: to where the second-order model of the height (J, or its Lagrangian) is highest. It costs
//! an evaluation for each answer, and knows at once what a first-order method has to learn: which answers pull on each
//! other, and how hard.
//!
//! With d = ν Δ, Δ the step in logits, the model's top is at (β/ν − H) d = β r under Σ_z d_i(z) = 0, where H = ∂g/∂ν is the
//! Hessian of m times the utility and r the centred residual. In u = d/√ν this is (β I + M) u = β √ν r, with M = −√ν H √ν
//! from both sides projected to what keeps the sums: positive, so no eigenvalue is below β, however small a probability is.

use super::cholesky;
use super::objective::{Oracle, Point, Price};
use super::player::normalized;
use super::{Error, Game};

/// Logits are nudged by this to see what rewards do.
const NUDGE: f64 = 1e-7;

/// Beyond so many answers a step costs more than it saves.
const MOST: usize = 500;

/// The step in logits from `point`, where the centred residual is r. `None` where there are too many answers, and
/// where rewards are not those of a concave utility.
///
/// # Errors
/// [`Error::Objective`].
pub(super) fn step(
    game: &Game,
    oracle: &mut Oracle<'_>,
    point: &Point,
    residual: &[f64],
    prices: &[Price],
) -> Result<Option<Vec<f64>>, Error> {
    let n = point.nu.len();
    if n > MOST {
        return Ok(None);
    }
    let root: Vec<f64> = point.nu.iter().map(|p| p.sqrt()).collect();
    let mut model = vec![vec![0.0; n]; n];
    for at in 0..n {
        let mut nudged = point.log_nu.clone();
        nudged[at] += NUDGE;
        let there = oracle.at(normalized(game, nudged), prices)?;
        let mut slopes: Vec<f64> = there.rewards.iter().zip(&point.rewards).map(|(a, b)| (a - b) / NUDGE).collect();
        for range in game.ranges() {
            let mean: f64 = range.clone().map(|other| point.nu[other] * slopes[other]).sum();
            slopes[range].iter_mut().for_each(|slope| *slope -= mean);
        }
        // M is symmetric, so of each pair only the likelier answer's nudge is heard: what an all but impossible one does
        // to others is below what numbers can tell.
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
