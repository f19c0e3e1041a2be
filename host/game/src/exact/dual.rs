//! Prices of constraints. For prices μ ≥ 0 the players find the top of the Lagrangian U − Σ μ (cost − limit); each
//! price is then put where its constraint holds with equality, or at 0 where it holds for free: μ (cost − limit) = 0.
//!
//! A constraint's cost falls as its own price rises, so one price is the root of a monotone function. With several they
//! are found in turns (coordinate ascent on the dual, which is smooth because KL is strictly convex).

use super::certificate::Certificate;
use super::dynamics::{Dynamics, Rules, play};
use super::objective::{Oracle, Point};
use super::{Error, Game};

/// A limit is met to this: what marginals can be trusted to. What the miss is worth, its price times it, is held to the
/// same, for it adds to the certificate's gap.
const MET: f64 = 1e-10;

/// Prices beyond this many β change nothing any more: an answer that pays one unit of cost is rarer than e^−PRICES.
const HIGHEST: f64 = 1e9;

/// Rounds over several constraints before the prices are taken as they are.
const ROUNDS: u32 = 200;

/// The equilibrium of a game with its constraints' prices.
///
/// # Errors
/// [`Error::Infeasible`] where a constraint cannot be met, and [`Error::Objective`].
pub fn equilibrium(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    rules: &mut Rules<'_>,
) -> Result<(Point, Certificate, Vec<f64>), Error> {
    let names: Vec<String> = oracle.constraints().into_iter().map(str::to_owned).collect();
    let mut prices = vec![0.0; names.len()];
    let (mut point, mut certificate) = play(game, oracle, dynamics, game.log_reference.clone(), &prices, rules)?;
    for _ in 0..ROUNDS {
        let off = |at: &usize| {
            let violation = point.violations[*at];
            violation > MET || (prices[*at] > 0.0 && !met(violation, prices[*at]))
        };
        let miss = |at: &usize| point.violations[*at].abs();
        let Some(at) = (0..names.len()).filter(off).max_by(|a, b| miss(a).total_cmp(&miss(b))) else { break };
        let before = prices[at];
        (point, certificate) = price(game, oracle, dynamics, rules, &mut prices, at, (point, certificate), &names[at])?;
        // A price that stays where it is says that numbers cannot tell it from the right one.
        if prices[at] == before || oracle.evaluations >= rules.evaluations {
            break;
        }
    }
    Ok((point, certificate, prices))
}

type Found = (Point, Certificate);

/// Whether a constraint holds with equality, at its price.
fn met(violation: f64, price: f64) -> bool {
    violation.abs() * price.max(1.0) <= MET
}

/// Moves the price of constraint `at` to where its limit is met with equality, or to 0.
#[allow(clippy::too_many_arguments, reason = "all that a play needs, and the price to move")]
fn price(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    rules: &mut Rules<'_>,
    prices: &mut [f64],
    at: usize,
    now: Found,
    name: &str,
) -> Result<Found, Error> {
    let mut best = now;
    let mut at_price = |price: f64, from: &Point, prices: &mut [f64]| -> Result<Found, Error> {
        prices[at] = price;
        play(game, oracle, dynamics, from.log_nu.clone(), prices, rules)
    };
    // Bracket the root: `low` is a price too low, `high` one that is high enough.
    let mut low = (prices[at], best.0.violations[at]);
    let mut high = low;
    if low.1 > 0.0 {
        let mut step = game.beta.max(prices[at]);
        while high.1 > 0.0 {
            low = high;
            high.0 += step;
            step *= 2.0;
            best = at_price(high.0, &best.0, prices)?;
            high.1 = best.0.violations[at];
            if met(high.1, high.0) {
                return Ok(best);
            }
            if high.0 > HIGHEST * game.beta {
                return Err(Error::Infeasible { name: name.to_owned(), excess: high.1 });
            }
        }
    } else {
        best = at_price(0.0, &best.0, prices)?;
        low = (0.0, best.0.violations[at]);
        if low.1 <= MET {
            return Ok(best);
        }
    }
    // Illinois: the secant's root, with the end that stays put discounted so that both ends move.
    let mut kept = 0i8;
    while high.0 - low.0 > f64::EPSILON * high.0 {
        let guess = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let guess = if guess > low.0 && guess < high.0 { guess } else { 0.5 * (low.0 + high.0) };
        if guess <= low.0 || guess >= high.0 {
            break;
        }
        best = at_price(guess, &best.0, prices)?;
        let violation = best.0.violations[at];
        if met(violation, guess) {
            break;
        }
        if violation > 0.0 {
            low = (guess, violation);
            if kept == 1 {
                high.1 /= 2.0;
            }
            kept = 1;
        } else {
            high = (guess, violation);
            if kept == -1 {
                low.1 /= 2.0;
            }
            kept = -1;
        }
    }
    Ok(best)
}
