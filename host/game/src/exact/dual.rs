//! The prices of constraints, by the method of multipliers. For prices μ ≥ 0 the players find the maximum of the Lagrangian
//! U − Σ μ (cost − limit). At the right prices each constraint holds with equality or has the price 0: μ (cost − limit) = 0.
//!
//! During a play each price depends on the violation, max(0, μ + σ (cost − limit)), which makes the maximum a smooth function
//! of all prices together. The next play starts from the prices at which the last one ended. That is a proximal step in μ, so
//! it converges from any start, and fast if σ is large. Source: Rockafellar, *Augmented Lagrangians and Applications of the
//! Proximal Point Algorithm in Convex Programming*, Math. Oper. Res. 1 (1976).

use super::certificate::Certificate;
use super::dynamics::{Dynamics, Limits, PlayEnd, play};
use super::error::Error;
use super::instance::Game;
use super::objective::{Oracle, Point, Price};

/// The largest violation at which a limit is met, relative to the largest cost. The violation times the price has the same
/// bound, because it is part of the certificate's gap.
const TOLERANCE: f64 = 1e-10;

/// The slope of every price in the first play, in units of β over the square of the largest cost.
const INITIAL_SLOPE: f64 = 10.0;

/// The factor by which a slope grows after a play that has not reduced the violation to a quarter.
const SLOPE_GROWTH: f64 = 10.0;

/// The largest slope, in the same unit. With steeper prices rounding would hide the differences between answers.
const MAX_SLOPE: f64 = 1e10;

/// The largest number of plays. In f64, more plays do not come closer.
const MAX_PLAYS: u32 = 100;

/// Returns the equilibrium of a game, with the prices of its constraints.
///
/// # Errors
/// Fails if no policy keeps the limits, or an objective cannot be evaluated.
pub fn equilibrium(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    limits: &mut Limits<'_>,
) -> Result<(Point, Certificate), Error> {
    let names: Vec<String> = oracle.constraints().into_iter().map(str::to_owned).collect();
    let count = names.len();
    let reference = oracle.at(game.log_reference.clone(), &vec![Price::fixed(0.0); count])?;
    for at in 0..count {
        let mut alone = vec![0.0; count];
        alone[at] = 1.0;
        refuse_if_proved(game, &names, &reference, &alone)?;
    }
    let units: Vec<f64> = reference.costs.iter().map(|costs| game.beta / largest(costs).powi(2)).collect();
    let mut prices: Vec<Price> = units.iter().map(|unit| Price { base: 0.0, slope: INITIAL_SLOPE * unit }).collect();
    let mut misses = vec![f64::INFINITY; count];
    let mut start = game.log_reference.clone();
    let mut best: Option<(Point, Certificate)> = None;
    for _ in 0..MAX_PLAYS {
        let PlayEnd { point, exhausted } = play(game, oracle, dynamics, start, &prices, limits)?;
        let rises: Vec<f64> =
            point.multipliers.iter().zip(&prices).map(|(price, before)| (price - before.base).max(0.0)).collect();
        refuse_if_proved(game, &names, &point, &rises)?;
        let mut met = true;
        for at in 0..count {
            let (price, violation) = (point.multipliers[at], point.violations[at]);
            let miss = if price > 0.0 { violation.abs() } else { violation.max(0.0) };
            met &= miss <= TOLERANCE * largest(&point.costs[at]) && miss * price <= TOLERANCE;
            if miss > 0.25 * misses[at] {
                prices[at].slope = (SLOPE_GROWTH * prices[at].slope).min(MAX_SLOPE * units[at]);
            }
            misses[at] = miss;
            prices[at].base = price;
        }
        start = point.log_nu.clone();
        let certificate = Certificate::of(game, &point);
        if best.as_ref().is_none_or(|(_, best)| certificate.gap <= best.gap) {
            best = Some((point, certificate));
        }
        if met || exhausted {
            break;
        }
    }
    Ok(best.expect("there was at least one play"))
}

/// Fails if these weights over constraints prove that no policy keeps all of them, because the least weighted cost of any
/// policy exceeds the weighted limits (Farkas' lemma). A convex cost is bounded from below by its tangent at the point.
fn refuse_if_proved(game: &Game, names: &[String], point: &Point, weights: &[f64]) -> Result<(), Error> {
    let weighted = |values: &dyn Fn(usize) -> f64| -> f64 { (0..weights.len()).map(|c| weights[c] * values(c)).sum() };
    let cheaper = |range: std::ops::Range<usize>| {
        let costs: Vec<f64> = range.clone().map(|at| weighted(&|c| point.costs[c][at])).collect();
        let expected: f64 = costs.iter().zip(&point.nu[range]).map(|(cost, p)| cost * p).sum();
        expected - costs.iter().copied().fold(f64::INFINITY, f64::min)
    };
    let excess = weighted(&|c| point.violations[c]) - game.ranges().map(cheaper).sum::<f64>() / game.prompts();
    if excess <= TOLERANCE * weighted(&|c| largest(&point.costs[c])) {
        return Ok(());
    }
    let named: Vec<&str> = (0..weights.len()).filter(|c| weights[*c] > 0.0).map(|c| names[c].as_str()).collect();
    Err(Error::Infeasible { name: named.join(" and "), excess: excess / weights.iter().sum::<f64>() })
}

/// Returns the largest magnitude of an answer's cost.
fn largest(costs: &[f64]) -> f64 {
    costs.iter().fold(f64::MIN_POSITIVE, |most, cost| most.max(cost.abs()))
}
