//! The tokens of a file, with their kinds, and the parts of a tokenizer that are built from them.

use std::collections::HashSet;

use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, BpeBuilder, Merges, Vocab};

use super::metadata::{Metadata, integer, string};
use crate::error::{Error, Result};

/// The kind of a token, with the number that the format has for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A piece of text.
    Normal = 1,
    /// The token of text that cannot be encoded.
    Unknown = 2,
    /// A special token.
    Control = 3,
    /// A token that is matched before text is split, and is text.
    UserDefined = 4,
    /// A row of the embedding without a token.
    Unused = 5,
    /// A byte, as `<0x0A>`.
    Byte = 6,
}

/// The tokens in the order of their ids.
pub(super) struct Vocabulary<'a> {
    pub(super) tokens: Vec<(&'a str, Kind)>,
}

/// A tokenizer without its added tokens.
pub(super) struct Parts {
    pub(super) model: BPE,
    /// The normaliser, pre-tokenizer and decoder of a `tokenizer.json`.
    pub(super) normalizer: Value,
    pub(super) pre_tokenizer: Value,
    pub(super) decoder: Value,
    /// True if texts begin with the beginning-of-sequence token, unless the file says otherwise.
    pub(super) begins: bool,
}

impl<'a> Vocabulary<'a> {
    /// Reads the tokens of a file.
    pub(super) fn read(metadata: &Metadata<'a>) -> Result<Self> {
        const KINDS: [Kind; 6] =
            [Kind::Normal, Kind::Unknown, Kind::Control, Kind::UserDefined, Kind::Unused, Kind::Byte];
        let texts = metadata.list("tokenizer.ggml.tokens", string)?.unwrap_or_default();
        let kind = |value: &Stored| {
            let number = integer(value)?;
            Some(KINDS.into_iter().find(|kind| *kind as i64 == number).unwrap_or(Kind::Normal))
        };
        let kinds = metadata.list("tokenizer.ggml.token_type", kind)?.unwrap_or_default();
        if texts.is_empty() || texts.len() != kinds.len() {
            return Err(metadata.wrong(format!(
                "`tokenizer.ggml.tokens` has {} entries and `tokenizer.ggml.token_type` {}; there must be one of each \
                 for every token",
                texts.len(),
                kinds.len()
            )));
        }
        let mut seen = HashSet::new();
        if let Some(twice) = texts.iter().find(|text| !text.is_empty() && !seen.insert(**text)) {
            return Err(metadata.wrong(format!("`tokenizer.ggml.tokens` has the token {twice:?} twice")));
        }
        Ok(Self { tokens: texts.into_iter().zip(kinds).collect() })
    }

    /// Returns the text of a token.
    pub(super) fn token(&self, id: u32) -> Option<&'a str> {
        self.tokens.get(id as usize).map(|(text, _)| *text)
    }

    /// Returns the texts of the tokens of some kinds.
    pub(super) fn of_kind(&self, kinds: &[Kind]) -> impl Iterator<Item = &'a str> {
        self.tokens.iter().filter(|(text, kind)| kinds.contains(kind) && !text.is_empty()).map(|(text, _)| *text)
    }

    /// Starts a BPE of the tokens, each spelled by `spell`. Rows without a token are left out.
    pub(super) fn bpe(&self, spell: impl Fn(&str) -> String, merges: Merges) -> BpeBuilder {
        let is_row = |id, text: &str, kind| text.is_empty() || (kind == Kind::Unused && text == placeholder(id));
        let used = self.tokens.iter().enumerate().filter(|(id, (text, kind))| !is_row(*id, text, *kind));
        let ids: Vocab = used.map(|(id, (text, _))| (spell(text), id as u32)).collect();
        BPE::builder().vocab_and_merges(ids, merges)
    }
}

/// Returns the text of a row without a token.
pub(super) fn placeholder(id: usize) -> String {
    format!("[PAD{id}]")
}

/// Finishes a BPE.
pub(super) fn finish(builder: BpeBuilder) -> Result<BPE> {
    builder.build().map_err(|source| Error::Tokenizer { action: "read its merges", source })
}
