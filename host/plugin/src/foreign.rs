//! Text written by strangers: a plugin's messages, names in its file, a compiler's words about it. It is sanitized before
//! a person reads it, so that it can neither steer a terminal nor pass for a line of the host's.

use std::error::Error;

use serde::{Deserialize, Serialize};

/// Foreign errors are truncated to this many bytes: they can quote names chosen by the plugin's author.
const ERROR_BYTES: usize = 2000;

/// An error that is known only by its text, because it comes from another process or quotes a stranger's file. The text is
/// sanitized and contains the messages of the causes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{0}")]
pub struct ForeignError(String);

impl ForeignError {
    /// Joins the messages of `error` and of its causes.
    pub(crate) fn new(error: &dyn Error) -> Self {
        Self::from(chain(error))
    }
}

impl From<String> for ForeignError {
    fn from(text: String) -> Self {
        Self(indent(&sanitize(text, ERROR_BYTES)))
    }
}

impl From<wasmtime::Error> for ForeignError {
    fn from(error: wasmtime::Error) -> Self {
        Self::new(error.as_ref())
    }
}

/// Joins the messages of `error` and of its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Truncates `text` to `max_bytes` bytes and escapes the characters that steer a terminal, but for line breaks and tabs.
pub(crate) fn sanitize(text: String, max_bytes: usize) -> String {
    alft_text::lines(&text, max_bytes)
}

/// Marks every line of `text` after the first as a continuation.
pub(crate) fn indent(text: &str) -> String {
    text.replace('\n', "\n    | ")
}

/// Sanitizes `text` and puts it on one line.
pub(crate) fn single_line(text: String, max_bytes: usize) -> String {
    sanitize(text, max_bytes).replace(['\n', '\t'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_cannot_steer_a_terminal() {
        assert_eq!(sanitize("größer\n\t5".into(), 100), "größer\n\t5");
        assert_eq!(sanitize("a\u{1b}[2Jb\r".into(), 100), "a\\u{1b}[2Jb\\r");
        assert_eq!(sanitize("\u{202e}txt".into(), 100), "\\u{202e}txt");
        assert_eq!(sanitize("ää".into(), 3), "ä…", "characters are not cut in half");
        assert_eq!(single_line("a\nb\tc".into(), 100), "a b c");
    }

    #[test]
    fn a_foreign_error_has_the_messages_of_its_causes() {
        let error = wasmtime::Error::msg("no\nstep 9").context("cannot parse");
        assert_eq!(ForeignError::from(error).to_string(), "cannot parse: no\n    | step 9");
    }
}
