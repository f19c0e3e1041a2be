//! The rows of a pass: of a decoding step, and of a prompt.

use crate::ops::Places;

/// A token of a sequence that is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    /// The token.
    pub(crate) token: RowToken,
    /// The places of the sequence's prompt.
    pub(crate) prompt: &'a Places,
    /// The places of the sequence's other tokens; the last one is this token's.
    pub(crate) own: &'a Places,
}

/// The token of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowToken {
    /// A token that was read.
    Known(u32),
    /// The token that this row of the step before draws, which was not read.
    Drawn(usize),
}

impl Row<'_> {
    /// Returns the position of the token.
    pub(crate) fn position(&self) -> usize {
        self.prompt.len + self.own.len - 1
    }

    /// Returns the place of the token's key and value.
    pub(crate) fn place(&self) -> usize {
        self.own.place(self.own.len - 1)
    }
}

/// A prompt that is computed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PromptRows<'a> {
    /// The tokens, at least one.
    pub(crate) tokens: &'a [u32],
    /// The places of their keys and values.
    pub(crate) places: &'a Places,
}
