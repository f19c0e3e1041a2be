//! The tokenizer, from text to tokens and back. Every tokenizer can be written as Hugging Face's `tokenizer.json`, also if
//! it was read from another format.

use std::{
    borrow::Cow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::Arc,
};

use alft_text::Foreign;
use rayon::prelude::*;
use serde_json::{Value, json};
use tokenizers::ModelWrapper;

use super::{stand_in::StandIns, tokenizer_json};
use crate::error::{Error, Result};

/// A tokenizer that can be written as a standard `tokenizer.json`.
#[derive(Debug, Clone)]
pub struct Tokenizer {
    /// Shared, because a vocabulary takes milliseconds to copy.
    inner: Arc<tokenizers::Tokenizer>,
    /// The token that the library puts in the place of text it cannot encode, if the tokenizer has one.
    unknown: Option<u32>,
    /// True if the library would leave out text that it cannot encode. It is told of [`ABSENT`] then, and fails.
    leaves_out: bool,
    /// The special tokens, by which a model tells its own marks from text.
    special: StandIns,
    /// The tokens that a text begins with when a model reads it as a whole, such as that of the beginning of a sequence.
    beginning: Arc<[u32]>,
    /// The tokens of the 256 bytes, in a tokenizer that writes text in bytes where it has no other token.
    bytes: Option<Arc<[u32]>>,
}

/// The models of tokenizers that the library knows.
const MODELS: [&str; 4] = ["BPE", "WordPiece", "WordLevel", "Unigram"];

/// The name of the token of text that cannot be encoded, in a tokenizer without one. No vocabulary has it.
const ABSENT: &str = "\u{0}absent\u{0}";

impl Tokenizer {
    /// Parses the text of a `tokenizer.json`; errors name `path`.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self> {
        // The library panics where it finds the end of a damaged file.
        let value: Value = serde_json::from_str(text).map_err(Error::format(path, "tokenizer.json"))?;
        if let Some(fault) = tokenizer_json::excessive_growth(&value) {
            return Err(Error::content(path, fault));
        }
        if let Some(kind) = value["model"]["type"].as_str().filter(|kind| !MODELS.contains(kind)) {
            let kind = Foreign::new(kind);
            let reason = format!("the tokenizer's model is `{kind}`; supported are {}", MODELS.join(", "));
            return Err(Error::content(path, reason));
        }
        let mut inner = guarded(|| tokenizers::Tokenizer::from_bytes(text.as_bytes()))
            .map_err(Error::format(path, "tokenizer.json"))?;
        // Some files have a length that texts were cut or filled to when they were saved.
        inner.with_truncation(None).map_err(failed("leave texts whole"))?;
        inner.with_padding(None);
        let model = &value["model"];
        let named = model["unk_token"].as_str().and_then(|token| inner.token_to_id(token));
        let numbered = || model["unk_id"].as_u64().and_then(|id| u32::try_from(id).ok());
        let unknown = named.or_else(numbered);
        Ok(Self::new(inner, unknown))
    }

    /// Wraps a tokenizer of the library. `unknown` is the token of text that it cannot encode.
    pub(crate) fn new(mut inner: tokenizers::Tokenizer, unknown: Option<u32>) -> Self {
        let leaves_out = encode_all_or_fail(&mut inner);
        let added = inner.get_added_tokens_decoder();
        let special = added.into_values().filter(|token| token.special).map(|token| token.content);
        let special = StandIns::new(special);
        let beginning = beginning(&inner).unwrap_or_default().into();
        let bytes = byte_tokens(&inner).map(Into::into);
        Self { inner: inner.into(), unknown, leaves_out, special, beginning, bytes }
    }

    /// Returns the tokenizer with other tokens at the beginning of a text.
    pub fn beginning_with(self, tokens: &[u32]) -> Self {
        Self { beginning: tokens.into(), ..self }
    }

    /// Returns the tokens that a text begins with when a model reads it as a whole; empty for most models.
    pub fn beginning(&self) -> &[u32] {
        &self.beginning
    }

    /// Builds a character tokenizer: the ids of `specials` come first, then one for each of `characters`.
    pub(crate) fn from_characters(specials: &[&str], unknown: &str, characters: &str) -> Result<Self> {
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
            // Any character including newlines, in the regular expressions of this library and of its Python version.
            "pre_tokenizer":
                {"type": "Split", "pattern": {"Regex": "[\\s\\S]"}, "behavior": "Isolated", "invert": false},
            "post_processor": null,
            "decoder": {"type": "Fuse"},
            "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown},
        });
        Self::from_json(&value.to_string(), Path::new("tokenizer.json"))
    }

    /// Returns a text in which nothing is a special token: what looks like one is replaced by a character that stands for it,
    /// and [`Self::encode`] gives the tokens of its letters. So a question cannot end its own turn.
    pub fn as_text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.special.hide(text)
    }

    /// Returns a special token that stands in a text, which [`Self::as_text`] would hide.
    pub fn special_token_in(&self, text: &str) -> Option<&str> {
        self.special.quoted_by(text)
    }

    /// Returns the tokens of a text. Special tokens such as `<|im_start|>` are recognised, unless [`Self::as_text`] has hidden
    /// them; none is added.
    ///
    /// # Errors
    /// [`Error::NoToken`] if the text holds a character that the tokenizer has no token for.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        if let (Some(bytes), Some(_)) = (&self.bytes, self.special.first(text)) {
            // In pieces, the text would get a space before each of them from many such tokenizers.
            let id = |letter: &str| self.inner.token_to_id(letter);
            return Ok(self.special.with_letters(&self.encode_marked(text)?, bytes, id));
        }
        let mut tokens = Vec::new();
        let mut rest = text;
        while let Some((before, token, after)) = self.special.first(rest) {
            tokens.extend(self.encode_marked(before)?);
            // No special token is one character long, and so none of the pieces is one.
            for letter in token.chars() {
                tokens.extend(self.encode_marked(letter.encode_utf8(&mut [0; 4]))?);
            }
            rest = after;
        }
        tokens.extend(self.encode_marked(rest)?);
        Ok(tokens)
    }

    /// Returns the tokens of a text that a model reads as a whole: as [`Self::encode`], after [`Self::beginning`], unless the
    /// text has that already.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn encode_whole(&self, text: &str) -> Result<Vec<u32>> {
        let mut tokens = self.encode(text)?;
        if !tokens.starts_with(&self.beginning) {
            tokens.splice(..0, self.beginning.iter().copied());
        }
        Ok(tokens)
    }

    /// Returns the tokens of each text, as [`Self::encode_whole`] does, on all cores.
    ///
    /// # Errors
    /// As [`Self::encode`], for the first text that fails.
    pub fn encode_batch(&self, texts: &[String]) -> Result<Vec<Vec<u32>>> {
        texts.par_iter().map(|text| self.encode_whole(text)).collect::<Vec<_>>().into_iter().collect()
    }

    /// Returns the tokens of a text, in which a character that stands for a special token is a character.
    fn encode_marked(&self, text: &str) -> Result<Vec<u32>> {
        if text.is_empty() {
            return Ok(Vec::new());
        }
        let encoding = guarded(|| self.inner.encode_fast(text, false)).map_err(|error| self.no_token(text, error))?;
        let ids = encoding.get_ids();
        if let Some(at) = self.unknown.and_then(|unknown| ids.iter().position(|id| *id == unknown)) {
            // Only the slow encoding has offsets.
            let encoding = guarded(|| self.inner.encode(text, false)).map_err(failed("encode a text"))?;
            let (start, end) = encoding.get_offsets().get(at).copied().unwrap_or_default();
            let character = text.get(start..end).unwrap_or(text).to_owned();
            return Err(Error::NoToken { character, text: text.to_owned() });
        }
        Ok(ids.to_vec())
    }

    /// Returns the error about a text that the library cannot encode, with the first character that it cannot.
    fn no_token(&self, text: &str, error: tokenizers::Error) -> Error {
        let fails = |character: &char| {
            let mut buffer = [0; 4];
            let letter: &str = character.encode_utf8(&mut buffer);
            guarded(|| self.inner.encode_fast(letter, false)).is_err()
        };
        match text.chars().find(fails).filter(|_| self.leaves_out) {
            Some(character) => Error::NoToken { character: character.to_string(), text: text.to_owned() },
            None => failed("encode a text")(error),
        }
    }

    /// Returns the text of tokens, without special tokens.
    ///
    /// # Errors
    /// [`Error::Tokenizer`] if the tokenizer's decoder fails.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        guarded(|| self.inner.decode(tokens, true)).map_err(failed("decode tokens"))
    }

    /// Returns the id of a token, given its text. Special tokens are included.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// Returns the text of a token, given its id.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Returns one more than the largest id that the tokenizer can produce.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab(true).values().max().map_or(0, |id| *id as usize + 1)
    }

    /// Returns one more than the largest id of the tokens that a text can have, special tokens left out.
    pub(crate) fn text_vocab_size(&self) -> usize {
        let added = self.inner.get_added_tokens_decoder();
        let special = |id: &u32| added.get(id).is_some_and(|token| token.special);
        self.inner.get_vocab(true).into_values().filter(|id| !special(id)).max().map_or(0, |id| id as usize + 1)
    }

    /// Returns the text of a `tokenizer.json`, which the library's older versions can read too.
    pub(crate) fn to_json(&self) -> Result<String> {
        let json = self.inner.to_string(true).map_err(failed("write its tokenizer.json"))?;
        let mut value: Value =
            serde_json::from_str(&json).map_err(|error| failed("read its own JSON")(error.into()))?;
        let json = if self.leaves_out {
            value["model"]["unk_token"] = Value::Null;
            format!("{value:#}\n")
        } else {
            json
        };
        let Some(merges) = value["model"]["merges"].as_array_mut() else { return Ok(json) };
        let joined = |merge: &Value| match (merge[0].as_str()?, merge[1].as_str()?) {
            (left, right) if !left.contains(' ') && !right.contains(' ') => Some(json!(format!("{left} {right}"))),
            _ => None,
        };
        match merges.iter().map(joined).collect::<Option<Vec<Value>>>() {
            Some(joined) => *merges = joined,
            None => return Ok(json),
        }
        Ok(format!("{value:#}\n"))
    }
}

/// Turns off the dropout of a BPE, which splits a text otherwise each time, and has one without a token for unknown text fail on
/// such text, which the library leaves out. Returns true for the latter.
fn encode_all_or_fail(inner: &mut tokenizers::Tokenizer) -> bool {
    let ModelWrapper::BPE(model) = inner.get_model() else { return false };
    let leaves_out = model.unk_token.is_none();
    if !leaves_out && model.dropout.is_none() {
        return false;
    }
    let mut model = model.clone();
    model.dropout = None;
    if leaves_out {
        model.unk_token = Some(ABSENT.to_owned());
    }
    inner.with_model(model);
    leaves_out
}

/// Returns the tokens that the tokenizer's own post-processor puts before a text.
fn beginning(inner: &tokenizers::Tokenizer) -> Option<Vec<u32>> {
    const TEXT: &str = "a";
    let encode = |with_special| guarded(|| inner.encode_fast(TEXT, with_special)).ok();
    let (whole, text) = (encode(true)?, encode(false)?);
    let (whole, text) = (whole.get_ids(), text.get_ids());
    let at = whole.windows(text.len().max(1)).position(|part| part == text)?;
    Some(whole[..at].to_vec())
}

/// Returns the tokens of the 256 bytes, if text without other tokens is written in them.
fn byte_tokens(inner: &tokenizers::Tokenizer) -> Option<Vec<u32>> {
    match inner.get_model() {
        ModelWrapper::BPE(model) if model.byte_fallback => {
            (0..=u8::MAX).map(|byte| inner.token_to_id(&format!("<0x{byte:02X}>"))).collect()
        }
        _ => None,
    }
}

/// Calls the library. It panics on some files that it reads: they are then refused like others.
fn guarded<T>(call: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("the tokenizer library panicked: {}", text.unwrap_or("without a message")).into())
    })
}

fn failed(action: &'static str) -> impl Fn(tokenizers::Error) -> Error {
    move |source| Error::Tokenizer { action, source }
}

/// Builds a byte-level BPE, whose tokens are in the order of their ids.
#[cfg(test)]
pub(crate) fn byte_level(tokens: &[&str], merges: &[&str], special: &[&str]) -> Tokenizer {
    let ids: serde_json::Map<String, Value> =
        tokens.iter().enumerate().map(|(id, token)| (token.to_string(), json!(id))).collect();
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let added = special.iter().map(|token| {
        json!({"id": ids[*token], "content": token, "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true})
    });
    let json = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added.collect::<Vec<_>>(),
        "normalizer": null, "pre_tokenizer": bytes, "post_processor": null, "decoder": bytes,
        "model": {"type": "BPE", "vocab": ids, "merges": merges},
    });
    Tokenizer::from_json(&json.to_string(), Path::new("tokenizer.json")).unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_tokenizer_decodes_what_it_encodes_also_after_its_json() {
        let tokenizer = Tokenizer::from_characters(&["<pad>", "<eos>", "<unk>"], "<unk>", "abc \n+").unwrap();
        let tokenizer = Tokenizer::from_json(&tokenizer.to_json().unwrap(), Path::new("t")).unwrap();
        assert_eq!(tokenizer.vocab_size(), 9);
        let ids = tokenizer.encode("ab c\n+<eos>").unwrap();
        assert_eq!(ids, [3, 4, 6, 5, 7, 8, 1]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab c\n+");
        let message = tokenizer.encode("abß").unwrap_err().to_string();
        assert!(message.contains("no token for \"ß\""), "{message}");
    }

    #[test]
    fn a_byte_level_tokenizer_merges_bytes_and_matches_special_tokens() {
        let tokenizer = byte_level(&["<|im_start|>", "a", "b", "ab", "Ġ", "1"], &["a b"], &["<|im_start|>"]);
        let json = tokenizer.to_json().unwrap();
        assert!(json.contains("\"a b\""), "merges are in the form that older versions of the library read");
        let tokenizer = Tokenizer::from_json(&json, Path::new("t")).unwrap();
        let ids = tokenizer.encode("<|im_start|>ab a1").unwrap();
        assert_eq!(ids, [0, 3, 4, 1, 5]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab a1");
    }

    #[test]
    fn a_special_token_of_other_models_needs_no_row() {
        let made = |special: &[&str]| byte_level(&["a", "b", "<image>"], &[], special);
        let tokenizer = made(&["<image>"]);
        assert_eq!((tokenizer.text_vocab_size(), tokenizer.vocab_size()), (2, 3));
        assert_eq!(made(&[]).text_vocab_size(), 3);
    }

    #[test]
    fn a_special_token_in_a_question_is_text() {
        let vocabulary = ["<|im_start|>", "a", "b", "ab", "<", "|", ">", "_", "i", "m", "s", "t", "r"];
        let tokenizer = byte_level(&vocabulary, &["a b"], &["<|im_start|>"]);
        assert!(matches!(tokenizer.as_text("ab"), Cow::Borrowed("ab")));
        let text = format!("<|im_start|>{}", tokenizer.as_text("ab<|im_start|>ab"));
        let ids = tokenizer.encode(&text).unwrap();
        assert_eq!(ids, [0, 3, 4, 5, 8, 9, 7, 10, 11, 1, 12, 11, 5, 6, 3]);
        assert_eq!(tokenizer.decode(&ids).unwrap(), "ab<|im_start|>ab");
    }

    #[test]
    fn a_whole_text_begins_once_as_its_tokenizer_says_and_is_neither_cut_nor_filled() {
        let plain = byte_level(&["<s>", "a", "b", "ab", "</s>"], &["a b"], &["<s>", "</s>"]);
        assert_eq!(plain.encode_whole("ab").unwrap(), [3]);
        assert_eq!(plain.clone().beginning_with(&[0]).encode_whole("ab").unwrap(), [0, 3]);
        let mut value: Value = serde_json::from_str(&plain.to_json().unwrap()).unwrap();
        let token = |text: &str| json!({"SpecialToken": {"id": text, "type_id": 0}});
        let ends = |id: u32, text: &str| json!({"id": text, "ids": [id], "tokens": [text]});
        value["post_processor"] = json!({
            "type": "TemplateProcessing",
            "single": [token("<s>"), {"Sequence": {"id": "A", "type_id": 0}}, token("</s>")],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": ends(0, "<s>"), "</s>": ends(4, "</s>")},
        });
        value["truncation"] = json!({"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
        value["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 4, "pad_type_id": 0, "pad_token": "</s>"});
        let tokenizer = Tokenizer::from_json(&value.to_string(), Path::new("t")).unwrap();
        assert_eq!(tokenizer.beginning(), [0]);
        assert_eq!(tokenizer.encode_whole("abab").unwrap(), [0, 3, 3]);
        assert_eq!(tokenizer.encode_whole("<s>abab").unwrap(), [0, 3, 3], "a template may have it too");
        assert_eq!(tokenizer.encode("abab").unwrap(), [3, 3]);
    }

    #[test]
    fn dropout_is_off() {
        let plain = byte_level(&["a", "b", "ab"], &["a b"], &[]);
        let mut value: Value = serde_json::from_str(&plain.to_json().unwrap()).unwrap();
        value["model"]["dropout"] = json!(1.0);
        let tokenizer = Tokenizer::from_json(&value.to_string(), Path::new("t")).unwrap();
        assert_eq!(tokenizer.encode("ab").unwrap(), [2]);
    }

    #[test]
    fn text_without_a_token_is_refused_in_every_model() {
        let no_token = |tokenizer: &Tokenizer| tokenizer.encode("aéa").unwrap_err().to_string();
        let with = |model: Value| {
            let json = json!({"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
                "pre_tokenizer": null, "post_processor": null, "decoder": null, "model": model});
            Tokenizer::from_json(&json.to_string(), Path::new("t")).unwrap()
        };
        let unigram = |fallback: bool| {
            let mut vocab = vec![json!(["<unk>", 0.0]), json!(["a", -1.0])];
            if fallback {
                vocab.extend((0..=255).map(|byte| json!([format!("<0x{byte:02X}>"), -9.0])));
            }
            with(json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": fallback}))
        };
        assert!(no_token(&unigram(false)).contains("no token for \"é\""), "{}", no_token(&unigram(false)));
        assert_eq!(unigram(true).encode("aé").unwrap(), [1, 2 + 0xC3, 2 + 0xA9]);
        let characters = with(json!({"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}));
        assert!(no_token(&characters).contains("no token for \"é\""), "{}", no_token(&characters));
        assert_eq!(characters.encode("aba").unwrap(), [0, 1, 0]);
        assert!(!characters.to_json().unwrap().contains("absent"));
        let bytes = byte_level(&["a", "b", "Ã", "©"], &[], &[]);
        assert_eq!(bytes.encode("aéa").unwrap(), [0, 2, 3, 0]);
    }

    #[test]
    fn an_invalid_tokenizer_json_is_an_error_that_names_the_file() {
        let message = Tokenizer::from_json("{", Path::new("some/tokenizer.json")).unwrap_err().to_string();
        assert!(message.starts_with("some/tokenizer.json is not a valid tokenizer.json"), "{message}");
    }

    #[test]
    fn a_tokenizer_json_that_is_cut_off_anywhere_is_an_error() {
        let plain = byte_level(&["<s>", "a", "b", "ab"], &["a b"], &["<s>"]).to_json().unwrap();
        let whole = plain.trim_end();
        for end in 0..whole.len() {
            let cut = whole.get(..end).unwrap_or_default();
            assert!(Tokenizer::from_json(cut, Path::new("t")).is_err(), "{cut}");
        }
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let result = guarded::<()>(|| panic!("at {}", "a table"));
        assert_eq!(result.unwrap_err().to_string(), "the tokenizer library panicked: at a table");
    }
}
