//! A number for each answer, as a plugin's configuration has it: by a table of answers, or by the name of one of the
//! run's verifiers.
//!
//! The two keys stand among the plugin's own, for `serde` cannot both flatten a struct and refuse unknown keys. The
//! plugin hands them to [`check`] when it is configured and to [`AnswerValues::find`] when it is called.

use std::collections::BTreeMap;

use crate::{Answer, Bundle, Result};

/// Where an answer's number is.
#[derive(Debug, Clone, Copy)]
pub enum AnswerValues<'a> {
    /// In a table, by key; an answer that it does not name has 0.
    Table(&'a BTreeMap<String, f64>),
    /// Among the answer's scores, at this position.
    Score(usize),
}

impl<'a> AnswerValues<'a> {
    /// The score of `verifier` if one is named, else the number in `table`.
    ///
    /// # Errors
    /// As [`Bundle::verifier`].
    pub fn find(table: &'a BTreeMap<String, f64>, verifier: Option<&str>, bundle: &Bundle) -> Result<Self> {
        Ok(match verifier {
            Some(name) => Self::Score(bundle.verifier(name)?),
            None => Self::Table(table),
        })
    }

    /// The number of an answer.
    pub fn of(&self, answer: &Answer) -> f64 {
        match self {
            Self::Table(table) => table.get(&answer.key).copied().unwrap_or(0.0),
            Self::Score(at) => answer.scores[*at],
        }
    }
}

/// Refuses a configuration that has both or neither of the table under `key` and a verifier, and numbers that are not
/// finite.
///
/// # Errors
/// Names the key and the remedy.
pub fn check(key: &str, table: &BTreeMap<String, f64>, verifier: Option<&str>) -> Result<()> {
    if table.is_empty() == verifier.is_none() {
        return Err(format!("give either `{key}` (a table of answers) or `verifier` (whose score is the {key})").into());
    }
    match table.iter().find(|(_, number)| !number.is_finite()) {
        Some((answer, number)) => Err(format!("{key}: \"{answer}\" has {number}; {key}s must be finite").into()),
        None => Ok(()),
    }
}
