//! From a game to its equilibrium, with the path that led there.

use std::collections::BTreeMap;

use super::dual::equilibrium;
use super::dynamics::{Dynamics, Rules};
use super::objective::{Oracle, Term};
use super::{Certificate, Error, Game};

/// How to solve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Config {
    /// The ways of the players.
    pub dynamics: Dynamics,
    /// The duality gap at which slow dynamics stop. The accelerated ones go on to what f64 can tell.
    pub tolerance: f64,
    /// Evaluations of the objectives after which to stop without having reached it.
    pub evaluations: u64,
    /// Turns to remember for the path; later ones are thinned out to fit.
    pub turns: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { dynamics: Dynamics::default(), tolerance: 1e-9, evaluations: 100_000, turns: 0 }
    }
}

/// An equilibrium, or where the play ended.
#[derive(Debug, Clone)]
pub struct Solution {
    /// J of the policy.
    pub value: f64,
    /// The bounds; `None` where an objective is not concave and nothing can be proved.
    pub certificate: Option<Certificate>,
    /// The policy's answer marginals, in the order of the prompts.
    pub marginals: Vec<BTreeMap<String, f64>>,
    /// The price of each constraint, in the order of the objectives.
    pub multipliers: Vec<f64>,
    /// Evaluations of the objectives.
    pub iterations: u64,
    /// The way there.
    pub turns: Vec<Turn>,
}

/// A turn on the way, with every distribution flat.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Which turn it was, from 0.
    pub at: u64,
    /// The policy's answer marginals.
    pub policy: Vec<f64>,
    /// The target.
    pub target: Vec<f64>,
    /// The gap at the target.
    pub gap: f64,
}

/// Plays a game to its equilibrium.
///
/// # Errors
/// Objectives that cannot be evaluated, and constraints that cannot be met.
pub fn solve(game: &Game, terms: &[Term<'_>], config: Config) -> Result<Solution, Error> {
    let mut oracle = Oracle::new(game, terms)?;
    let concave = oracle.concave();
    let mut path = Path { turns: Vec::new(), room: config.turns, every: 1, seen: 0 };
    let mut watch = |seen: &super::dynamics::Seen<'_>| path.see(seen);
    let mut rules = Rules { tolerance: config.tolerance, evaluations: config.evaluations, watch: &mut watch };
    let (point, certificate) = equilibrium(game, &mut oracle, config.dynamics, &mut rules)?;
    Ok(Solution {
        value: certificate.lower,
        certificate: concave.then_some(certificate),
        marginals: game.by_answer(&point.nu),
        multipliers: point.multipliers,
        iterations: oracle.evaluations,
        turns: path.turns,
    })
}

/// Remembers turns, at most `room`: when full, every other one is forgotten and from then on half as many are kept.
struct Path {
    turns: Vec<Turn>,
    room: usize,
    every: u64,
    seen: u64,
}

impl Path {
    fn see(&mut self, seen: &super::dynamics::Seen<'_>) {
        let at = self.seen;
        self.seen += 1;
        if self.room == 0 || !at.is_multiple_of(self.every) {
            return;
        }
        if self.turns.len() == self.room {
            let mut index = 0;
            self.turns.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.every *= 2;
        }
        self.turns.push(Turn {
            at,
            policy: seen.policy.to_vec(),
            target: seen.target.to_vec(),
            gap: seen.certificate.gap,
        });
    }
}
