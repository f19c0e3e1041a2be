//! Why a plugin gave no value for an item. Never a score: a wrong answer is a score.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kinds of failure, counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FailureKind {
    /// It panicked.
    Panic,
    /// It trapped in another way: bad memory access, division by zero, and the like.
    Trap,
    /// It used up its fuel.
    OutOfFuel,
    /// It ran past its deadline.
    Deadline,
    /// It asked for more memory or table than it may have.
    Memory,
    /// It recursed until its stack ended.
    StackOverflow,
    /// It handed back more than it may.
    Output,
    /// Its child process ended: a crash, an abort, an exit.
    Crash,
    /// It returned an error.
    Error,
    /// Its result has the wrong number of entries.
    Shape,
    /// It returned NaN or an infinity.
    NonFinite,
    /// It returned a score outside the range that it promised.
    OutOfRange,
}

impl FailureKind {
    /// The kind's name in metrics.
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
        }
    }

    /// What the plugin's user can do about it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::OutOfFuel => "raise `limits.fuel_base` or `limits.fuel_per_byte`, or mend the plugin",
            Self::Deadline => "raise `limits.deadline_ms`, or mend the plugin",
            Self::Memory => "raise `limits.memory` or `limits.table_elements`, or mend the plugin",
            Self::StackOverflow => "raise `limits.stack`, or mend the plugin",
            Self::Output => "raise `limits.output` or `limits.key_bytes`, or mend the plugin",
            Self::Error => "mend the input or the plugin's configuration",
            _ => "this is the plugin's mistake: show it to its author",
        }
    }

    /// Whether the same call fails again in the same way. A deadline is chance: it depends on the machine's speed.
    pub fn is_deterministic(self) -> bool {
        self != Self::Deadline
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A failure, with what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which kind.
    pub kind: FailureKind,
    /// The plugin's own words, or the limit and the value reached.
    pub detail: String,
    /// The functions it was in, innermost first, where it trapped; empty where that is not known.
    pub backtrace: Vec<String>,
}

impl Failure {
    /// A failure in the words of whoever saw it.
    pub fn new(kind: FailureKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), backtrace: Vec::new() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} ({})", self.kind, indented(&self.detail), self.kind.remedy())?;
        self.backtrace.iter().try_for_each(|function| write!(f, "\n    in {function}"))
    }
}

/// A text of a plugin's as people may see it: cut to `most` bytes, and with what would steer a terminal written out.
pub(crate) fn shown(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most));
        text.push('…');
    }
    // Control characters, and those that turn the direction of what follows.
    let steers = |c: char| {
        c.is_control() && !matches!(c, '\n' | '\t') || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if text.contains(steers) {
        let written = |c: char| if steers(c) { c.escape_unicode().to_string() } else { c.to_string() };
        text = text.chars().map(written).collect();
    }
    text
}

/// A text of several lines, none of which but the first can pass for a line of ours.
pub(crate) fn indented(text: &str) -> String {
    text.replace('\n', "\n    | ")
}

/// What is [`shown`], on one line.
pub(crate) fn line(text: String, most: usize) -> String {
    shown(text, most).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_words_do_not_steer_a_terminal() {
        assert_eq!(shown("größer\n\t5".into(), 100), "größer\n\t5");
        assert_eq!(shown("a\u{1b}[2Jb\r".into(), 100), "a\\u{1b}[2Jb\\u{d}");
        assert_eq!(shown("\u{202e}txt".into(), 100), "\\u{202e}txt");
        assert_eq!(shown("ää".into(), 3), "ä…", "no half of a character");
        assert_eq!(line("a\nb\tc".into(), 100), "a b c");
    }

    #[test]
    fn a_plugins_lines_do_not_pass_for_ours() {
        let failure = Failure::new(FailureKind::Error, "no\nstep 9  reward 1.000");
        assert!(failure.to_string().starts_with("error: no\n    | step 9  reward 1.000 ("), "{failure}");
    }
}
