//! The equilibrium of a game, and the path to it.

use std::collections::BTreeMap;

use super::certificate::Certificate;
use super::dual::equilibrium;
use super::dynamics::{Dynamics, Limits, TurnView};
use super::error::Error;
use super::instance::Game;
use super::objective::Oracle;
use super::term::Term;

/// The settings of the solver.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The dynamics of the players.
    pub dynamics: Dynamics,
    /// The duality gap at which dynamics stop, except the accelerated ones, which go on to the precision of f64.
    pub tolerance: f64,
    /// The number of evaluations of the objectives after which the solver stops without having reached the tolerance.
    pub max_evaluations: u64,
    /// The largest number of turns in [`Solution::turns`]. A longer path is thinned out.
    pub max_turns: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dynamics: Dynamics::default(), tolerance: 1e-9, max_evaluations: 100_000, max_turns: 0 }
    }
}

/// An equilibrium, or the point at which evaluations ran out. The certificate's gap is within the tolerance only at an
/// equilibrium.
#[derive(Debug, Clone)]
pub struct Solution {
    /// J of the policy.
    pub value: f64,
    /// Bounds on the value; `None` if an objective is not concave, for then nothing can be proved.
    pub certificate: Option<Certificate>,
    /// The policy's answer marginal for each prompt.
    pub marginals: Vec<BTreeMap<String, f64>>,
    /// The multiplier of each constraint, in the order of the objectives.
    pub multipliers: Vec<f64>,
    /// The number of evaluations of the objectives.
    pub evaluations: u64,
    /// The path to the solution.
    pub turns: Vec<Turn>,
}

/// A turn on the path. Distributions are flat vectors.
#[derive(Debug, Clone)]
pub struct Turn {
    /// The number of the turn, from 0.
    pub number: u64,
    /// The policy's answer marginals.
    pub policy: Vec<f64>,
    /// The target.
    pub target: Vec<f64>,
    /// The duality gap at the target.
    pub gap: f64,
}

/// Plays a game to its equilibrium. If the evaluations run out before, this is no error: compare the certificate's gap with
/// the tolerance.
///
/// # Errors
/// Fails if a weight is not valid, an objective cannot be evaluated, or the constraints cannot be met.
pub fn solve(game: &Game, terms: &[Term<'_>], config: Config) -> Result<Solution, Error> {
    let mut oracle = Oracle::new(game, terms)?;
    let concave = oracle.concave();
    let mut path = Path { turns: Vec::new(), capacity: config.max_turns, every: 1, seen: 0 };
    let mut observer = |turn: &TurnView<'_>| path.push(turn);
    let Config { dynamics, tolerance, max_evaluations, .. } = config;
    let mut limits = Limits { tolerance, max_evaluations, observer: &mut observer };
    let (point, certificate) = equilibrium(game, &mut oracle, dynamics, &mut limits)?;
    Ok(Solution {
        value: certificate.lower,
        certificate: concave.then_some(certificate),
        marginals: game.by_answer(&point.nu),
        multipliers: point.multipliers,
        evaluations: oracle.evaluations,
        turns: path.turns,
    })
}

/// A path of at most `capacity` turns. When it is full, every other turn is removed, and from then on half as many are added.
struct Path {
    turns: Vec<Turn>,
    capacity: usize,
    /// The distance between two turns that are kept.
    every: u64,
    /// The number of turns so far.
    seen: u64,
}

impl Path {
    fn push(&mut self, turn: &TurnView<'_>) {
        let number = self.seen;
        self.seen += 1;
        if self.capacity == 0 || !number.is_multiple_of(self.every) {
            return;
        }
        if self.turns.len() == self.capacity {
            let mut index = 0;
            self.turns.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        self.turns.push(Turn {
            number,
            policy: turn.policy.to_vec(),
            target: turn.target.to_vec(),
            gap: turn.certificate.gap,
        });
    }
}
