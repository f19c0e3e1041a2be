//! The ways to play a game with given prices: each is a loop of turns that ends at the equilibrium, or at its limit of
//! turns.
//!
//! With exact best responses on both sides the game can oscillate (entropy: ν ↦ ν₀ ν^{−w/β} when w/β > 1), so in each
//! of these one side holds back.

use serde::{Deserialize, Serialize};

use super::anderson::Anderson;
use super::certificate::Certificate;
use super::objective::{Oracle, Point, Price};
use super::player::{LEAST, average_step, best_response, mirror_step, normalized};
use super::{Error, Game, newton};

/// Who holds back, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dynamics {
    /// The policy takes KL-proximal steps against the target's best response, and learns from its steps where they
    /// lead (Anderson acceleration, with J as the judge). The fastest by far.
    #[default]
    Accelerated,
    /// The policy takes KL-proximal steps against the target's best response. Converges linearly.
    BestResponse,
    /// The target is the average of the policy's play, and the policy responds in full: fictitious play. The gap falls
    /// as one over the turns.
    Average,
    /// The target takes mirror steps towards the policy's play, and the policy responds in full. Converges linearly.
    Mirror,
}

/// A turn as it was seen: where both players were.
#[derive(Debug, Clone)]
pub struct Seen<'a> {
    /// The policy's answer marginals, flat.
    pub policy: &'a [f64],
    /// The target, flat.
    pub target: &'a [f64],
    /// Bounds on the value at the target.
    pub certificate: Certificate,
}

/// When to stop, and who looks on.
pub struct Rules<'a> {
    /// The certificate's gap at which an equilibrium is reached.
    pub tolerance: f64,
    /// Evaluations of the objectives at which the play ends without one.
    pub evaluations: u64,
    /// Called once a turn.
    pub watch: &'a mut dyn FnMut(&Seen<'_>),
}

/// With constraints a play goes on to this spread of the residual, far below any tolerance on the gap: their prices are
/// found by comparing marginals.
const RESIDUAL: f64 = 1e-10;

/// Without constraints an accelerated play stops at this gap, relative to the value: what rounding leaves to tell.
const ROUNDED_GAP: f64 = 1e-14;

/// At this gap, relative to the value, a play goes on only while it halves the spread within so many evaluations for each
/// answer: steep prices leave more to rounding.
const SMALL_GAP: f64 = 1e-11;
const PATIENCE: u64 = 10;

/// So many evaluations, or one for each answer, may pass without halving the spread before a Newton step is paid for.
const PATIENCE_BEFORE_NEWTON: u64 = 12;

/// A Newton step is cut back no more often than this.
const CUTS: u32 = 6;

/// No logit moves further than this in a step. Rewards such as c/ν have no bound, and an answer that a leap all but gives
/// up is slow to win back.
const LEAP: f64 = 20.0;

/// Steps are halved no more often than this.
const HALVINGS: u32 = 60;

/// What J may lose to rounding in a step that counts as ascent.
const ROUNDING: f64 = 1e-12;

/// The part of the rise promised by the slope that a plain step must make good (Armijo's condition).
const RISE: f64 = 0.25;

/// A point with all that a turn needs to know about it.
struct State {
    point: Point,
    certificate: Certificate,
    /// What the policy climbs: J, less what is paid for violations. The rewards of a heuristic are no gradient: what it
    /// climbs towards is its best response.
    height: f64,
    /// g/β − log(ν/ν₀), centred under ν: the way to the best response, in logits. 0 for an answer that is as unlikely as
    /// can be and should be less likely yet.
    residual: Vec<f64>,
    /// The residual's variance under ν, added up over the prompts: J's slope along the residual, over β/m.
    slope: f64,
    /// The residual's standard deviation under the mean of ν and its best response, the largest of the prompts'. Under
    /// ν alone it would overlook an answer that ν has all but given up.
    spread: f64,
}

impl State {
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
            own.iter_mut().zip(&point.log_nu[start..]).filter(|(_, l)| **l <= LEAST).for_each(|(r, _)| *r = r.max(0.0));
        }
        let height = if oracle.concave() { point.height - game.beta / game.prompts() * divergence } else { -spread };
        Ok(Self { point, certificate, height, residual, slope, spread })
    }

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

    /// A proximal step, its rate halved until J rises; `None` if it does not.
    fn plain(
        &self,
        game: &Game,
        oracle: &mut Oracle<'_>,
        rate: &mut f64,
        prices: &[Price],
    ) -> Result<Option<Self>, Error> {
        for _ in 0..HALVINGS {
            let there = self.after(game, oracle, &self.residual, *rate, prices)?;
            // Without asking for a part of the rise that the slope promises, a step might leap over the top and give up
            // answers that it would take long to win back.
            if there.improves(self, RISE * *rate * game.beta / game.prompts() * self.slope) {
                return Ok(Some(there));
            }
            *rate /= 2.0;
        }
        Ok(None)
    }

    /// The step that the steps so far suggest; `None` if it does not improve.
    fn extrapolated(
        &self,
        game: &Game,
        oracle: &mut Oracle<'_>,
        anderson: &Anderson,
        rate: f64,
        prices: &[Price],
    ) -> Result<Option<Self>, Error> {
        // An answer that has become unlikely still has to be put in its place.
        let weights: Vec<f64> = self.point.nu.iter().map(|p| p + 1e-4).collect();
        let Some(jump) = anderson.step(&self.residual, &weights, rate) else { return Ok(None) };
        let there = self.after(game, oracle, &jump, longest_rate(&jump).min(1.0), prices)?;
        Ok(Some(there).filter(|there| there.improves(self, 0.0)))
    }

    /// A Newton step, cut back until it improves; `None` if it does not.
    fn newton(&self, game: &Game, oracle: &mut Oracle<'_>, prices: &[Price]) -> Result<Option<Self>, Error> {
        let Some(step) = newton::step(game, oracle, &self.point, &self.residual, prices)? else { return Ok(None) };
        let mut rate = longest_rate(&step).min(1.0);
        for _ in 0..CUTS {
            let there = self.after(game, oracle, &step, rate, prices)?;
            if there.improves(self, 0.0) {
                return Ok(Some(there));
            }
            rate /= 4.0;
        }
        Ok(None)
    }

    /// Whether this is a better place than `other`: higher by at least `rise`, or as high to rounding and closer to its
    /// best response.
    fn improves(&self, other: &Self, rise: f64) -> bool {
        let rounding = ROUNDING * other.height.abs().max(1.0);
        self.height > other.height + rise.max(rounding)
            || (rise <= rounding && self.height >= other.height - rounding && self.spread < other.spread)
    }

    fn is_done(&self, accelerated: bool, prices: &[Price], rules: &Rules<'_>) -> bool {
        let rounded = ROUNDED_GAP * self.height.abs().max(1.0);
        let near = self.certificate.gap <= if accelerated { rounded } else { rules.tolerance };
        self.spread <= RESIDUAL || (prices.is_empty() && near)
    }

    fn show(&self, rules: &mut Rules<'_>) {
        let nu = &self.point.nu;
        (rules.watch)(&Seen { policy: nu, target: nu, certificate: self.certificate });
    }
}

/// Where a play ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The point.
    pub point: Point,
    /// Whether it ended because evaluations ran out.
    pub exhausted: bool,
}

/// Plays from `start` (log-probabilities) with fixed prices of constraints.
///
/// # Errors
/// [`Error::Objective`].
pub fn play(
    game: &Game,
    oracle: &mut Oracle<'_>,
    dynamics: Dynamics,
    start: Vec<f64>,
    prices: &[Price],
    rules: &mut Rules<'_>,
) -> Result<Ended, Error> {
    let start = State::at(game, oracle, start, prices)?;
    let end = match dynamics {
        Dynamics::Accelerated => climb(game, oracle, start, prices, rules, true)?,
        Dynamics::BestResponse => climb(game, oracle, start, prices, rules, false)?,
        Dynamics::Average => respond(game, oracle, start, prices, rules, true)?,
        Dynamics::Mirror => respond(game, oracle, start, prices, rules, false)?,
    };
    Ok(Ended { point: end.point, exhausted: oracle.evaluations >= rules.evaluations })
}

/// The policy climbs J by KL-proximal steps, the target being wherever the policy is.
fn climb(
    game: &Game,
    oracle: &mut Oracle<'_>,
    mut state: State,
    prices: &[Price],
    rules: &mut Rules<'_>,
    accelerate: bool,
) -> Result<State, Error> {
    let mut anderson = Anderson::default();
    let mut rate = 1.0;
    // The spread when it was last halved, and when that was.
    let mut halved = (state.spread, oracle.evaluations);
    state.show(rules);
    while oracle.evaluations < rules.evaluations {
        if state.is_done(accelerate, prices, rules) {
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
            anderson.forget();
            rate = rate.min(longest_rate(&state.residual));
            next = state.plain(game, oracle, &mut rate, prices)?;
        }
        // Where J is flat to rounding but rewards pull on each other, only a Newton step gets everywhere closer at once.
        if accelerate && !slow && next.is_none() {
            next = state.newton(game, oracle, prices)?;
        }
        // No step improves: this is the top, as far as numbers can tell.
        let Some(next) = next else { break };
        let difference = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a - b).collect::<Vec<f64>>();
        anderson
            .remember(difference(&next.point.log_nu, &state.point.log_nu), difference(&next.residual, &state.residual));
        state = next;
        state.show(rules);
        rate = (2.0 * rate).min(1.0);
    }
    Ok(state)
}

/// The policy responds in full to the target, which averages the responses, or takes mirror steps towards them whose
/// rate is halved whenever the gap would grow.
fn respond(
    game: &Game,
    oracle: &mut Oracle<'_>,
    mut target: State,
    prices: &[Price],
    rules: &mut Rules<'_>,
    average: bool,
) -> Result<State, Error> {
    let (mut rate, mut turn) = (1.0, 1.0);
    loop {
        let policy = best_response(game, &target.point.rewards);
        let response: Vec<f64> = policy.iter().map(|l| l.exp()).collect();
        (rules.watch)(&Seen { policy: &response, target: &target.point.nu, certificate: target.certificate });
        loop {
            let done = target.is_done(false, prices, rules);
            if done || oracle.evaluations >= rules.evaluations || rate < 1e-12 {
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

/// The rate at which a step's longest part has the length [`LEAP`].
fn longest_rate(step: &[f64]) -> f64 {
    LEAP / step.iter().fold(0.0f64, |most, s| most.max(s.abs()))
}

/// The standard deviation of a centred residual r under the mean of ν and its best response, ν e^r normalised.
fn spread_under_both(nu: &[f64], residual: &[f64]) -> f64 {
    let most = nu.iter().zip(residual).map(|(p, r)| p.ln() + r).fold(f64::NEG_INFINITY, f64::max);
    let response: Vec<f64> = nu.iter().zip(residual).map(|(p, r)| (p.ln() + r - most).exp()).collect();
    let total: f64 = response.iter().sum();
    let weights = || nu.iter().zip(&response).map(|(p, q)| 0.5 * (p + q / total));
    let mean: f64 = weights().zip(residual).map(|(weight, r)| weight * r).sum();
    weights().zip(residual).map(|(weight, r)| weight * (r - mean) * (r - mean)).sum::<f64>().sqrt()
}
