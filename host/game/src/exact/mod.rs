//! The game solved exactly: every answer's probability is known, so both players are vectors and the equilibrium can be
//! proved.
//!
//! For a bundle of m prompts with reference marginals ν₀_i the policy maximises, and the target minimises,
//!
//! ```text
//! G(π, q) = U(q) + ⟨∇U(q), ν − q⟩ − (β/m) Σ_i KL(ν_i ‖ ν₀_i)
//! ```
//!
//! At the equilibrium q = ν, and ν maximises J(ν) = U(ν) − (β/m) Σ_i KL(ν_i ‖ ν₀_i). A policy tilts answers and leaves
//! the reference's probability of a trace given its answer alone, so answer marginals are all there is to find.
//! Source: Mohri, Schneider, Wu, *Distributional Alignment Games for Answer-Level Fine-Tuning*, arXiv 2604.27166.
//!
//! | module | holds |
//! | --- | --- |
//! | [`instance`] | a game: prompts, their reference marginals, β |
//! | [`objective`] | the utility: a weighted sum of terms, each a plugin or a function |
//! | [`certificate`] | the duality gap, computed apart from any solver |
//! | [`player`] | what a policy and a target can do in a turn |
//! | [`dynamics`] | the ways to play: from naive to accelerated |
//! | [`dual`] | prices of constraints |
//! | [`anderson`], `newton`, `cholesky` | the acceleration |
//! | [`solve`](mod@solve) | from a game to its equilibrium |

pub mod anderson;
pub mod certificate;
mod cholesky;
pub mod dual;
pub mod dynamics;
pub mod instance;
mod newton;
pub mod objective;
pub mod player;
pub mod solve;

pub use certificate::Certificate;
pub use dynamics::Dynamics;
pub use instance::Game;
pub use objective::Term;
pub use solve::{Solution, Turn, solve};

/// Why a game cannot be solved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// β is not a positive number.
    #[error("beta is {0}; it must be above 0, as leaving the reference must cost something")]
    Beta(f64),
    /// There is no prompt.
    #[error("the game has no prompts")]
    NoPrompts,
    /// A prompt has nothing to answer.
    #[error("prompt {prompt} has no answers")]
    NoAnswers {
        /// The prompt's id.
        prompt: String,
    },
    /// There is nothing to maximise.
    #[error("the game has no objectives")]
    NoObjectives,
    /// A probability is not one.
    #[error("prompt {prompt}: answer \"{answer}\" has probability {probability}; probabilities are 0 or more")]
    Probability {
        /// The prompt's id.
        prompt: String,
        /// The answer's key.
        answer: String,
        /// What it was given.
        probability: f64,
    },
    /// A prompt's probabilities are no distribution.
    #[error("prompt {prompt}: probabilities sum to {sum}, not to 1")]
    Sum {
        /// The prompt's id.
        prompt: String,
        /// Their sum.
        sum: f64,
    },
    /// A weight is negative or not a number.
    #[error("objective {name}: weight is {weight}; it must be 0 or more")]
    Weight {
        /// The objective's name.
        name: String,
        /// Its weight.
        weight: f64,
    },
    /// A constraint was given a weight.
    #[error("objective {name}: a constraint has no weight, as its price is found; leave the weight of {weight} out")]
    Priced {
        /// The constraint's name.
        name: String,
        /// The weight.
        weight: f64,
    },
    /// An objective could not be evaluated.
    #[error("objective {name}: {reason}")]
    Objective {
        /// The objective's name.
        name: String,
        /// What it said.
        reason: String,
    },
    /// Rewards and β are numbers that cannot be told from infinity together.
    #[error("a reward of {reward:e} over a beta of {beta:e} is no number; choose weights and beta of nearer size")]
    Scale {
        /// The reward.
        reward: f64,
        /// β.
        beta: f64,
    },
    /// No policy meets the constraints.
    #[error("the limit of {name} cannot be kept: the cost of every policy exceeds it by {excess:.3e} or more")]
    Infeasible {
        /// The constraint's name, or the names of several that contradict each other.
        name: String,
        /// The least cost less the limit.
        excess: f64,
    },
}
