//! From text to tokens and back: Hugging Face's `tokenizer.json`, whatever it came from.

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::{
    AddedToken, models::bpe::BPE, pre_tokenizers::PreTokenizerWrapper, pre_tokenizers::byte_level::ByteLevel,
    pre_tokenizers::digits::Digits, pre_tokenizers::sequence::Sequence,
};

use crate::error::{Error, Result};

/// A tokenizer that can be written as a standard `tokenizer.json`.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The token that stands for what cannot be encoded, where the model has one.
    unknown: Option<u32>,
}

/// How a vocabulary's text is cut into words before merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ByteLevelStyle {
    /// GPT-2's regular expression.
    Gpt2,
    /// Every digit alone, then GPT-2's.
    SmolLm,
}

impl Tokenizer {
    /// Reads the text of a `tokenizer.json`; `path` is named in errors.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self> {
        let inner = tokenizers::Tokenizer::from_bytes(text.as_bytes())
            .map_err(|error| Error::file(path, format!("not a tokenizer.json: {error}")))?;
        let value: Value = serde_json::from_str(text).map_err(|error| Error::file(path, error))?;
        let unknown = value["model"]["unk_token"].as_str().and_then(|token| inner.token_to_id(token));
        Ok(Self { inner, unknown })
    }

    /// A token per character: `specials` first, then `characters`.
    ///
    /// # Errors
    /// The tokenizer library's.
    pub(crate) fn of_characters(specials: &[&str], unknown: &str, characters: &str) -> Result<Self> {
        let mut vocabulary = serde_json::Map::new();
        for token in specials.iter().map(|special| special.to_string()).chain(characters.chars().map(String::from)) {
            let id = vocabulary.len();
            vocabulary.insert(token, json!(id));
        }
        let added = specials.iter().enumerate().map(|(id, content)| {
            json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true})
        });
        let value = json!({
            "version": "1.0",
            "truncation": null,
            "padding": null,
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": null,
            // Any character, newlines too, for this library's regular expressions and for those of its Python twin.
            "pre_tokenizer":
                {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false},
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown},
        });
        Self::from_json(&value.to_string(), Path::new("tokenizer.json"))
    }

    /// A byte-level BPE from its vocabulary, in the order of ids, and its merges. `special` tokens and `added` ones are
    /// matched before the text is cut; the special ones are left out of decoded text.
    pub(crate) fn of_merges(
        vocabulary: &[&str],
        merges: &[(&str, &str)],
        special: &[&str],
        added: &[&str],
        style: ByteLevelStyle,
    ) -> Result<Self> {
        let ids = vocabulary.iter().enumerate().map(|(id, token)| (token.to_string(), id as u32)).collect();
        let merges = merges.iter().map(|(left, right)| (left.to_string(), right.to_string())).collect();
        let failed = |error: tokenizers::Error| Error::Tokenizer(error.to_string());
        let mut inner = tokenizers::Tokenizer::new(BPE::new(ids, merges));
        let bytes = ByteLevel::new(false, true, true);
        match style {
            ByteLevelStyle::Gpt2 => inner.with_pre_tokenizer(Some(bytes)),
            ByteLevelStyle::SmolLm => {
                let steps = vec![PreTokenizerWrapper::Digits(Digits::new(true)), PreTokenizerWrapper::ByteLevel(bytes)];
                inner.with_pre_tokenizer(Some(Sequence::new(steps)))
            }
        };
        inner.with_decoder(Some(bytes));
        let tokens = |list: &[&str], special| list.iter().map(|t| AddedToken::from(*t, special)).collect::<Vec<_>>();
        inner.add_special_tokens(tokens(special, true)).map_err(failed)?;
        inner.add_tokens(tokens(added, false)).map_err(failed)?;
        Ok(Self { inner, unknown: None })
    }

    /// The tokens of a text. Special tokens such as `<|im_start|>` are recognised, and none is added.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] for a character that the tokenizer has no token for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, false).map_err(|error| Error::Tokenizer(error.to_string()))?;
        let ids = encoding.get_ids();
        if let Some(at) = self.unknown.and_then(|unknown| ids.iter().position(|id| *id == unknown)) {
            let (start, end) = encoding.get_offsets()[at];
            let unknown = text.get(start..end).unwrap_or(text);
            return Err(Error::Tokenizer(format!("it has no token for {unknown:?} in {text:?}")));
        }
        Ok(ids.to_vec())
    }

    /// The text of tokens, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] when the tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, true).map_err(|error| Error::Tokenizer(error.to_string()))
    }

    /// The id of a token by its text, special ones included.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The text of a token by its id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// One more than the largest id the tokenizer can produce.
    pub fn vocabulary(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    /// The text of its `tokenizer.json`.
    pub(crate) fn to_json(&self) -> Result<String> {
        self.inner.to_string(true).map_err(|error| Error::Tokenizer(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_round_trip_and_survive_the_json() {
        let tokenizer = Tokenizer::of_characters(&["<pad>", "<eos>", "<unk>"], "<unk>", "abc \n+").unwrap();
        let tokenizer = Tokenizer::from_json(&tokenizer.to_json().unwrap(), Path::new("t")).unwrap();
        assert_eq!(tokenizer.vocabulary(), 9);
        let ids = tokenizer.encode("ab c\n+<eos>").unwrap();
        assert_eq!(ids, [3, 4, 6, 5, 7, 8, 1]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab c\n+");
        let message = tokenizer.encode("abß").unwrap_err().to_string();
        assert!(message.contains("no token for \"ß\""), "{message}");
    }

    #[test]
    fn byte_level_merges_and_special_tokens() {
        let vocabulary = ["<|im_start|>", "a", "b", "ab", "Ġ", "1", "2", "<tool>"];
        let tokenizer =
            Tokenizer::of_merges(&vocabulary, &[("a", "b")], &["<|im_start|>"], &["<tool>"], ByteLevelStyle::SmolLm)
                .unwrap();
        let tokenizer = Tokenizer::from_json(&tokenizer.to_json().unwrap(), Path::new("t")).unwrap();
        let ids = tokenizer.encode("<|im_start|>ab a12<tool>").unwrap();
        assert_eq!(ids, [0, 3, 4, 1, 5, 6, 7]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab a12<tool>");
    }

    #[test]
    fn broken_json_is_an_error_that_names_the_file() {
        let message = Tokenizer::from_json("{", Path::new("some/tokenizer.json")).unwrap_err().to_string();
        assert!(message.starts_with("some/tokenizer.json: not a tokenizer.json"), "{message}");
    }
}
