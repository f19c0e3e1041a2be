//! A term of a game's utility.

use alft_sdk::bundle::{Bundle, Valuation};

/// A function from a bundle of exact probabilities to its utility and rewards.
pub type Evaluate<'a> = dyn Fn(&Bundle) -> Result<Valuation, BoxError> + Send + Sync + 'a;

/// Any error.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One objective of a game.
pub struct Term<'a> {
    /// The name in messages.
    pub name: String,
    /// The factor of the utility and the rewards. It is 1 for a constraint, whose multiplier is computed.
    pub weight: f64,
    /// True if the utility is concave. There is no certificate otherwise.
    pub concave: bool,
    /// The objective.
    pub evaluate: Box<Evaluate<'a>>,
}

impl std::fmt::Debug for Term<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Term").field("name", &self.name).field("weight", &self.weight).finish_non_exhaustive()
    }
}

impl Term<'_> {
    /// Evaluates the objective at a bundle with groups of `sizes` answers, and checks its result.
    pub(super) fn value(&self, bundle: &Bundle, sizes: &[usize]) -> Result<Valuation, TermError> {
        let valuation = (self.evaluate)(bundle).map_err(TermError::Failed)?;
        if !valuation.rewards.iter().map(Vec::len).eq(sizes.iter().copied()) {
            return Err(TermError::Shape);
        }
        let not_finite = {
            let Valuation { utility, rewards, violation } = &valuation;
            let mut numbers = rewards.iter().flatten().chain([utility]).chain(violation);
            numbers.find(|number| !number.is_finite()).copied()
        };
        match not_finite {
            Some(number) => Err(TermError::NotFinite(number)),
            None => Ok(valuation),
        }
    }
}

/// An objective that returned no usable value.
#[derive(Debug, thiserror::Error)]
pub enum TermError {
    /// The objective failed.
    #[error(transparent)]
    Failed(BoxError),
    /// The rewards are not one for each answer.
    #[error("it must return one reward for each answer of each prompt")]
    Shape,
    /// A number is infinite or not a number.
    #[error("it returned {0}, but numbers must be finite")]
    NotFinite(f64),
}
