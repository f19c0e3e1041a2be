//! The tokenizer of a file, read and written.

use alft_text::Foreign;
use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::{Value, json};
use tokenizers::AddedToken;

use super::{
    byte_level,
    config::END_TOKENS,
    metadata::{Metadata, boolean, string, token},
    sentencepiece,
    vocabulary::{Kind, Vocabulary, placeholder},
};
use crate::{
    error::{Error, Result},
    model::tokenizer::Tokenizer,
    policy::Policy,
};

/// Reads the tokenizer.
pub(super) fn read(metadata: &Metadata<'_>) -> Result<Tokenizer> {
    build(metadata).map_err(|error| match error {
        Error::Tokenizer { action, source } => {
            metadata.wrong(format!("the tokenizer failed to {action}: {}", Foreign::new(&source.to_string())))
        }
        error => error,
    })
}

fn build(metadata: &Metadata<'_>) -> Result<Tokenizer> {
    let vocabulary = Vocabulary::read(metadata)?;
    let parts = match metadata.require("tokenizer.ggml.model", string)? {
        byte_level::MODEL => byte_level::read(metadata, &vocabulary)?,
        sentencepiece::MODEL => sentencepiece::read(metadata, &vocabulary)?,
        other => {
            return Err(metadata.wrong(format!(
                "the tokenizer `{other}` in `tokenizer.ggml.model` is not supported; supported are gpt2 and llama; load \
                 the model's Hugging Face folder, which has a tokenizer.json", other = Foreign::new(&other))));
        }
    };
    let begins = metadata.optional("tokenizer.ggml.add_bos_token", boolean)?.unwrap_or(parts.begins);
    let bos = metadata.optional("tokenizer.ggml.bos_token_id", token)?.filter(|_| begins);
    let bos = bos.and_then(|id| Some((id, vocabulary.token(id)?)));
    let shell = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": parts.normalizer,
        "pre_tokenizer": parts.pre_tokenizer,
        "post_processor": bos.map(|(id, text)| beginning(id, text)),
        "decoder": parts.decoder,
        "model": {"type": "BPE", "vocab": {}, "merges": []},
    });
    let failed = |source| Error::Tokenizer { action: "be built from the metadata", source };
    let mut tokenizer = tokenizers::Tokenizer::from_bytes(shell.to_string()).map_err(failed)?;
    let unknown = parts.model.unk_token.clone();
    tokenizer.with_model(parts.model);
    let added = |kinds: &[Kind], special| -> Vec<AddedToken> {
        // A token whose spelling differs from its text is reached by merges alone.
        let texts = vocabulary.of_kind(kinds).filter(|text| tokenizer.token_to_id(text).is_some());
        texts.map(|text| AddedToken::from(text, special).normalized(false)).collect()
    };
    let (special, plain) = (added(&[Kind::Control, Kind::Unknown], true), added(&[Kind::UserDefined], false));
    tokenizer.add_special_tokens(special).map_err(failed)?;
    tokenizer.add_tokens(plain).map_err(failed)?;
    let unknown = unknown.and_then(|token| tokenizer.token_to_id(&token));
    Ok(Tokenizer::new(tokenizer, unknown))
}

/// Returns the post-processor of a `tokenizer.json` that puts a token before every text.
fn beginning(id: u32, text: &str) -> Value {
    let token = |type_id: u32| json!({"SpecialToken": {"id": text, "type_id": type_id}});
    let sequence = |name: &str, type_id: u32| json!({"Sequence": {"id": name, "type_id": type_id}});
    json!({
        "type": "TemplateProcessing",
        "single": [token(0), sequence("A", 0)],
        "pair": [token(0), sequence("A", 0), token(1), sequence("B", 1)],
        "special_tokens": {text: {"id": text, "ids": [id], "tokens": [text]}},
    })
}

/// Returns the metadata of a policy's tokenizer and of its chat template. An error is the reason why the format has no names
/// for it.
pub(super) fn write(policy: &Policy) -> Result<Vec<(String, Stored)>, String> {
    let json = policy.tokenizer.to_json().map_err(|error| error.to_string())?;
    let json: Value = serde_json::from_str(&json).map_err(|error| error.to_string())?;
    let model = &json["model"];
    let kind = model["type"].as_str().unwrap_or("unknown");
    let affixes = ["continuing_subword_prefix", "end_of_word_suffix"].map(|key| model[key].as_str().unwrap_or(""));
    if kind != "BPE" || affixes.iter().any(|affix| !affix.is_empty()) {
        return Err(format!("its tokenizer is not a BPE of bytes or of SentencePiece, but a {kind}"));
    }
    let merges: Option<Vec<(&str, &str)>> = model["merges"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|merge| match merge {
            Value::String(merge) => merge.split_once(' '),
            pair => Some((pair[0].as_str()?, pair[1].as_str()?)),
        })
        .collect();
    let merges = merges.ok_or("a merge of its tokenizer is not a pair of tokens")?;
    let pieces = model["byte_fallback"] == true;
    let tokens = tokens(&json, policy.config.vocab_size, pieces)?;
    let mut values = match pieces {
        true => sentencepiece::write(&json, &tokens, &merges)?,
        false => byte_level::write(&json, &merges)?,
    };
    let key = |name: &str| format!("tokenizer.{name}");
    // Tokens that are matched before text is split are stored as they are in the text.
    let stored = |(text, kind): &(String, Kind)| match kind {
        Kind::UserDefined if pieces => Stored::String(text.replace('▁', " ")),
        _ => Stored::String(text.clone()),
    };
    values.push((key("ggml.tokens"), Stored::Array(tokens.iter().map(stored).collect())));
    let kinds = tokens.iter().map(|(_, kind)| Stored::I32(*kind as i32)).collect();
    values.push((key("ggml.token_type"), Stored::Array(kinds)));
    let named = policy.companions.named_tokens();
    let named = |name: &str| named.get(name).and_then(|token| policy.tokenizer.token_id(token));
    let ends = END_TOKENS.into_iter().zip(&policy.config.eos_tokens).map(|(key, id)| (key.to_owned(), Some(*id)));
    let others = [
        (key("ggml.bos_token_id"), policy.config.bos_token.or(named("bos_token"))),
        (key("ggml.unknown_token_id"), named("unk_token")),
        (key("ggml.padding_token_id"), named("pad_token")),
    ];
    values.extend(ends.chain(others).filter_map(|(key, id)| Some((key, Stored::U32(id?)))));
    values.push((key("ggml.add_bos_token"), Stored::Bool(!policy.tokenizer.beginning().is_empty())));
    values.extend(policy.companions.chat_template().map(|template| (key("chat_template"), Stored::String(template))));
    Ok(values)
}

/// Returns the tokens of a `tokenizer.json` in the order of their ids, up to the number of rows of the embedding. Special tokens
/// without a row, which models of a family that read images have, are left out, as in llama.cpp.
fn tokens(json: &Value, rows: usize, pieces: bool) -> Result<Vec<(String, Kind)>, String> {
    let mut tokens: Vec<(String, Kind)> = (0..rows).map(|id| (placeholder(id), Kind::Unused)).collect();
    let mut set = |id: &Value, text: &str, kind| {
        let row = id.as_u64().and_then(|id| tokens.get_mut(usize::try_from(id).ok()?));
        let row = row.ok_or_else(|| format!("its tokenizer's token {text:?} has no row in the embedding"))?;
        *row = (text.to_owned(), kind);
        Ok::<_, String>(())
    };
    let unknown = json["model"]["unk_token"].as_str();
    for (text, id) in json["model"]["vocab"].as_object().into_iter().flatten() {
        let kind = match text.as_str() {
            byte if pieces && byte.len() == 6 && byte.starts_with("<0x") && byte.ends_with('>') => Kind::Byte,
            _ => Kind::Normal,
        };
        set(id, text, kind)?;
    }
    for added in json["added_tokens"].as_array().into_iter().flatten() {
        let text = added["content"].as_str().unwrap_or_default();
        let has_row = added["id"].as_u64().is_some_and(|id| id < rows as u64);
        if added["special"] == true && !has_row {
            continue;
        }
        let kind = match added["special"] == true {
            true if pieces && unknown == Some(text) => Kind::Unknown,
            true => Kind::Control,
            false => Kind::UserDefined,
        };
        set(&added["id"], text, kind)?;
    }
    Ok(tokens)
}

#[cfg(test)]
mod tests;
