//! The utility of a game: a weighted sum of terms. A term is whatever turns a bundle into a valuation, so the code that
//! prices samples in training is the code that is solved here.

use alft_sdk::bundle::{Bundle, Valuation};

use super::{Error, Game};

/// One objective of a game.
pub struct Term<'a> {
    /// For messages.
    pub name: String,
    /// Multiplies utility and rewards; a constraint has none.
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
    /// U(ν) − Σ μ (cost − limit).
    pub lagrangian: f64,
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
    /// Weights out of range, and terms that cannot be evaluated at the reference.
    pub fn new(game: &'a Game, terms: &'a [Term<'a>]) -> Result<Self, Error> {
        if terms.is_empty() {
            return Err(Error::NoObjectives);
        }
        if let Some(term) = terms.iter().find(|term| !(term.weight >= 0.0 && term.weight.is_finite())) {
            return Err(Error::Weight { name: term.name.clone(), weight: term.weight });
        }
        let constraint = terms
            .iter()
            .map(|term| Ok(value(term, &game.bundle, &game.sizes)?.violation.is_some()))
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
    pub fn at(&mut self, log_nu: Vec<f64>, multipliers: &[f64]) -> Result<Point, Error> {
        self.evaluations += 1;
        let nu: Vec<f64> = log_nu.iter().map(|l| l.exp()).collect();
        self.fill(&log_nu, &nu);
        let mut point =
            Point { rewards: vec![0.0; nu.len()], utility: 0.0, lagrangian: 0.0, violations: Vec::new(), log_nu, nu };
        let mut prices = multipliers.iter();
        let mut penalty = 0.0;
        for (term, constraint) in self.terms.iter().zip(&self.constraint) {
            self.bundle.multiplier = if *constraint { *prices.next().expect("a price each") } else { 0.0 };
            let valuation = value(term, &self.bundle, &self.game.sizes)?;
            let weight = if *constraint { 1.0 } else { term.weight };
            match valuation.violation {
                Some(violation) => {
                    point.violations.push(violation);
                    penalty += self.bundle.multiplier * violation;
                }
                None => point.utility += weight * valuation.utility,
            }
            let rewards = valuation.rewards.iter().flatten();
            point.rewards.iter_mut().zip(rewards).for_each(|(total, own)| *total += weight * own);
        }
        point.lagrangian = point.utility - penalty;
        let beta = self.game.beta;
        match point.rewards.iter().find(|g| !(*g / beta).is_finite()) {
            Some(reward) => Err(Error::Scale { reward: *reward, beta }),
            None => Ok(point),
        }
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
            answer.others = *p;
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
