//! The utility of a game: a weighted sum of terms. A term is whatever turns a bundle into a valuation, so the code that
//! prices samples in training is the code that is solved here.

use alft_sdk::bundle::{Bundle, Valuation};

use super::{Error, Game};

/// One objective of a game.
pub struct Term<'a> {
    /// For messages.
    pub name: String,
    /// Multiplies utility and rewards; 1 for a constraint, whose price is found.
    pub weight: f64,
    /// Whether its utility is concave. Without that there is no certificate.
    pub concave: bool,
    /// Its utility and rewards at a bundle of exact probabilities.
    #[allow(clippy::type_complexity, reason = "a name would say no more")]
    pub evaluate: Box<dyn Fn(&Bundle) -> Result<Valuation, String> + Send + Sync + 'a>,
}

impl std::fmt::Debug for Term<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Term").field("name", &self.name).field("weight", &self.weight).finish_non_exhaustive()
    }
}

/// What a constraint's violation costs: p = max(0, base + slope · violation). The slope is the augmented Lagrangian's: the
/// price answers the violation at once, where a fixed one (slope 0) waits to be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Price {
    /// μ where the limit is met exactly.
    pub base: f64,
    /// By how much it rises with the violation.
    pub slope: f64,
}

impl Price {
    /// The same whatever the violation.
    pub fn fixed(base: f64) -> Self {
        Self { base, slope: 0.0 }
    }

    fn at(self, violation: f64) -> f64 {
        (self.base + self.slope * violation).max(0.0)
    }

    /// What is paid in all: the integral of the price over the violation, up to a constant.
    fn paid(self, violation: f64) -> f64 {
        match self.at(violation) {
            0.0 if self.slope > 0.0 => -0.5 * self.base * self.base / self.slope,
            price => 0.5 * (self.base + price) * violation,
        }
    }
}

/// The utility and its gradient at a point.
#[derive(Debug, Clone)]
pub struct Point {
    /// log ν, flat.
    pub log_nu: Vec<f64>,
    /// ν, flat.
    pub nu: Vec<f64>,
    /// U(ν), constraints left out.
    pub utility: f64,
    /// g = m ∂/∂ν of the Lagrangian U(ν) − Σ μ (cost − limit), flat, up to a constant for each prompt.
    pub rewards: Vec<f64>,
    /// Cost − limit of each constraint.
    pub violations: Vec<f64>,
    /// For each constraint m ∂/∂ν of its cost, flat.
    pub costs: Vec<Vec<f64>>,
    /// μ of each constraint: what its price comes to at its violation.
    pub multipliers: Vec<f64>,
    /// U(ν) − Σ μ (cost − limit).
    pub lagrangian: f64,
    /// U(ν) less what is paid for violations, whose gradient the rewards are also where prices have a slope.
    pub height: f64,
}

/// Evaluates a game's terms, and counts how often.
#[derive(Debug)]
pub struct Oracle<'a> {
    game: &'a Game,
    terms: &'a [Term<'a>],
    /// For each term whether it is a constraint.
    constraint: Vec<bool>,
    bundle: Bundle,
    pooled: Vec<f64>,
    /// Evaluations so far.
    pub evaluations: u64,
}

impl<'a> Oracle<'a> {
    /// # Errors
    /// Weights out of range or of constraints, and terms that cannot be evaluated at the reference.
    pub fn new(game: &'a Game, terms: &'a [Term<'a>]) -> Result<Self, Error> {
        if terms.is_empty() {
            return Err(Error::NoObjectives);
        }
        if let Some(term) = terms.iter().find(|term| !(term.weight >= 0.0 && term.weight.is_finite())) {
            return Err(Error::Weight { name: term.name.clone(), weight: term.weight });
        }
        let constraint = terms
            .iter()
            .map(|term| match value(term, &game.bundle, &game.sizes)?.violation {
                Some(_) if term.weight != 1.0 => Err(Error::Priced { name: term.name.clone(), weight: term.weight }),
                violation => Ok(violation.is_some()),
            })
            .collect::<Result<_, Error>>()?;
        let pooled = vec![0.0; game.width];
        Ok(Self { game, terms, constraint, bundle: game.bundle.clone(), pooled, evaluations: 0 })
    }

    /// The names of the constraints.
    pub fn constraints(&self) -> Vec<&str> {
        let constraints = self.terms.iter().zip(&self.constraint).filter(|(_, is)| **is);
        constraints.map(|(term, _)| term.name.as_str()).collect()
    }

    /// Whether every term is concave.
    pub fn concave(&self) -> bool {
        self.terms.iter().all(|term| term.concave)
    }

    /// The point at `log_nu` with a price for each constraint.
    ///
    /// # Errors
    /// [`Error::Objective`].
    pub fn at(&mut self, log_nu: Vec<f64>, prices: &[Price]) -> Result<Point, Error> {
        self.evaluations += 1;
        let nu: Vec<f64> = log_nu.iter().map(|l| l.exp()).collect();
        self.fill(&log_nu, &nu);
        let mut rewards = vec![0.0; nu.len()];
        let (mut utility, mut penalty, mut paid) = (0.0, 0.0, 0.0);
        let (mut violations, mut costs, mut multipliers) = (Vec::new(), Vec::new(), Vec::new());
        let mut prices = prices.iter();
        for (term, constraint) in self.terms.iter().zip(&self.constraint) {
            // A constraint says −μ cost for rewards, so at a price of 1 it tells its costs.
            self.bundle.multiplier = if *constraint { 1.0 } else { 0.0 };
            let valuation = value(term, &self.bundle, &self.game.sizes)?;
            let own = valuation.rewards.into_iter().flatten();
            let weight = match valuation.violation {
                Some(violation) => {
                    let price = prices.next().expect("a price each");
                    let multiplier = price.at(violation);
                    penalty += multiplier * violation;
                    paid += price.paid(violation);
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
            return Err(Error::Scale { reward: *reward, beta });
        }
        let (lagrangian, height) = (utility - penalty, utility - paid);
        Ok(Point { log_nu, nu, utility, rewards, violations, costs, multipliers, lagrangian, height })
    }

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

fn value(term: &Term<'_>, bundle: &Bundle, sizes: &[usize]) -> Result<Valuation, Error> {
    let wrong = |reason: String| Error::Objective { name: term.name.clone(), reason };
    let valuation = (term.evaluate)(bundle).map_err(wrong)?;
    if !valuation.rewards.iter().map(Vec::len).eq(sizes.iter().copied()) {
        return Err(wrong("its rewards have another shape than the answers".into()));
    }
    let numbers = valuation.rewards.iter().flatten().chain([&valuation.utility]).chain(&valuation.violation);
    let unusable = numbers.copied().find(|number| !number.is_finite());
    match unusable {
        Some(number) => Err(wrong(format!("it gave {number}, where a finite number is needed"))),
        None => Ok(valuation),
    }
}
