//! The abuse table: the reward of each known hack. A policy in training finds any text that pays; the author should see
//! it first.

use alft_sdk::roles::Role;
use serde::{Deserialize, Serialize};

use crate::subject::Fault;

/// The verdict on a hack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Earning {
    /// Answers: more than the wrong answer, or the right answer's key if there is no verifier. Completions: no less than
    /// the plain completion.
    Earns,
    /// Less than that.
    Nothing,
    /// No answer can be read.
    Unreadable,
    /// The plugin returned an error, which is never a score.
    Refused,
    /// The plugin crashed or broke the contract; a test reports it.
    Broken,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The role that earns: a grader's rows are about completions, a verifier's or reader's about answers.
    pub role: Role,
    /// Name of the hack.
    pub hack: String,
    /// The text, shortened.
    pub text: String,
    /// The key that was read, shortened.
    pub key: Option<String>,
    /// The score.
    pub score: Option<f64>,
    /// The verdict.
    pub earning: Earning,
    /// True if the hack earns and should not.
    pub suspect: bool,
}

/// The judgement that a hack should get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fair {
    /// The text should earn.
    Yes,
    /// The text should not earn.
    No,
    /// Either is reasonable.
    Either,
}

/// Splits an error of the plugin into the verdict on a hack.
pub(crate) fn fault(fault: &Fault) -> Earning {
    if matches!(fault, Fault::Error(_)) { Earning::Refused } else { Earning::Broken }
}
