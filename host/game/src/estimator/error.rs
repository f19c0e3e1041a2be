//! The errors of estimators.

use std::ops::RangeInclusive;

use super::program::SolveError;

/// An estimator or a table that does not exist.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No estimator has this name.
    #[error("there is no estimator \"{name}\"; there are {choices}")]
    Unknown {
        /// The unknown name.
        name: String,
        /// The names of the estimators.
        choices: String,
    },
    /// The estimator exists, but does not estimate −log ν.
    #[error(
        "\"{name}\" does not estimate -log of an answer's probability, so it cannot be chosen here, and need not be: plugins \
         always get the leave-one-out share (leave-one-out) and can compute powers of shares (u-statistic); choose one of \
         {choices}"
    )]
    NotSurprisal {
        /// The estimator's name.
        name: String,
        /// The names of the estimators of −log ν.
        choices: String,
    },
    /// The group has too few samples, or too many.
    #[error("groups of {size} have no table; the size must be from {from} to {to}", from = sizes.start(), to = sizes.end())]
    Size {
        /// K.
        size: u32,
        /// The group sizes that have tables.
        sizes: RangeInclusive<u32>,
    },
    /// The power is 0, or more than the number of other samples.
    #[error("the order is {order}; for groups of {size} it must be from 1 to {most}", most = size - 1)]
    Order {
        /// j.
        order: u32,
        /// K.
        size: u32,
    },
    /// The option belongs to another estimator.
    #[error("\"{name}\" has no {option}")]
    Option {
        /// The estimator's name.
        name: String,
        /// The option.
        option: &'static str,
    },
    /// The bound on the bias is not a positive number.
    #[error("the bias factor is {0}; it must be a finite number above 0")]
    BiasFactor(f64),
    /// The solver found no table.
    #[error("no {name} table for groups of {size}{hint}")]
    Unsolved {
        /// The estimator's name.
        name: String,
        /// K.
        size: u32,
        /// The option that may be the cause, or empty.
        hint: String,
        /// The solver's reason.
        source: SolveError,
    },
}
