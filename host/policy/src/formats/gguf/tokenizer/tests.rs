//! Tokenizers that are read, written and refused.

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
    let error = error.unwrap_err();
    assert!(matches!(error, Error::Content { .. }), "the file is named: {error}");
    assert!(error.to_string().contains("the tokenizer failed to read its merges"), "{error}");
    let twice = open("byte-level.gguf", |values| {
        let Some(Stored::Array(tokens)) = values.get_mut("tokenizer.ggml.tokens") else { panic!() };
        tokens[5] = tokens[6].clone();
    });
    assert!(twice.unwrap_err().to_string().contains("twice"));
}
