//! A number for each answer, from a table in the configuration or from one of the run's verifiers.
//!
//! A plugin has two keys for it, a table and `verifier`. It passes them to [`check`] when it is configured and to
//! [`AnswerValues::find`] when it is called. They are not a struct to flatten, since `serde` cannot both flatten a struct
//! and refuse unknown keys.

use std::collections::BTreeMap;

use crate::{Answer, Bundle, Result};

/// The source of the answers' numbers.
#[derive(Debug, Clone, Copy)]
pub enum AnswerValues<'a> {
    /// A table by answer key. An answer that is not in the table has 0.
    Table(&'a BTreeMap<String, f64>),
    /// The score at this index of the answer's scores.
    Score(usize),
}

impl<'a> AnswerValues<'a> {
    /// Returns the scores of `verifier` if it is given, or else the table.
    ///
    /// # Errors
    /// The run has no verifier of this name.
    pub fn find(table: &'a BTreeMap<String, f64>, verifier: Option<&str>, bundle: &Bundle) -> Result<Self> {
        Ok(match verifier {
            Some(name) => Self::Score(bundle.verifier(name)?),
            None => Self::Table(table),
        })
    }

    /// Returns the number of an answer.
    pub fn of(&self, answer: &Answer) -> f64 {
        match self {
            Self::Table(table) => table.get(&answer.key).copied().unwrap_or(0.0),
            Self::Score(at) => answer.scores[*at],
        }
    }
}

/// Checks that exactly one of the table, under `key`, and the verifier is given, and that the table's numbers are finite.
///
/// # Errors
/// The check fails. The error names the key and the remedy.
pub fn check(key: &str, table: &BTreeMap<String, f64>, verifier: Option<&str>) -> Result<()> {
    if table.is_empty() == verifier.is_none() {
        return Err(format!("set either `{key}` (a table of answers) or `verifier` (its score is the {key})").into());
    }
    match table.iter().find(|(_, number)| !number.is_finite()) {
        Some((answer, number)) => Err(format!("{key}.\"{answer}\" is {number:?}; it must be finite").into()),
        None => Ok(()),
    }
}
