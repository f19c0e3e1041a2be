//! How a test ended.

use serde::{Deserialize, Serialize};

use super::Fault;

/// The outcome of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// The plugin does what the test asks.
    Passed,
    /// It does not: why.
    Failed(String),
    /// It panicked, trapped or was stopped; or the process that it ran in died or never ended.
    Crashed(String),
    /// The test does not apply: why.
    Skipped(String),
}

impl Outcome {
    /// Passed, failed, crashed or skipped.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Crashed(_) => "crashed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Why; nothing for a test that was passed.
    pub fn reason(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(reason) | Self::Crashed(reason) | Self::Skipped(reason) => reason,
        }
    }

    /// Of the outcomes under several configurations the gravest is the test's.
    pub(super) fn gravity(&self) -> u8 {
        match self {
            Self::Skipped(_) => 0,
            Self::Passed => 1,
            Self::Failed(_) => 2,
            Self::Crashed(_) => 3,
        }
    }
}

/// On an ordinary input, where even an error is one too many.
impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Error(_) | Fault::Invalid(_) => Self::Failed(fault.to_string()),
            Fault::Crash(_) => Self::Crashed(fault.to_string()),
        }
    }
}
