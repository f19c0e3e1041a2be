//! Byte-level BPE, which the format calls `gpt2`.

use alft_text::Foreign;
use candle_core::quantized::gguf_file::Value as Stored;
use serde_json::{Value, json};

use super::{
    metadata::{Metadata, string},
    pre_tokenizer,
    vocabulary::{Parts, Vocabulary, finish},
};
use crate::error::Result;

/// The value of `tokenizer.ggml.model`.
pub(super) const MODEL: &str = "gpt2";

/// Reads the merges and the rule by which text is split.
pub(super) fn read(metadata: &Metadata<'_>, vocabulary: &Vocabulary<'_>) -> Result<Parts> {
    let name = metadata.optional("tokenizer.ggml.pre", string)?.unwrap_or("default");
    let rule = pre_tokenizer::named(name).ok_or_else(|| {
        let known = pre_tokenizer::names();
        metadata.wrong(format!(
            "the pre-tokenizer `{name}` in `tokenizer.ggml.pre` is not supported; supported are {known}; load the \
             model's Hugging Face folder, which has a tokenizer.json",
            name = Foreign::new(&name)
        ))
    })?;
    let merges = metadata.list("tokenizer.ggml.merges", |value| {
        // A space within a token would be the letter Ġ.
        let (left, right) = string(value)?.split_once(' ')?;
        Some((left.to_owned(), right.to_owned()))
    })?;
    let merges = merges.ok_or_else(|| metadata.wrong("there is no `tokenizer.ggml.merges` in the metadata"))?;
    Ok(Parts {
        model: finish(vocabulary.bpe(str::to_owned, merges).ignore_merges(rule.whole_words))?,
        normalizer: rule.normalizer(),
        pre_tokenizer: rule.pre_tokenizer(),
        decoder: json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}),
        begins: rule.begins,
    })
}

/// Returns the metadata of a `tokenizer.json` with these merges. An error is the reason why the format has no names for it.
pub(super) fn write(json: &Value, merges: &[(&str, &str)]) -> Result<Vec<(String, Stored)>, String> {
    let rule = pre_tokenizer::of_tokenizer(json)
        .ok_or("its tokenizer normalises or splits text by a rule that the format has no name for")?;
    let merges = merges.iter().map(|(left, right)| Stored::String(format!("{left} {right}"))).collect();
    let text = |text: &str| Stored::String(text.to_owned());
    Ok(vec![
        ("tokenizer.ggml.model".to_owned(), text(MODEL)),
        ("tokenizer.ggml.pre".to_owned(), text(rule.names.first().copied().unwrap_or_default())),
        ("tokenizer.ggml.merges".to_owned(), Stored::Array(merges)),
    ])
}
