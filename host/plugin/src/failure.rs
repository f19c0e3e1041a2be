//! Failures: why a plugin gave no value for an item. A failure is never a number; a wrong answer is a score.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::foreign::indent;

/// The kinds of failure. Metrics count each on its own.
// New kinds go last: ledgers number the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// The plugin panicked.
    Panic,
    /// The plugin trapped: bad memory access, division by zero and the like.
    Trap,
    /// The call used up its fuel.
    OutOfFuel,
    /// The call ran past the deadline of its batch.
    Deadline,
    /// The plugin asked for more memory or table elements than its limit.
    Memory,
    /// The plugin overflowed its stack.
    StackOverflow,
    /// The plugin returned more bytes than its limit.
    Output,
    /// The plugin's child process ended: a crash, an abort or an exit.
    Crash,
    /// The plugin returned an error.
    Error,
    /// The result has the wrong number of entries.
    Shape,
    /// A number in the result is NaN or infinite.
    NonFinite,
    /// A score lies outside the range that the manifest promises.
    OutOfRange,
    /// The system refused the host memory or a file for the call. The plugin has no part in it.
    System,
}

impl FailureKind {
    /// Returns the kind's name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Trap => "trap",
            Self::OutOfFuel => "out-of-fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::StackOverflow => "stack-overflow",
            Self::Output => "output",
            Self::Crash => "crash",
            Self::Error => "error",
            Self::Shape => "shape",
            Self::NonFinite => "non-finite",
            Self::OutOfRange => "out-of-range",
            Self::System => "system",
        }
    }

    /// Returns advice for the plugin's user.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::OutOfFuel => "raise `limits.fuel_base` or `limits.fuel_per_byte`, or fix the plugin",
            Self::Deadline => "raise `limits.deadline_ms`, or fix the plugin",
            Self::Memory => "raise `limits.memory` or `limits.table_elements`, or fix the plugin",
            Self::StackOverflow => "raise `limits.stack`, or fix the plugin",
            Self::Output => "raise `limits.output` or `limits.key_bytes`, or fix the plugin",
            Self::Error => "fix the input or the plugin's configuration",
            Self::System => {
                "this is no fault of the plugin: free memory or disk, or lift the limits of the shell (`ulimit -a`)"
            }
            _ => "this is a bug in the plugin; report it to the plugin's author",
        }
    }

    /// The limits that end the same call at the same place on every machine.
    pub const METERED: [Self; 3] = [Self::OutOfFuel, Self::Memory, Self::StackOverflow];

    /// Returns true if the same call fails again in the same way. A missed deadline does not have to, which depends on the
    /// machine's speed and load, and nor does a refusal of the system.
    pub fn is_deterministic(self) -> bool {
        !matches!(self, Self::Deadline | Self::System)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A plugin's failure on one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The kind of failure.
    pub kind: FailureKind,
    /// The plugin's message, or the limit and the value that exceeded it.
    pub detail: String,
    /// The functions on the plugin's stack, innermost first. Empty unless the plugin trapped.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// Returns the detail, or that there is none.
    pub fn words(&self) -> &str {
        if self.detail.trim().is_empty() { "the plugin gives no reason" } else { &self.detail }
    }

    /// Returns a failure without a backtrace.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), backtrace: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.kind, indent(self.words()), self.kind.remedy())?;
        self.backtrace.iter().try_for_each(|function| write!(f, "\n    in {function}"))
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_a_plugins_message_cannot_pass_for_the_hosts() {
        let failure = Failure::new(FailureKind::Error, "no\nstep 9  reward 1.000");
        assert!(failure.to_string().starts_with("error: no\n    | step 9  reward 1.000 ("), "{failure}");
    }

    #[test]
    fn a_failure_without_words_says_so() {
        for detail in ["", " \n"] {
            let failure = Failure::new(FailureKind::Error, detail);
            let text = "error: the plugin gives no reason (fix the input or the plugin's configuration)";
            assert_eq!(failure.to_string(), text);
        }
    }
}
