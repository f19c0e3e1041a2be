//! The tokenizer of a file, read and written.

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
    let vocabulary = Vocabulary::read(metadata)?;
    let parts = match metadata.require("tokenizer.ggml.model", string)? {
        byte_level::MODEL => byte_level::read(metadata, &vocabulary)?,
        sentencepiece::MODEL => sentencepiece::read(metadata, &vocabulary)?,
        other => {
            return Err(metadata.wrong(format!(
                "the tokenizer `{other}` in `tokenizer.ggml.model` is not supported; supported are gpt2 and llama; load \
                 the model's Hugging Face folder, which has a tokenizer.json"
            )));
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
mod tests {
    use std::{collections::BTreeMap, fs::File, path::PathBuf};

    use candle_core::quantized::gguf_file::Content;
    use serde::Deserialize;

    use super::*;

    /// The tokens of texts by transformers, tokenizers and SentencePiece; see tests/data/gguf.py.
    #[derive(Deserialize)]
    struct Expected {
        texts: Vec<String>,
        #[serde(rename = "byte-level")]
        byte_level: BTreeMap<String, Vec<Vec<u32>>>,
        sentencepiece: Vec<Option<Vec<u32>>>,
        gemma: Vec<Vec<u32>>,
        /// Random tokens, special ones among them, with their text.
        decoded: BTreeMap<String, Vec<(Vec<u32>, String)>>,
    }

    fn data() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/gguf")
    }

    fn expected() -> Expected {
        serde_json::from_str(&std::fs::read_to_string(data().join("tokenizers.json")).unwrap()).unwrap()
    }

    /// Reads the tokenizer of a file whose metadata is changed first.
    fn open(name: &str, change: impl FnOnce(&mut std::collections::HashMap<String, Stored>)) -> Result<Tokenizer> {
        let path = data().join(name);
        let mut values = Content::read(&mut File::open(&path).unwrap()).unwrap().metadata;
        change(&mut values);
        read(&Metadata { path: &path, values: &values })
    }

    /// Returns the tokenizer as it is after a model folder was written and read.
    fn saved(tokenizer: &Tokenizer) -> Tokenizer {
        Tokenizer::from_json(&tokenizer.to_json().unwrap(), std::path::Path::new("tokenizer.json")).unwrap()
    }

    #[test]
    fn a_byte_level_tokenizer_of_each_kind_gives_the_tokens_of_its_makers() {
        let Expected { texts, byte_level, .. } = expected();
        assert_eq!(byte_level.len(), 14);
        for (kind, expected) in byte_level {
            let set = |values: &mut std::collections::HashMap<_, _>| {
                values.insert("tokenizer.ggml.pre".to_owned(), Stored::String(kind.clone()));
            };
            let tokenizer = open("byte-level.gguf", set).unwrap();
            for tokenizer in [&tokenizer, &saved(&tokenizer)] {
                for (text, expected) in texts.iter().zip(&expected) {
                    assert_eq!(tokenizer.encode(text).unwrap(), *expected, "{kind}: {text:?}");
                }
                let begins = ["llama-bpe", "tekken"].contains(&kind.as_str());
                assert_eq!(tokenizer.beginning(), if begins { &[0_u32][..] } else { &[] }, "{kind}");
            }
            assert_eq!(tokenizer.decode(&tokenizer.encode(&texts[4]).unwrap()).unwrap(), texts[4]);
        }
    }

    #[test]
    fn tokenizers_of_sentencepiece_give_the_tokens_of_their_makers() {
        let Expected { texts, sentencepiece, gemma, .. } = expected();
        let tokenizer = open("sentencepiece.gguf", |_| ()).unwrap();
        for (text, expected) in texts.iter().zip(&sentencepiece) {
            let Some(expected) = expected else { continue };
            assert_eq!(tokenizer.encode(text).unwrap(), *expected, "{text:?}");
            assert_eq!(saved(&tokenizer).encode_whole(text).unwrap(), [&[1], &expected[..]].concat(), "{text:?}");
            assert_eq!(tokenizer.decode(expected).unwrap(), *text);
        }
        let ids = tokenizer.encode("<s>a</s>").unwrap();
        assert!(ids.len() >= 3 && ids[0] == 1 && ids[ids.len() - 1] == 2, "{ids:?}");
        let tokenizer = open("gemma.gguf", |_| ()).unwrap();
        for (text, expected) in texts.iter().zip(&gemma) {
            assert_eq!(tokenizer.encode(text).unwrap(), *expected, "{text:?}");
            assert_eq!(saved(&tokenizer).encode(text).unwrap(), *expected, "{text:?}");
        }
    }

    #[test]
    fn tokens_of_sentencepiece_have_the_text_that_transformers_gives_also_around_special_tokens() {
        for (name, cases) in expected().decoded {
            let tokenizer = open(&format!("{name}.gguf"), |_| ()).unwrap();
            for (ids, text) in &cases {
                assert_eq!(tokenizer.decode(ids).unwrap(), *text, "{name}: {ids:?}");
                assert_eq!(saved(&tokenizer).decode(ids).unwrap(), *text, "{name}: {ids:?}");
            }
        }
    }

    #[test]
    fn text_of_sentencepiece_has_no_spaces_of_its_own_around_a_hidden_special_token() {
        for name in ["sentencepiece.gguf", "gemma.gguf"] {
            let tokenizer = open(name, |_| ()).unwrap();
            for text in ["a</s>b", "</s>", "<s>The players</s>\n and <s></s> the SAME", "  <s> two  ", "ä<unk>Ä"] {
                let ids = tokenizer.encode(&tokenizer.as_text(text)).unwrap();
                assert!(ids.iter().all(|id| *id > 2), "{name}: {text:?} has a special token");
                assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{name}");
                let saved = saved(&tokenizer);
                assert_eq!(saved.encode(&saved.as_text(text)).unwrap(), ids, "{name}: {text:?}");
            }
            // Real marks around hidden ones are still marks.
            let text = format!("<s>a{}</s>", tokenizer.as_text("</s>b"));
            let ids = tokenizer.encode(&text).unwrap();
            assert_eq!((ids.first(), ids.last()), (Some(&1), Some(&2)), "{name}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), "a</s>b", "{name}");
        }
    }

    #[test]
    fn a_tokenizer_that_is_written_is_read_back() {
        let Expected { texts, .. } = expected();
        let files = [("byte-level.gguf", "llama"), ("sentencepiece.gguf", "llama"), ("gemma.gguf", "gemma3")];
        for (name, architecture) in files {
            let mut policy = Policy::tiny(1, &candle_core::Device::Cpu).unwrap();
            policy.tokenizer = open(name, |_| ()).unwrap();
            policy.config.vocab_size = 500;
            policy.config.bos_token = policy.tokenizer.beginning().first().copied();
            policy.config.eos_tokens = vec![3, 1, 2, 4];
            let mut values: std::collections::HashMap<_, _> = write(&policy).unwrap().into_iter().collect();
            values.insert("general.architecture".to_owned(), Stored::String(architecture.to_owned()));
            let metadata = Metadata { path: std::path::Path::new(name), values: &values };
            let again = read(&metadata).unwrap();
            for text in &texts {
                assert_eq!(again.encode(text).unwrap(), policy.encode(text).unwrap(), "{name}: {text:?}");
            }
            assert_eq!(again.beginning(), policy.tokenizer.beginning());
            let end = |key: &str| metadata.require(key, token).unwrap();
            assert_eq!(END_TOKENS.map(end), [3, 1, 2]);
        }
    }

    #[test]
    fn a_tokenizer_without_a_name_in_the_format_is_refused() {
        let refused = |name: &str, change: &dyn Fn(&mut Value)| {
            let mut policy = Policy::tiny(1, &candle_core::Device::Cpu).unwrap();
            policy.config.vocab_size = 500;
            let tokenizer = open(name, |_| ()).unwrap();
            let mut json: Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
            change(&mut json);
            policy.tokenizer = Tokenizer::from_json(&json.to_string(), std::path::Path::new("t")).unwrap();
            write(&policy).unwrap_err()
        };
        assert!(refused("byte-level.gguf", &|json| json["normalizer"] = json!({"type": "NFKC"})).contains("a rule"));
        let digits = json!({"type": "Digits", "individual_digits": false});
        let splits =
            |json: &mut Value| json["pre_tokenizer"]["pretokenizers"].as_array_mut().unwrap().insert(0, digits.clone());
        assert!(refused("byte-level.gguf", &splits).contains("a rule"));
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "_"});
        assert!(refused("sentencepiece.gguf", &|json| json["normalizer"] = spaces.clone()).contains("spaces"));
        let fewer = |json: &mut Value| drop(json["model"]["merges"].as_array_mut().unwrap().remove(9));
        assert!(refused("sentencepiece.gguf", &fewer).contains("merges are not those of scores"));
        let suffix = |json: &mut Value| json["model"]["end_of_word_suffix"] = json!("</w>");
        assert!(refused("byte-level.gguf", &suffix).contains("a BPE of bytes"));
    }

    #[test]
    fn a_special_token_without_a_row_is_left_out() {
        let with = |special: bool| {
            let added = json!({"id": 2, "content": "<image>", "special": special});
            tokens(&json!({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [added]}), 2, false)
        };
        assert_eq!(with(true).unwrap(), [("a".to_owned(), Kind::Normal), ("b".to_owned(), Kind::Normal)]);
        assert!(with(false).unwrap_err().contains("\"<image>\" has no row"));
    }

    #[test]
    fn the_metadata_decides_about_the_beginning() {
        let set = |begins| {
            open("byte-level.gguf", move |values| {
                values.insert("tokenizer.ggml.add_bos_token".to_owned(), Stored::Bool(begins));
            })
        };
        assert_eq!(set(true).unwrap().beginning(), [0]);
        assert!(set(false).unwrap().beginning().is_empty());
    }

    #[test]
    fn a_vocabulary_that_is_not_supported_is_refused_by_name() {
        let set = |key: &str, value: Stored| {
            let refused = open("byte-level.gguf", |values| drop(values.insert(format!("tokenizer.ggml.{key}"), value)));
            refused.unwrap_err().to_string()
        };
        let text = |text: &str| Stored::String(text.to_owned());
        assert!(set("pre", text("kimi-k2")).contains("the pre-tokenizer `kimi-k2` in `tokenizer.ggml.pre`"));
        assert!(set("model", text("t5")).contains("the tokenizer `t5` in `tokenizer.ggml.model`"));
        assert!(set("model", text("llama")).contains("`tokenizer.ggml.scores` must have an entry for every token"));
        assert!(set("merges", Stored::Array(vec![text("ab")])).contains("`tokenizer.ggml.merges` in the metadata"));
        assert!(set("tokens", Stored::Array(vec![text("a"); 2])).contains("`tokenizer.ggml.token_type`"));
        let error = open("byte-level.gguf", |values| {
            drop(values.insert("tokenizer.ggml.merges".to_owned(), Stored::Array(vec![text("nowhere else")])));
        });
        assert!(matches!(error.unwrap_err(), Error::Tokenizer { .. }));
        let twice = open("byte-level.gguf", |values| {
            let Some(Stored::Array(tokens)) = values.get_mut("tokenizer.ggml.tokens") else { panic!() };
            tokens[5] = tokens[6].clone();
        });
        assert!(twice.unwrap_err().to_string().contains("twice"));
    }
}
