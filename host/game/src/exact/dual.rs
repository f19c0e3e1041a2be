//! Prices of constraints, by the method of multipliers. For prices μ ≥ 0 the players find the top of the Lagrangian
//! U − Σ μ (cost − limit); at the right prices each constraint holds with equality, or costs nothing: μ (cost − limit) = 0.
//!
//! In a play each price answers its own violation, max(0, μ + σ (cost − limit)), which makes the top a smooth function of
//! all prices together; where they end up is where the next play starts from. That is a proximal step in μ, so it comes
//! closer from anywhere, and fast where σ is large. Source: Rockafellar, *Augmented Lagrangians and Applications of the
//! Proximal Point Algorithm in Convex Programming*, Math. Oper. Res. 1 (1976).

use super::certificate::Certificate;
use super::dynamics::{Dynamics, Ended, Rules, play};
use super::objective::{Oracle, Point, Price};
use super::{Error, Game};

/// A limit is met to this, relative to the largest cost. What the miss is worth, its price times it, is held to the same,
/// for it adds to the certificate's gap.
const MET: f64 = 1e-10;

/// The first slope of a price: so many β, per largest cost, for a violation of the largest cost.
const SLOPE: f64 = 10.0;

/// How much a slope grows while a play does not cut its violation to a quarter.
const STEEPER: f64 = 10.0;

/// Slopes grow no further than this, in the same unit: a play must still tell answers apart.
const STEEPEST: f64 = 1e10;

/// So many plays are enough for all that f64 can tell.
const PLAYS: u32 = 100;

/// The equilibrium of a game with its constraints' prices.
///
/// # Errors
/// [`Error::Infeasible`] where no policy keeps the limits, and [`Error::Objective`].
pub fn equilibrium(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    rules: &mut Rules<'_>,
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
    let mut prices: Vec<Price> = units.iter().map(|unit| Price { base: 0.0, slope: SLOPE * unit }).collect();
    let mut misses = vec![f64::INFINITY; count];
    let mut start = game.log_reference.clone();
    let mut best: Option<(Point, Certificate)> = None;
    for _ in 0..PLAYS {
        let Ended { point, exhausted } = play(game, oracle, dynamics, start, &prices, rules)?;
        let rises: Vec<f64> =
            point.multipliers.iter().zip(&prices).map(|(price, before)| (price - before.base).max(0.0)).collect();
        refuse_if_proved(game, &names, &point, &rises)?;
        let mut met = true;
        for at in 0..count {
            let (price, violation) = (point.multipliers[at], point.violations[at]);
            let miss = if price > 0.0 { violation.abs() } else { violation.max(0.0) };
            met &= miss <= MET * largest(&point.costs[at]) && miss * price <= MET;
            if miss > 0.25 * misses[at] {
                prices[at].slope = (STEEPER * prices[at].slope).min(STEEPEST * units[at]);
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
    Ok(best.expect("a play at least"))
}

/// Refuses the game if these weights over constraints prove that no policy keeps them all: the least weighted cost
/// that any policy can have exceeds the weighted limits (Farkas). A cost that is convex is no less than its slope says.
fn refuse_if_proved(game: &Game, names: &[String], point: &Point, weights: &[f64]) -> Result<(), Error> {
    let weighted = |values: &dyn Fn(usize) -> f64| -> f64 { (0..weights.len()).map(|c| weights[c] * values(c)).sum() };
    let cheaper = |range: std::ops::Range<usize>| {
        let costs: Vec<f64> = range.clone().map(|at| weighted(&|c| point.costs[c][at])).collect();
        let expected: f64 = costs.iter().zip(&point.nu[range]).map(|(cost, p)| cost * p).sum();
        expected - costs.iter().copied().fold(f64::INFINITY, f64::min)
    };
    let excess = weighted(&|c| point.violations[c]) - game.ranges().map(cheaper).sum::<f64>() / game.prompts();
    if excess <= MET * weighted(&|c| largest(&point.costs[c])) {
        return Ok(());
    }
    let named: Vec<&str> = (0..weights.len()).filter(|c| weights[*c] > 0.0).map(|c| names[c].as_str()).collect();
    Err(Error::Infeasible { name: named.join(" and "), excess: excess / weights.iter().sum::<f64>() })
}

/// The largest cost of an answer, by size.
fn largest(costs: &[f64]) -> f64 {
    costs.iter().fold(f64::MIN_POSITIVE, |most, cost| most.max(cost.abs()))
}
