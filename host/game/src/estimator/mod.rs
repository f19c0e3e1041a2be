//! Estimators of a function f(ν) of an answer's probability, from a group of K samples.
//!
//! For one sample, let n count the others that gave its answer: n ~ Binomial(M, ν) with M = K − 1, whatever the sample
//! itself is. An estimator is a table T\[0..=M\] looked up by n, and its expectation is a polynomial in p = ν:
//!
//! ```text
//! E T = Σ_n T[n] C(M, n) p^n (1 − p)^(M − n)
//! ```
//!
//! An answer is sampled with probability p, so what reaches the policy gradient is the bias p·|E T − f(p)|, and its noise
//! grows with the second moment p·E T². A [`Report`] has the worst of both over all p.
//!
//! | estimator | f(p) | T\[n\] | worst bias |
//! | --- | --- | --- | --- |
//! | plug-in | −log p | −log((n + 1)/K) | Θ(1/K) |
//! | harmonic | −log p | ψ(K) − ψ(n + 1) | Θ(1/K), half of that |
//! | minimax | −log p | what makes it least: a linear program | Θ(1/K²), the best there is; the second moment explodes |
//! | variance-optimal | −log p | least second moment at a bound on the bias: a convex program | Θ(1/K²), what is asked for |
//! | leave-one-out | p | n/M | 0 |
//! | u-statistic | p^j | (n)_j/(M)_j, falling factorials | 0 |
//!
//! Source: Mohri, Schneider, Zhong, *Generalized Distributional Alignment Games for Unbiased Answer-Level Fine-Tuning*,
//! arXiv 2605.02435.
//!
//! | module | holds |
//! | --- | --- |
//! | [`kind`] | the estimators and their tables |
//! | [`surprisal`] | those that a run can choose from |
//! | [`report`] | the worst bias and second moment of a table |
//! | `minimax`, `variance` | the two programs |
//! | `exchange`, `program` | how they are solved: on a growing set of p, by an interior-point method |
//! | `polynomial`, `maxima` | expectations over the binomial; the maxima of a function of p |
//! | `cache` | a table is solved once in a process |

mod cache;
mod exchange;
pub mod kind;
mod maxima;
mod minimax;
mod polynomial;
mod program;
pub mod report;
pub mod surprisal;
mod variance;

pub use kind::EstimatorKind;
pub use report::Report;
pub use surprisal::SurprisalEstimator;

/// The group sizes K that have tables. A sample of a group of one has no others; beyond 64 the programs gain little over
/// [`EstimatorKind::Harmonic`] for what they cost.
pub const SIZES: std::ops::RangeInclusive<u32> = 2..=64;

/// Why there is no such table.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No estimator has this name.
    #[error("there is no estimator \"{name}\"; there are {choices}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is to choose from.
        choices: String,
    },
    /// The estimator exists, and is not one of −log ν.
    #[error(
        "\"{0}\" does not estimate -log of an answer's probability, so it cannot be chosen here, and need not be: plugins \
         always get the share of the others (leave-one-out) and powers of shares (u-statistic); choose one of {choices}",
        choices = listed(SurprisalEstimator::ALL)
    )]
    NotSurprisal(EstimatorKind),
    /// The group has too few samples, or too many.
    #[error("groups of {0} have no tables; those of {from} to {to} have", from = SIZES.start(), to = SIZES.end())]
    Size(u32),
    /// A power that the others are too few for, or 0.
    #[error("the order is {order}; for groups of {size} it must be from 1 to {most}", most = size - 1)]
    Order {
        /// j.
        order: u32,
        /// K.
        size: u32,
    },
    /// An option of another estimator.
    #[error("\"{kind}\" has no {option}")]
    Option {
        /// The estimator.
        kind: EstimatorKind,
        /// What it does not have.
        option: &'static str,
    },
    /// The bound on the bias is not a positive number.
    #[error("the bias factor is {0}; it must be a number above 0")]
    BiasFactor(f64),
    /// The solver found no table.
    #[error("no {kind} table for groups of {size}: {reason}")]
    Unsolved {
        /// The estimator.
        kind: EstimatorKind,
        /// K.
        size: u32,
        /// What the solver said.
        reason: String,
    },
}

/// Names in a row, for messages.
fn listed(items: impl IntoIterator<Item: ToString>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}
