//! The errors of exact games.

use super::term::TermError;

use alft_text::Foreign;

/// A game that was not solved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description of the game is not valid.
    #[error(transparent)]
    Invalid(#[from] InvalidGame),
    /// No policy meets the constraints.
    #[error(
        "the limit of {name} cannot be kept: the cost of every policy exceeds it by {excess:.3e} or more",
        name = Foreign::new(name)
    )]
    Infeasible {
        /// The constraint's name, or the names of several constraints that contradict each other.
        name: String,
        /// A lower bound of cost − limit.
        excess: f64,
    },
    /// An objective could not be evaluated.
    #[error("objective {name} cannot be evaluated", name = Foreign::new(name))]
    Objective {
        /// The objective's name.
        name: String,
        /// The objective's reason.
        source: TermError,
    },
    /// The quotient of a reward and β overflows.
    #[error("a reward of {reward:e} over a beta of {beta:e} overflows; choose weights and beta of similar magnitude")]
    Overflow {
        /// The reward.
        reward: f64,
        /// β.
        beta: f64,
    },
}

/// A description of a game that is not valid.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum InvalidGame {
    /// β is not a positive number.
    #[error("beta is {0:?}; it must be a finite number above 0")]
    Beta(f64),
    /// There is no prompt.
    #[error("the game has no prompts")]
    NoPrompts,
    /// A prompt has no answer.
    #[error("prompt {prompt} has no answers", prompt = Foreign::new(prompt))]
    NoAnswers {
        /// The prompt's id.
        prompt: String,
    },
    /// There is no objective.
    #[error("the game has no objectives")]
    NoObjectives,
    /// A probability is negative or not finite.
    #[error(
        "prompt {prompt}: answer \"{answer}\" has probability {probability:?}; probabilities must be 0 or more",
        prompt = Foreign::new(prompt),
        answer = Foreign::new(answer)
    )]
    Probability {
        /// The prompt's id.
        prompt: String,
        /// The answer's key.
        answer: String,
        /// The probability.
        probability: f64,
    },
    /// A prompt's probabilities do not sum to 1.
    #[error("prompt {prompt}: probabilities sum to {sum:?}, not to 1", prompt = Foreign::new(prompt))]
    Sum {
        /// The prompt's id.
        prompt: String,
        /// The sum.
        sum: f64,
    },
    /// A weight is negative or not finite.
    #[error("objective {name}: weight is {weight:?}; it must be 0 or more", name = Foreign::new(name))]
    Weight {
        /// The objective's name.
        name: String,
        /// The weight.
        weight: f64,
    },
    /// A constraint has a weight, although its multiplier is computed.
    #[error(
        "objective {name}: a constraint has no weight, because its multiplier is computed; remove the weight {weight:?}",
        name = Foreign::new(name)
    )]
    WeightedConstraint {
        /// The constraint's name.
        name: String,
        /// The weight.
        weight: f64,
    },
}
