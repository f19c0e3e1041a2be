//! The result of a test.

use serde::{Deserialize, Serialize};

use crate::subject::Fault;

/// The result of a test.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// The plugin passed.
    Passed,
    /// The plugin failed, for this reason.
    Failed(String),
    /// The plugin panicked, trapped or was stopped, or its process died or never ended.
    Crashed(String),
    /// The test does not apply, for this reason.
    Skipped(String),
}

impl Outcome {
    /// Returns the name of the variant in lower case.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed(_) => "failed",
            Self::Crashed(_) => "crashed",
            Self::Skipped(_) => "skipped",
        }
    }

    /// Returns the reason; the empty text if the plugin passed.
    pub fn reason(&self) -> &str {
        match self {
            Self::Passed => "",
            Self::Failed(reason) | Self::Crashed(reason) | Self::Skipped(reason) => reason,
        }
    }

    /// Returns the rank of the outcome: the outcome of a test is the highest over all configurations.
    pub(crate) fn severity(&self) -> u8 {
        match self {
            Self::Skipped(_) => 0,
            Self::Passed => 1,
            Self::Failed(_) => 2,
            Self::Crashed(_) => 3,
        }
    }
}

impl From<Fault> for Outcome {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Crash(_) => Self::Crashed(fault.to_string()),
            Fault::Error(_) | Fault::Invalid(_) => Self::Failed(fault.to_string()),
        }
    }
}
