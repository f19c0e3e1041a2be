//! Estimators of a function f(ν) of an answer's probability, from a group of K samples.
//!
//! For one sample, let n count the other samples with the same answer: n ~ Binomial(M, ν) with M = K − 1, whatever the
//! sample itself is. An estimator is a table T\[0..=M\] that is looked up by n. Its expectation is a polynomial in p = ν:
//!
//! ```text
//! E T = Σ_n T[n] C(M, n) p^n (1 − p)^(M − n)
//! ```
//!
//! An answer is sampled with probability p, so the bias that reaches the policy gradient is p·|E T − f(p)|, and the noise
//! grows with the second moment p·E T². A [`Report`] has the worst of both over all p.
//!
//! | estimator | f(p) | T\[n\] | worst bias |
//! | --- | --- | --- | --- |
//! | plug-in | −log p | −log((n + 1)/K) | Θ(1/K) |
//! | harmonic | −log p | ψ(K) − ψ(n + 1) | Θ(1/K), half of plug-in's |
//! | minimax | −log p | of least worst bias: a linear program | Θ(1/K²), the best there is; the second moment explodes |
//! | variance-optimal | −log p | of least worst second moment under a bound on the bias: a convex program | Θ(1/K²), the bound |
//! | leave-one-out | p | n/M | 0 |
//! | u-statistic | p^j | (n)_j/(M)_j, falling factorials | 0 |
//!
//! Source: Mohri, Schneider, Zhong, *Generalized Distributional Alignment Games for Unbiased Answer-Level Fine-Tuning*,
//! arXiv 2605.02435.
//!
//! | module | content |
//! | --- | --- |
//! | [`kind`] | the estimators and their tables |
//! | [`surprisal`] | the estimators that a run can choose from |
//! | [`report`] | the worst bias and second moment of a table |
//! | `minimax`, `variance` | the two programs |
//! | `exchange`, `program` | the solver of both: an interior-point method on a growing set of p |
//! | `polynomial`, `maxima` | expectations over the binomial; the maxima of a function of p |
//! | `cache` | tables that were solved in this process |

mod cache;
mod error;
mod exchange;
pub mod kind;
mod maxima;
mod minimax;
mod polynomial;
mod program;
pub mod report;
pub mod surprisal;
mod variance;

pub use error::Error;
pub use kind::{EstimatorKind, SIZES};
pub use program::SolveError;
pub use report::Report;
pub use surprisal::SurprisalEstimator;
