//! The utility of a game: a weighted sum of terms, and prices for the violation of constraints. A term is any function from
//! a bundle to a valuation, so the code that evaluates samples in training is the code that is solved here.

use alft_sdk::bundle::Bundle;

use super::error::{Error, InvalidGame};
use super::instance::Game;
use super::term::{Term, TermError};

/// The price of a constraint as a function of its violation: max(0, base + slope · violation). The slope is that of the
/// augmented Lagrangian, whose price answers a violation at once. With slope 0 the price is constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// The price where the limit is met exactly.
    pub base: f64,
    /// The derivative of the price with respect to the violation.
    pub slope: f64,
}

impl Price {
    /// Returns a price that does not depend on the violation.
    pub fn fixed(base: f64) -> Self {
        Self { base, slope: 0.0 }
    }

    fn at(self, violation: f64) -> f64 {
        (self.base + self.slope * violation).max(0.0)
    }

    /// Returns the penalty for a violation: the integral of the price, up to a constant.
    fn penalty(self, violation: f64) -> f64 {
        match self.at(violation) {
            0.0 if self.slope > 0.0 => -0.5 * self.base * self.base / self.slope,
            price => 0.5 * (self.base + price) * violation,
        }
    }
}

/// The utility and its gradient at answer marginals ν. Vectors over the answers of all prompts are flat.
#[derive(Debug, Clone)]
pub struct Point {
    /// log ν.
    pub log_nu: Vec<f64>,
    /// ν.
    pub nu: Vec<f64>,
    /// U(ν), without the constraints.
    pub utility: f64,
    /// g = m ∂/∂ν of the Lagrangian U(ν) − Σ μ (cost − limit), up to a constant for each prompt.
    pub rewards: Vec<f64>,
    /// Cost − limit of each constraint.
    pub violations: Vec<f64>,
    /// m ∂/∂ν of the cost of each constraint.
    pub costs: Vec<Vec<f64>>,
    /// μ of each constraint, the price at its violation.
    pub multipliers: Vec<f64>,
    /// U(ν) − Σ μ (cost − limit).
    pub lagrangian: f64,
    /// U(ν) − the penalties of violations: the function whose gradient the rewards are, also for prices with a slope.
    pub height: f64,
}

/// Evaluates the terms of a game, and counts the evaluations.
#[derive(Debug)]
pub struct Oracle<'a> {
    game: &'a Game,
    terms: &'a [Term<'a>],
    /// True for each term that is a constraint.
    constraint: Vec<bool>,
    bundle: Bundle,
    pooled: Vec<f64>,
    /// The number of evaluations so far.
    pub evaluations: u64,
}

impl<'a> Oracle<'a> {
    /// Returns the oracle of a game.
    ///
    /// # Errors
    /// Fails if there is no term, a weight is negative or not finite, a constraint has a weight other than 1, or a term
    /// cannot be evaluated at the reference.
    pub fn new(game: &'a Game, terms: &'a [Term<'a>]) -> Result<Self, Error> {
        if terms.is_empty() {
            return Err(InvalidGame::NoObjectives.into());
        }
        if let Some(Term { name, weight, .. }) = terms.iter().find(|t| !(t.weight >= 0.0 && t.weight.is_finite())) {
            return Err(InvalidGame::Weight { name: name.clone(), weight: *weight }.into());
        }
        let is_constraint = |term: &Term<'_>| {
            let violation = term.value(&game.bundle, &game.sizes).map_err(failed(term))?.violation;
            if violation.is_some() && term.weight != 1.0 {
                return Err(InvalidGame::WeightedConstraint { name: term.name.clone(), weight: term.weight }.into());
            }
            Ok(violation.is_some())
        };
        let constraint = terms.iter().map(is_constraint).collect::<Result<_, Error>>()?;
        let pooled = vec![0.0; game.width];
        Ok(Self { game, terms, constraint, bundle: game.bundle.clone(), pooled, evaluations: 0 })
    }

    /// Returns the names of the constraints.
    pub fn constraints(&self) -> Vec<&str> {
        let constraints = self.terms.iter().zip(&self.constraint).filter(|(_, is)| **is);
        constraints.map(|(term, _)| term.name.as_str()).collect()
    }

    /// Returns true if every term is concave.
    pub fn concave(&self) -> bool {
        self.terms.iter().all(|term| term.concave)
    }

    /// Evaluates the terms at `log_nu`, with a price for each constraint.
    ///
    /// # Errors
    /// Fails if a term cannot be evaluated, or a reward over β overflows.
    pub fn at(&mut self, log_nu: Vec<f64>, prices: &[Price]) -> Result<Point, Error> {
        self.evaluations += 1;
        let nu: Vec<f64> = log_nu.iter().map(|l| l.exp()).collect();
        self.fill(&log_nu, &nu);
        let mut rewards = vec![0.0; nu.len()];
        let (mut utility, mut priced, mut penalties) = (0.0, 0.0, 0.0);
        let (mut violations, mut costs, mut multipliers) = (Vec::new(), Vec::new(), Vec::new());
        let mut prices = prices.iter();
        for (term, constraint) in self.terms.iter().zip(&self.constraint) {
            // The rewards of a constraint are −μ cost, so they are its costs for a multiplier of 1.
            self.bundle.multiplier = if *constraint { 1.0 } else { 0.0 };
            let valuation = term.value(&self.bundle, &self.game.sizes).map_err(failed(term))?;
            let own = valuation.rewards.into_iter().flatten();
            let weight = match valuation.violation {
                Some(violation) => {
                    let price = prices.next().expect("there is a price for each constraint");
                    let multiplier = price.at(violation);
                    priced += multiplier * violation;
                    penalties += price.penalty(violation);
                    violations.push(violation);
                    multipliers.push(multiplier);
                    costs.push(own.clone().map(|reward| -reward).collect());
                    multiplier
                }
                None => {
                    utility += term.weight * valuation.utility;
                    term.weight
                }
            };
            rewards.iter_mut().zip(own).for_each(|(total, own)| *total += weight * own);
        }
        let beta = self.game.beta;
        if let Some(reward) = rewards.iter().find(|g| !(*g / beta).is_finite()) {
            return Err(Error::Overflow { reward: *reward, beta });
        }
        let (lagrangian, height) = (utility - priced, utility - penalties);
        Ok(Point { log_nu, nu, utility, rewards, violations, costs, multipliers, lagrangian, height })
    }

    /// Writes the probabilities ν into the bundle.
    fn fill(&mut self, log_nu: &[f64], nu: &[f64]) {
        self.pooled.fill(0.0);
        for (p, column) in nu.iter().zip(&self.game.columns) {
            self.pooled[*column] += p;
        }
        let m = self.game.prompts();
        self.pooled.iter_mut().for_each(|sum| *sum = -(*sum / m).ln());
        let answers = self.bundle.groups.iter_mut().flat_map(|group| &mut group.answers);
        for (((answer, p), log_p), column) in answers.zip(nu).zip(log_nu).zip(&self.game.columns) {
            answer.frequency = *p;
            answer.leave_one_out = *p;
            answer.surprisal = -log_p;
            answer.pooled_surprisal = self.pooled[*column];
        }
    }
}

/// Returns a closure for `map_err` that adds the term's name to its error.
fn failed(term: &Term<'_>) -> impl FnOnce(TermError) -> Error {
    |source| Error::Objective { name: term.name.clone(), source }
}
