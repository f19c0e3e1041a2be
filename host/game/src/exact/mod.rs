//! An oracle for the game: the equilibrium of a game whose probabilities are all known, with a proof. Nothing in a training
//! run on a language model depends on this module, so a reader of the trainer may skip it. `alft solve` and `alft simulate`
//! use it, and tests compare training with it.
//!
//! For a bundle of m prompts with reference marginals ν₀_i the policy maximises, and the target minimises,
//!
//! ```text
//! G(π, q) = U(q) + ⟨∇U(q), ν − q⟩ − (β/m) Σ_i KL(ν_i ‖ ν₀_i)
//! ```
//!
//! At the equilibrium q = ν, and ν maximises J(ν) = U(ν) − (β/m) Σ_i KL(ν_i ‖ ν₀_i). The best policy changes the probabilities
//! of answers, and keeps the reference's probability of a trace given its answer. So the answer marginals determine it.
//! Source: Mohri, Schneider, Wu, *Distributional Alignment Games for Answer-Level Fine-Tuning*, arXiv 2604.27166.
//!
//! | module | content |
//! | --- | --- |
//! | [`instance`] | a game: prompts, their reference marginals, β |
//! | [`term`], [`objective`] | the utility: a weighted sum of terms, each a plugin or a function |
//! | [`certificate`] | the duality gap, independent of any solver |
//! | [`solve`](mod@solve) | from a game to its equilibrium |
//! | [`dynamics`], [`player`] | the ways to play, and the steps of both players |
//! | [`dual`] | the prices of constraints |
//! | [`anderson`], `newton`, `cholesky` | the acceleration |
//! | [`error`] | invalid games, and games that were not solved |

pub mod anderson;
pub mod certificate;
mod cholesky;
pub mod dual;
pub mod dynamics;
pub mod error;
pub mod instance;
mod newton;
pub mod objective;
pub mod player;
pub mod solve;
pub mod term;

pub use certificate::Certificate;
pub use dynamics::Dynamics;
pub use error::{Error, InvalidGame};
pub use instance::Game;
pub use solve::{Solution, Turn, solve};
pub use term::{BoxError, Term, TermError};
