//! The ways to play a game with given prices. Each is a loop of turns that ends at the equilibrium, or when evaluations run
//! out.
//!
//! If both players play exact best responses the game can oscillate (entropy: ν ↦ ν₀ ν^{−w/β} when w/β > 1). So in each of
//! the dynamics one player takes smaller steps.

use serde::{Deserialize, Serialize};

use super::anderson::Anderson;
use super::certificate::Certificate;
use super::error::Error;
use super::instance::Game;
use super::newton;
use super::objective::{Oracle, Point, Price};
use super::player::{MIN_LOG_PROBABILITY, average_step, best_response, mirror_step, normalized};

/// The rules by which both players move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dynamics {
    /// The policy takes KL-proximal steps against the target's best response, extrapolated from the last steps (Anderson
    /// acceleration) as long as J rises. The fastest by far.
    #[default]
    Accelerated,
    /// The policy takes KL-proximal steps against the target's best response. Converges linearly.
    BestResponse,
    /// The target is the average of the policy's play, and the policy plays best responses: fictitious play. The gap is
    /// inversely proportional to the number of turns.
    Average,
    /// The target takes mirror steps towards the policy's play, and the policy plays best responses. Converges linearly.
    Mirror,
}

/// The positions of both players in a turn, as flat vectors.
#[derive(Debug, Clone)]
pub struct TurnView<'a> {
    /// The policy's answer marginals.
    pub policy: &'a [f64],
    /// The target.
    pub target: &'a [f64],
    /// Bounds on the value at the target.
    pub certificate: Certificate,
}

/// The conditions under which a play ends, and an observer of its turns.
pub struct Limits<'a> {
    /// The duality gap at which an equilibrium is reached.
    pub tolerance: f64,
    /// The number of evaluations of the objectives at which a play ends without an equilibrium.
    pub max_evaluations: u64,
    /// A function that is called once for each turn.
    pub observer: &'a mut dyn FnMut(&TurnView<'_>),
}

/// The spread of the residual at which a play with constraints ends. It is far below any tolerance on the gap, because the
/// prices of constraints are found by comparing marginals.
const RESIDUAL: f64 = 1e-10;

/// The gap, relative to the value, at which an accelerated play without constraints ends: the rounding error.
const ROUNDED_GAP: f64 = 1e-14;

/// The gap, relative to the value, from which on a play goes on only while the spread is halved every [`PATIENCE`]
/// evaluations. Steep prices have a larger rounding error.
const SMALL_GAP: f64 = 1e-11;

/// The number of evaluations for each answer within which the spread must be halved.
const PATIENCE: u64 = 10;

/// The number of evaluations without halving the spread after which Newton steps are tried, or one for each answer if there
/// are more.
const PATIENCE_BEFORE_NEWTON: u64 = 12;

/// The largest number of times that a Newton step is shortened.
const MAX_CUTS: u32 = 6;

/// The largest change of a logit in a step. Rewards such as c/ν have no bound, and the probability of an answer that has
/// become tiny recovers slowly.
const MAX_LOGIT_CHANGE: f64 = 20.0;

/// The largest number of times that a plain step is halved.
const MAX_HALVINGS: u32 = 60;

/// The rounding error of J that a step may lose and still count as ascent.
const ROUNDING: f64 = 1e-12;

/// The part of the rise predicted by the slope that a plain step must achieve (Armijo's condition).
const ARMIJO: f64 = 0.25;

/// A point, and the quantities of it that a turn uses.
struct State {
    point: Point,
    certificate: Certificate,
    /// The function that the policy maximises: J, less the penalties of violations. The rewards of a heuristic are not a
    /// gradient; for one, this is the closeness to its best response.
    height: f64,
    /// g/β − log(ν/ν₀), centred under ν: the direction to the best response, in logits. It is 0 for an answer that has the
    /// lowest probability and should have a lower one.
    residual: Vec<f64>,
    /// The residual's variance under ν, summed over the prompts: J's slope along the residual, over β/m.
    slope: f64,
    /// The residual's standard deviation under the mean of ν and its best response, the largest of the prompts'. Under ν
    /// alone, answers with tiny probabilities would not count.
    spread: f64,
}

impl State {
    /// Evaluates the point `log_nu`.
    fn at(game: &Game, oracle: &mut Oracle<'_>, log_nu: Vec<f64>, prices: &[Price]) -> Result<Self, Error> {
        let point = oracle.at(log_nu, prices)?;
        let certificate = Certificate::at_prices(game, &point);
        let mut residual = Vec::with_capacity(point.nu.len());
        let (mut slope, mut spread, mut divergence) = (0.0, 0.0f64, 0.0);
        for range in game.ranges() {
            let nu = &point.nu[range.clone()];
            let start = residual.len();
            for at in range {
                let log_ratio = point.log_nu[at] - game.log_reference[at];
                divergence += point.nu[at] * log_ratio;
                residual.push(point.rewards[at] / game.beta - log_ratio);
            }
            let own = &mut residual[start..];
            let mean: f64 = nu.iter().zip(own.iter()).map(|(p, r)| p * r).sum();
            own.iter_mut().for_each(|r| *r -= mean);
            slope += nu.iter().zip(own.iter()).map(|(p, r)| p * r * r).sum::<f64>();
            spread = spread.max(spread_under_both(nu, own));
            own.iter_mut()
                .zip(&point.log_nu[start..])
                .filter(|(_, l)| **l <= MIN_LOG_PROBABILITY)
                .for_each(|(r, _)| *r = r.max(0.0));
        }
        let height = if oracle.concave() { point.height - game.beta / game.prompts() * divergence } else { -spread };
        Ok(Self { point, certificate, height, residual, slope, spread })
    }

    /// Evaluates the point after a step of the logits.
    fn after(
        &self,
        game: &Game,
        oracle: &mut Oracle<'_>,
        step: &[f64],
        rate: f64,
        prices: &[Price],
    ) -> Result<Self, Error> {
        let logits = self.point.log_nu.iter().zip(step).map(|(l, s)| l + rate * s).collect();
        Self::at(game, oracle, normalized(game, logits), prices)
    }

    /// Returns the point after a proximal step, whose rate is halved until J rises; `None` if J does not rise.
    fn plain(
        &self,
        game: &Game,
        oracle: &mut Oracle<'_>,
        rate: &mut f64,
        prices: &[Price],
    ) -> Result<Option<Self>, Error> {
        for _ in 0..MAX_HALVINGS {
            let there = self.after(game, oracle, &self.residual, *rate, prices)?;
            // Without Armijo's condition a step could pass over the maximum and make the probabilities of answers tiny, from
            // which they recover slowly.
            if there.improves(self, ARMIJO * *rate * game.beta / game.prompts() * self.slope) {
                return Ok(Some(there));
            }
            *rate /= 2.0;
        }
        Ok(None)
    }

    /// Returns the point after the step that is extrapolated from the last steps; `None` if it is not better.
    fn extrapolated(
        &self,
        game: &Game,
        oracle: &mut Oracle<'_>,
        anderson: &Anderson,
        rate: f64,
        prices: &[Price],
    ) -> Result<Option<Self>, Error> {
        // Answers that have become unlikely have some weight, because their probabilities too have to converge.
        let weights: Vec<f64> = self.point.nu.iter().map(|p| p + 1e-4).collect();
        let Some(step) = anderson.step(&self.residual, &weights, rate) else { return Ok(None) };
        let there = self.after(game, oracle, &step, longest_rate(&step).min(1.0), prices)?;
        Ok(Some(there).filter(|there| there.improves(self, 0.0)))
    }

    /// Returns the point after a Newton step, which is shortened until the point is better; `None` if it never is.
    fn newton(&self, game: &Game, oracle: &mut Oracle<'_>, prices: &[Price]) -> Result<Option<Self>, Error> {
        let Some(step) = newton::step(game, oracle, &self.point, &self.residual, prices)? else { return Ok(None) };
        let mut rate = longest_rate(&step).min(1.0);
        for _ in 0..MAX_CUTS {
            let there = self.after(game, oracle, &step, rate, prices)?;
            if there.improves(self, 0.0) {
                return Ok(Some(there));
            }
            rate /= 4.0;
        }
        Ok(None)
    }

    /// Returns true if this point is better than `other`: higher by `rise`, or equally high up to rounding and closer to its
    /// best response.
    fn improves(&self, other: &Self, rise: f64) -> bool {
        let rounding = ROUNDING * other.height.abs().max(1.0);
        self.height > other.height + rise.max(rounding)
            || (rise <= rounding && self.height >= other.height - rounding && self.spread < other.spread)
    }

    /// Returns true if the play ends at this point.
    fn is_done(&self, accelerated: bool, prices: &[Price], limits: &Limits<'_>) -> bool {
        let rounded = ROUNDED_GAP * self.height.abs().max(1.0);
        let near = self.certificate.gap <= if accelerated { rounded } else { limits.tolerance };
        self.spread <= RESIDUAL || (prices.is_empty() && near)
    }

    /// Passes the point to the observer, as a turn in which both players are there.
    fn report(&self, limits: &mut Limits<'_>) {
        let nu = &self.point.nu;
        (limits.observer)(&TurnView { policy: nu, target: nu, certificate: self.certificate });
    }
}

/// The end of a play.
#[derive(Debug, Clone)]
pub struct PlayEnd {
    /// The target's last position.
    pub point: Point,
    /// True if the play ended because evaluations ran out.
    pub exhausted: bool,
}

/// Plays from the log-probabilities `start`, with a price for each constraint.
///
/// # Errors
/// Fails if an objective cannot be evaluated.
pub fn play(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    start: Vec<f64>,
    prices: &[Price],
    limits: &mut Limits<'_>,
) -> Result<PlayEnd, Error> {
    let start = State::at(game, oracle, start, prices)?;
    let end = match dynamics {
        Dynamics::Accelerated => climb(game, oracle, start, prices, limits, true)?,
        Dynamics::BestResponse => climb(game, oracle, start, prices, limits, false)?,
        Dynamics::Average => respond(game, oracle, start, prices, limits, true)?,
        Dynamics::Mirror => respond(game, oracle, start, prices, limits, false)?,
    };
    Ok(PlayEnd { point: end.point, exhausted: oracle.evaluations >= limits.max_evaluations })
}

/// The policy climbs J by KL-proximal steps. The target follows the policy.
fn climb(
    game: &Game,
    oracle: &mut Oracle<'_>,
    mut state: State,
    prices: &[Price],
    limits: &mut Limits<'_>,
    accelerate: bool,
) -> Result<State, Error> {
    let mut anderson = Anderson::default();
    let mut rate = 1.0;
    // The spread when it was last halved, and the number of evaluations then.
    let mut halved = (state.spread, oracle.evaluations);
    state.report(limits);
    while oracle.evaluations < limits.max_evaluations {
        if state.is_done(accelerate, prices, limits) {
            break;
        }
        if state.spread < 0.5 * halved.0 {
            halved = (state.spread, oracle.evaluations);
        }
        let (stalled, answers) = (oracle.evaluations - halved.1, state.point.nu.len() as u64);
        if state.certificate.gap <= SMALL_GAP * state.height.abs().max(1.0) && stalled > PATIENCE * answers {
            break;
        }
        let slow = stalled > answers.max(PATIENCE_BEFORE_NEWTON);
        let mut next = None;
        if accelerate && slow {
            next = state.newton(game, oracle, prices)?;
        }
        if accelerate && next.is_none() {
            next = state.extrapolated(game, oracle, &anderson, rate, prices)?;
        }
        if next.is_none() {
            anderson.clear();
            rate = rate.min(longest_rate(&state.residual));
            next = state.plain(game, oracle, &mut rate, prices)?;
        }
        // Where J is flat up to rounding and rewards depend on several answers, only a Newton step improves all of them.
        if accelerate && !slow && next.is_none() {
            next = state.newton(game, oracle, prices)?;
        }
        // No step improves the point: it is the maximum up to rounding.
        let Some(next) = next else { break };
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        anderson.push(difference(&next.point.log_nu, &state.point.log_nu), difference(&next.residual, &state.residual));
        state = next;
        state.report(limits);
        rate = (2.0 * rate).min(1.0);
    }
    Ok(state)
}

/// The policy plays best responses to the target. The target averages them, or takes mirror steps towards them, with a rate
/// that is halved whenever the gap would grow.
fn respond(
    game: &Game,
    oracle: &mut Oracle<'_>,
    mut target: State,
    prices: &[Price],
    limits: &mut Limits<'_>,
    average: bool,
) -> Result<State, Error> {
    let (mut rate, mut turn) = (1.0, 1.0);
    loop {
        let policy = best_response(game, &target.point.rewards);
        let response: Vec<f64> = policy.iter().map(|l| l.exp()).collect();
        (limits.observer)(&TurnView { policy: &response, target: &target.point.nu, certificate: target.certificate });
        loop {
            let done = target.is_done(false, prices, limits);
            if done || oracle.evaluations >= limits.max_evaluations || rate < 1e-12 {
                return Ok(target);
            }
            if average {
                turn += 1.0;
                let mean = average_step(game, &target.point.log_nu, &policy, 1.0 / turn);
                target = State::at(game, oracle, mean, prices)?;
                break;
            }
            let next = State::at(game, oracle, mirror_step(game, &target.point.log_nu, &policy, rate), prices)?;
            if next.certificate.gap < target.certificate.gap {
                target = next;
                break;
            }
            rate /= 2.0;
        }
    }
}

/// Returns the rate at which a step's largest change of a logit is [`MAX_LOGIT_CHANGE`].
fn longest_rate(step: &[f64]) -> f64 {
    MAX_LOGIT_CHANGE / step.iter().fold(0.0f64, |most, s| most.max(s.abs()))
}

/// Returns the standard deviation of a centred residual r under the mean of ν and its best response, ν e^r normalised.
fn spread_under_both(nu: &[f64], residual: &[f64]) -> f64 {
    let most = nu.iter().zip(residual).map(|(p, r)| p.ln() + r).fold(f64::NEG_INFINITY, f64::max);
    let response: Vec<f64> = nu.iter().zip(residual).map(|(p, r)| (p.ln() + r - most).exp()).collect();
    let total: f64 = response.iter().sum();
    let weights = || nu.iter().zip(&response).map(|(p, q)| 0.5 * (p + q / total));
    let mean: f64 = weights().zip(residual).map(|(weight, r)| weight * r).sum();
    weights().zip(residual).map(|(weight, r)| weight * (r - mean) * (r - mean)).sum::<f64>().sqrt()
}
