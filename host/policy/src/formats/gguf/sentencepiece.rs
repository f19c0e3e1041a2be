//! BPE of SentencePiece, which the format calls `llama`: of all neighbours those are merged whose merged piece has the
//! highest score. Text that no piece has is written in bytes.
//!
//! As in the Python library transformers, every way to divide a piece into two is a merge, and the merges are in the order
//! of their pieces' scores.

use std::collections::{HashMap, HashSet};

use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::{Value, json};

use super::{
    metadata::{Metadata, boolean, float, string, token},
    vocabulary::{Kind, Parts, Vocabulary, finish},
};
use crate::error::Result;

/// The value of `tokenizer.ggml.model`.
pub(super) const MODEL: &str = "llama";

/// The character that stands for a space within a piece.
const SPACE: &str = "▁";

/// Reads the scores and the treatment of spaces.
pub(super) fn read(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Parts> {
    let gemma = metadata.require("general.architecture", string)?.starts_with("gemma");
    let spell = |text: &str| match gemma && text.chars().all(|character| character == ' ') {
        // Gemma's runs of spaces are stored as spaces, because they are matched before text is split elsewhere.
        true => text.replace(' ', SPACE),
        false => text.to_owned(),
    };
    let spelled: Vec<(String, Kind)> = vocabulary.tokens.iter().map(|(text, kind)| (spell(text), *kind)).collect();
    let scores = match gemma {
        // The order of Gemma's merges is that of its tokens.
        true => (0..spelled.len()).map(|id| -(id as f64)).collect(),
        false => metadata.list("tokenizer.ggml.scores", float)?.unwrap_or_default(),
    };
    if scores.len() != spelled.len() {
        let reason = "`tokenizer.ggml.scores` must have an entry for every token";
        return Err(metadata.wrong(format!("{reason}; there are {} for {}", scores.len(), spelled.len())));
    }
    let merges = merges(&spelled, &scores).into_iter().map(|(l, r)| (l.to_owned(), r.to_owned())).collect();
    let mut bpe = vocabulary.bpe(spell, merges).byte_fallback(true).fuse_unk(true);
    let unknown = metadata.optional("tokenizer.ggml.unknown_token_id", token)?.and_then(|id| vocabulary.token(id));
    if let Some(unknown) = unknown.or(vocabulary.of_kind(&[Kind::Unknown]).next()) {
        bpe = bpe.unk_token(unknown.to_owned());
    }
    let prefixed = metadata.optional("tokenizer.ggml.add_space_prefix", boolean)?.unwrap_or(true);
    let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": SPACE});
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": SPACE}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if prefixed {
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    Ok(Parts {
        model: finish(bpe)?,
        normalizer: match prefixed {
            true => json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": SPACE}, spaces]}),
            false => spaces,
        },
        pre_tokenizer: Value::Null,
        decoder: json!({"type": "Sequence", "decoders": decoders}),
        begins: true,
    })
}

/// Returns the merges of pieces with these scores, the first one first.
fn merges<'v>(tokens: &'v [(String, Kind)], scores: &[f64]) -> Vec<(&'v str, &'v str)> {
    // Text has no special tokens and no bytes, so nothing is merged into one.
    let is_piece = |kind| matches!(kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
    let pieces = || tokens.iter().enumerate().filter(|(_, (text, kind))| is_piece(*kind) && !text.is_empty());
    let ids: HashMap<&str, usize> = pieces().map(|(id, (text, _))| (text.as_str(), id)).collect();
    let mut found = Vec::new();
    for (id, (text, _)) in pieces() {
        let from = found.len();
        for (length, (at, _)) in text.char_indices().enumerate().skip(1) {
            let (left, right) = text.split_at(at);
            if let (Some(left_id), Some(right_id)) = (ids.get(left), ids.get(right)) {
                found.push((id, length, (*left_id, *right_id), (left, right)));
            }
        }
        found[from..].sort_by_key(|(_, _, ids, _)| *ids);
    }
    // The merges of one piece begin with those that have the longest left part.
    found.sort_by(|a, b| scores[b.0].total_cmp(&scores[a.0]).then(b.1.cmp(&a.1)));
    found.into_iter().map(|(.., merge)| merge).collect()
}

/// Returns the metadata of a `tokenizer.json` with these tokens and merges. An error is the reason why the format has no
/// names for it.
pub(super) fn write(
    json: &Value,
    tokens: &[(String, Kind)],
    given: &[(&str, &str)],
) -> Result<Vec<(String, Stored)>, String> {
    let prefixed = is_prefixed(json).ok_or("its tokenizer treats spaces by a rule that the format has no name for")?;
    // A piece's score is the place of its first merge. Pieces that no merge makes are single characters.
    let mut places: HashMap<String, usize> = HashMap::new();
    for (left, right) in given {
        let next = places.len() + 1;
        places.entry(format!("{left}{right}")).or_insert(next);
    }
    let scores: Vec<f64> = tokens.iter().map(|(text, _)| -(places.get(text).copied().unwrap_or(0) as f64)).collect();
    let from_scores: HashSet<(&str, &str)> = merges(tokens, &scores).into_iter().collect();
    if from_scores != given.iter().copied().collect() {
        return Err("its tokenizer's merges are not those of scores, as in the format".to_owned());
    }
    let text = |text: &str| Stored::String(text.to_owned());
    Ok(vec![
        ("tokenizer.ggml.model".to_owned(), text(MODEL)),
        ("tokenizer.ggml.pre".to_owned(), text("default")),
        ("tokenizer.ggml.scores".to_owned(), Stored::Array(scores.iter().map(|s| Stored::F32(*s as f32)).collect())),
        ("tokenizer.ggml.add_space_prefix".to_owned(), Stored::Bool(prefixed)),
    ])
}

/// Returns true if a `tokenizer.json` puts a space before text, and false if it does not. `None` if it does anything else.
fn is_prefixed(json: &Value) -> Option<bool> {
    let (normalizer, pre_tokenizer) = (&json["normalizer"], &json["pre_tokenizer"]);
    let spaces = |step: &Value| {
        step["type"] == "Replace" && step["pattern"] == json!({"String": " "}) && step["content"] == SPACE
    };
    // Without spaces in the text a division at spaces does nothing.
    let undivided = pre_tokenizer.is_null() || pre_tokenizer["pattern"] == json!({"String": " "});
    match normalizer["type"].as_str() {
        Some("Replace") if spaces(normalizer) && undivided => Some(false),
        Some("Sequence") if undivided => match normalizer["normalizers"].as_array()?.as_slice() {
            [step] if spaces(step) => Some(false),
            [prepend, step] if prepend["type"] == "Prepend" && prepend["prepend"] == SPACE && spaces(step) => {
                Some(true)
            }
            _ => None,
        },
        None if pre_tokenizer["type"] == "Metaspace" && pre_tokenizer["split"] == false => {
            match pre_tokenizer["prepend_scheme"].as_str() {
                Some("always") | None => Some(true),
                Some("never") => Some(false),
                // The format has no name for a space at the beginning of the whole text alone.
                Some(_) => None,
            }
        }
        _ => None,
    }
}
