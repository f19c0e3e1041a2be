//! Prices of constraints. For prices μ ≥ 0 the players find the top of the Lagrangian U − Σ μ (cost − limit), D(μ). The
//! right prices are where D is least: there each constraint holds with equality, or costs nothing: μ (cost − limit) = 0.
//! D is smooth because KL is strictly convex, and its slope is limit − cost.
//!
//! One price is the root of a falling function. Several are found one after the other first, and then together by Newton's
//! method on D. Where several limits bind beside an objective as steep as the log of a small probability that may not be
//! enough: then the certificate's gap says so.

use super::certificate::Certificate;
use super::dynamics::{Dynamics, Ended, Rules, play};
use super::objective::{Oracle, Point};
use super::{Error, Game, quadratic};

/// A limit is met to this, relative to the largest cost. What the miss is worth, its price times it, is held to the same,
/// for it adds to the certificate's gap.
const MET: f64 = 1e-10;

/// A price of so many β, per largest cost, that still does not tell says that the plays are stuck.
const ENDLESS: f64 = 1e12;

/// Several prices are good enough at this gap.
const PROVED: f64 = 1e-9;

/// How well each is found while the others will move yet.
const NEAR: f64 = 1e-7;

/// Rounds in which all prices together may come no closer: where one limit makes another idle, its price wanders over first.
const STALLS: u32 = 30;

/// How often one by one and together are tried in turn.
const ROUNDS: u32 = 5;

/// Steps of Newton's method before prices are taken as they are.
const NEWTON_STEPS: u32 = 200;

/// The equilibrium of a game with its constraints' prices.
///
/// # Errors
/// [`Error::Infeasible`] where no policy keeps the limits, and [`Error::Objective`].
pub fn equilibrium(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    rules: &mut Rules<'_>,
) -> Result<(Point, Certificate, Vec<f64>), Error> {
    let constraints = Constraints::of(game, oracle)?;
    let count = constraints.names.len();
    for at in 0..count {
        let mut alone = vec![0.0; count];
        alone[at] = 1.0;
        constraints.refuse_if_proved(game, &alone)?;
    }
    let mut prices = vec![0.0; count];
    let mut at_prices = |prices: &[f64], from: &[f64]| play(game, oracle, dynamics, from.to_vec(), prices, &mut *rules);
    let start = at_prices(&prices, &game.log_reference)?;
    let end = match count {
        0 => start,
        1 => bisect(game, &constraints, &mut prices, 0, MET, start, &mut at_prices)?,
        _ => {
            let mut end = start;
            for _ in 0..ROUNDS {
                end = sweep(game, &constraints, &mut prices, end, &mut at_prices)?;
                end = newton(game, &constraints, &mut prices, end, &mut at_prices)?;
                if constraints.proved(game, &end, &prices) || end.exhausted {
                    break;
                }
            }
            end
        }
    };
    let Ended { point, .. } = keep(&constraints, &mut prices, end, &mut at_prices)?;
    let certificate = Certificate::of(game, &point, &prices, &constraints.scales);
    Ok((point, certificate, prices))
}

/// A play under some prices, from some log-probabilities.
type Play<'a> = dyn FnMut(&[f64], &[f64]) -> Result<Ended, Error> + 'a;

/// What is known of the constraints beforehand.
struct Constraints {
    names: Vec<String>,
    /// The cost of each answer, flat, for each constraint.
    costs: Vec<Vec<f64>>,
    limits: Vec<f64>,
    /// The largest cost of each.
    scales: Vec<f64>,
}

impl Constraints {
    /// A constraint says −μ cost for rewards, so at a price of 1 it tells its costs.
    fn of(game: &Game, oracle: &mut Oracle<'_>) -> Result<Self, Error> {
        let names: Vec<String> = oracle.constraints().into_iter().map(str::to_owned).collect();
        let free = oracle.at(game.log_reference.clone(), &vec![0.0; names.len()])?;
        let (mut costs, mut limits, mut scales) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..names.len() {
            let mut prices = vec![0.0; names.len()];
            prices[at] = 1.0;
            let priced = oracle.at(game.log_reference.clone(), &prices)?;
            let cost: Vec<f64> = free.rewards.iter().zip(&priced.rewards).map(|(a, b)| a - b).collect();
            let expected: f64 = cost.iter().zip(&free.nu).map(|(c, p)| c * p).sum::<f64>() / game.prompts();
            limits.push(expected - free.violations[at]);
            scales.push(cost.iter().fold(f64::MIN_POSITIVE, |most, c| most.max(c.abs())));
            costs.push(cost);
        }
        Ok(Self { names, costs, limits, scales })
    }

    /// Refuses the game if these weights over constraints prove that no policy keeps them all: the least weighted cost
    /// that any policy can have exceeds the weighted limits (Farkas).
    fn refuse_if_proved(&self, game: &Game, weights: &[f64]) -> Result<(), Error> {
        let weighted =
            |values: &dyn Fn(usize) -> f64| -> f64 { (0..weights.len()).map(|c| weights[c] * values(c)).sum() };
        let least = |range: std::ops::Range<usize>| {
            range.map(|at| weighted(&|c| self.costs[c][at])).fold(f64::INFINITY, f64::min)
        };
        let cheapest = game.ranges().map(least).sum::<f64>() / game.prompts();
        let excess = cheapest - weighted(&|c| self.limits[c]);
        if excess <= MET * weighted(&|c| self.scales[c]) {
            return Ok(());
        }
        let names: Vec<&str> =
            (0..weights.len()).filter(|c| weights[*c] > 0.0).map(|c| self.names[c].as_str()).collect();
        Err(Error::Infeasible { name: names.join(" and "), excess })
    }

    /// Whether constraint `at` holds with equality, at its price, to `close`.
    fn met(&self, at: usize, violation: f64, price: f64, close: f64) -> bool {
        violation.abs() <= close * self.scales[at] && violation.abs() * price <= close
    }

    /// Whether a play ended so well that closer prices would prove nothing more.
    fn proved(&self, game: &Game, end: &Ended, prices: &[f64]) -> bool {
        Certificate::of(game, &end.point, prices, &self.scales).gap <= PROVED
    }

    /// How far a point is from where each constraint holds with equality or for free, relative to the largest costs.
    fn miss(&self, point: &Point, prices: &[f64]) -> f64 {
        let own = |at: usize| {
            let violation = point.violations[at];
            (if prices[at] > 0.0 { violation.abs() } else { violation.max(0.0) }) / self.scales[at]
        };
        (0..prices.len()).map(own).fold(0.0, f64::max)
    }
}

/// The price of constraint `at`, the others' being what they are, to `close`.
#[allow(clippy::too_many_arguments, reason = "all that a play needs, and the price to find")]
fn bisect(
    game: &Game,
    constraints: &Constraints,
    prices: &mut [f64],
    at: usize,
    close: f64,
    start: Ended,
    play: &mut Play<'_>,
) -> Result<Ended, Error> {
    let mut best = start;
    let prices_at = prices[at];
    let mut at_price = |price: f64, from: &Ended| -> Result<Ended, Error> {
        prices[at] = price;
        play(prices, &from.point.log_nu)
    };
    // Bracket the root between a price too low and one high enough, from where the price is. There is a root, or 0 is high
    // enough: the constraint can be met.
    let here = (prices_at, best.point.violations[at]);
    if constraints.met(at, here.1, here.0, close) || (here.0 == 0.0 && here.1 <= 0.0) {
        return Ok(best);
    }
    let (mut low, mut high) = (here, here);
    let mut step = (game.beta / constraints.scales[at]).max(1e-3 * here.0);
    while high.1 > 0.0 {
        low = high;
        high.0 += step;
        step *= 2.0;
        best = at_price(high.0, &best)?;
        high.1 = best.point.violations[at];
        let endless = high.0 * constraints.scales[at] > ENDLESS * game.beta;
        if constraints.met(at, high.1, high.0, close) || endless || best.exhausted {
            return Ok(best);
        }
    }
    while low.1 <= 0.0 {
        high = low;
        low.0 = (low.0 - step).max(0.0);
        step *= 2.0;
        best = at_price(low.0, &best)?;
        low.1 = best.point.violations[at];
        let free = low.0 == 0.0 && low.1 <= close * constraints.scales[at];
        if free || constraints.met(at, low.1, low.0, close) || best.exhausted {
            return Ok(best);
        }
    }
    // Illinois: the secant's root, with the end that stays put discounted so that both ends move.
    let mut kept = 0i8;
    loop {
        let guess = (low.0 * high.1 - high.0 * low.1) / (high.1 - low.1);
        let guess = if guess > low.0 && guess < high.0 { guess } else { 0.5 * (low.0 + high.0) };
        // No number lies between, or evaluations have run out: the end that keeps the limit is the price.
        if guess <= low.0 || guess >= high.0 || best.exhausted {
            return at_price(high.0, &best);
        }
        best = at_price(guess, &best)?;
        let violation = best.point.violations[at];
        if constraints.met(at, violation, guess, close) {
            return Ok(best);
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
}

/// Plays from different starts end a little apart, and a limit may be left broken by as little: raises the prices of such
/// constraints by hardly anything, until all are kept.
fn keep(constraints: &Constraints, prices: &mut [f64], end: Ended, play: &mut Play<'_>) -> Result<Ended, Error> {
    let mut best = end;
    let mut beyond = 1e-12;
    while beyond < 1e-4 && !best.exhausted {
        let broken = |at: &usize| best.point.violations[*at] > MET * constraints.scales[*at];
        let raised: Vec<usize> = (0..prices.len()).filter(broken).collect();
        if raised.is_empty() {
            break;
        }
        raised.iter().for_each(|at| prices[*at] *= 1.0 + beyond);
        best = play(prices, &best.point.log_nu)?;
        beyond *= 2.0;
    }
    Ok(best)
}

/// Prices of several constraints, one after the other, for as long as that brings all of them closer: it does from
/// anywhere, and slowly where constraints are alike.
fn sweep(
    game: &Game,
    constraints: &Constraints,
    prices: &mut [f64],
    start: Ended,
    play: &mut Play<'_>,
) -> Result<Ended, Error> {
    let mut best = start;
    let (mut before, mut stalled) = (f64::INFINITY, 0);
    loop {
        let miss = constraints.miss(&best.point, prices);
        // A price that falls breaks another limit for a while, so a sweep or two may look like a step back.
        stalled = if miss > 0.9 * before { stalled + 1 } else { 0 };
        if stalled > STALLS || constraints.proved(game, &best, prices) || best.exhausted {
            return Ok(best);
        }
        before = before.min(miss);
        // The dearest last: what is left of its violation weighs most.
        let mut order: Vec<usize> = (0..prices.len()).collect();
        order.sort_by(|a, b| prices[*a].total_cmp(&prices[*b]));
        for at in order {
            best = bisect(game, constraints, prices, at, NEAR, best, play)?;
        }
        constraints.refuse_if_proved(game, prices)?;
    }
}

/// The prices of several constraints, from close by: projected Newton steps on D, halved until D or the miss falls.
fn newton(
    game: &Game,
    constraints: &Constraints,
    prices: &mut Vec<f64>,
    start: Ended,
    play: &mut Play<'_>,
) -> Result<Ended, Error> {
    let units: Vec<f64> = constraints.scales.iter().map(|scale| game.beta / scale).collect();
    let mut best = start;
    for _ in 0..NEWTON_STEPS {
        let done = (0..prices.len()).all(|at| match prices[at] > 0.0 {
            true => constraints.met(at, best.point.violations[at], prices[at], MET),
            false => best.point.violations[at] <= MET * constraints.scales[at],
        });
        if done || constraints.proved(game, &best, prices) || best.exhausted {
            break;
        }
        constraints.refuse_if_proved(game, prices)?;
        let mut slopes = Vec::new();
        for at in 0..prices.len() {
            let nudge = 1e-4 * prices[at].max(units[at]);
            let mut nudged = prices.clone();
            nudged[at] += nudge;
            let there = play(&nudged, &best.point.log_nu)?;
            let fall = best.point.violations.iter().zip(&there.point.violations).map(|(here, there)| here - there);
            slopes.push(fall.map(|fall| fall / nudge).collect());
        }
        let violations = &best.point.violations;
        let by_slopes = quadratic::step(&slopes, violations, prices, &units);
        // Where answers are all but certain costs hardly move and slopes say nothing: raise what is broken and lower
        // what is paid too much, until they do.
        let by_sign = (0..prices.len()).map(|at| match violations[at] > 0.0 {
            true => 9.0 * (prices[at] + units[at]),
            false => -prices[at],
        });
        let mut moved = None;
        for step in by_slopes.into_iter().chain([by_sign.collect()]) {
            moved = descend(game, constraints, prices, &best.point, &step, &units, play)?;
            if moved.is_some() {
                break;
            }
        }
        let Some((next, there)) = moved else { break };
        *prices = next;
        best = there;
    }
    Ok(best)
}

/// Goes along a step in prices, cut back until D or the miss falls. `None` if neither does.
fn descend(
    game: &Game,
    constraints: &Constraints,
    prices: &[f64],
    from: &Point,
    step: &[f64],
    units: &[f64],
    play: &mut Play<'_>,
) -> Result<Option<(Vec<f64>, Ended)>, Error> {
    // A price moves at most tenfold: far away slopes say little.
    let reach = |at: usize| step[at].abs() / (9.0 * (prices[at] + units[at]));
    let mut rate = 1.0 / (0..prices.len()).map(reach).fold(1.0, f64::max);
    let (height, miss) = (Certificate::at_prices(game, from).upper, constraints.miss(from, prices));
    while rate > 1e-9 {
        let moved = |at: usize| {
            // The program ends just inside: what is next to nothing is nothing.
            let moved = prices[at] + rate * step[at];
            if moved > 1e-9 * units[at] { moved } else { 0.0 }
        };
        let next: Vec<f64> = (0..prices.len()).map(moved).collect();
        let there = play(&next, &from.log_nu)?;
        let lower = Certificate::at_prices(game, &there.point).upper < height - 1e-13 * height.abs().max(1.0);
        if lower || constraints.miss(&there.point, &next) < 0.9 * miss {
            return Ok(Some((next, there)));
        }
        if there.exhausted {
            break;
        }
        rate /= 4.0;
    }
    Ok(None)
}
