//! The rules by which a byte-level BPE splits text into words, under the format's names for them.
//!
//! Sources: llama.cpp's `llama-vocab.cpp`, and where it departs from the `tokenizer.json` of the first model of a kind, that.

use serde_json::{Value, json};

/// A rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PreTokenizer {
    /// The values of `tokenizer.ggml.pre`; the first one is written.
    pub(super) names: &'static [&'static str],
    /// Regular expressions, each of which divides the pieces that the one before left: into its matches, and what is between.
    splits: &'static [&'static str],
    /// True if text is composed first (NFC).
    composes: bool,
    /// True if a word that is in the vocabulary is one token, whatever the merges.
    pub(super) whole_words: bool,
    /// True if a text begins with the beginning-of-sequence token, unless the file says otherwise.
    pub(super) begins: bool,
}

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const SEED_CODER: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|\s*[\r\n]+|\s+(?!\S)|\s+";

const PLAIN: PreTokenizer =
    PreTokenizer { names: &[], splits: &[], composes: false, whole_words: false, begins: false };

const ALL: [PreTokenizer; 14] = [
    PreTokenizer {
        names: &["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
        splits: &[LLAMA3],
        whole_words: true,
        begins: true,
        ..PLAIN
    },
    PreTokenizer { names: &["smaug-bpe", "dbrx"], splits: &[LLAMA3], ..PLAIN },
    PreTokenizer { names: &["qwen2"], splits: &[QWEN2], composes: true, ..PLAIN },
    PreTokenizer {
        names: &["deepseek-r1-qwen", "kormo", "f2llmv2", "megrez", "stablelm2", "hunyuan"],
        splits: &[QWEN2],
        ..PLAIN
    },
    PreTokenizer {
        names: &["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"],
        splits: &[r"\p{N}", GPT2],
        ..PLAIN
    },
    PreTokenizer {
        names: &["gpt-2", "phi-2", "mpt", "olmo", "jais", "trillion", "gigachat", "a.x-4.0", "mellum", "exaone4"],
        splits: &[GPT2],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-llm"],
        splits: &[
            r"[\r\n]",
            r"\s?[A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-\x{1F7D}ᾀ-ᾴᾶ-ᾼ\x{1FBE}ῂ-ῄῆ-ῌῐ-\x{1FD3}ῖ-\x{1FDB}ῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤ\x{2126}ℨ\x{212A}-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃]+",
            r"\s?[!-/:-~！-／：-～‘-‟　-。]+",
            r"\s+$",
            r"[一-龥ࠀ-一가-퟿]+",
            r"\p{N}+",
        ],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-coder"],
        splits: &[r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", r"\p{N}"],
        ..PLAIN
    },
    PreTokenizer {
        names: &["deepseek-v3", "hunyuan-dense"],
        splits: &[
            r"\p{N}{1,3}",
            r"[一-龥぀-ゟ゠-ヿ]+",
            r##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"##,
        ],
        ..PLAIN
    },
    PreTokenizer { names: &["tekken"], splits: &[TEKKEN], whole_words: true, begins: true, ..PLAIN },
    PreTokenizer { names: &["gpt-4o", "llama4", "kanana2", "talkie"], splits: &[GPT4O], ..PLAIN },
    PreTokenizer { names: &["seed-coder"], splits: &[SEED_CODER], ..PLAIN },
    PreTokenizer { names: &["falcon"], splits: &[r"[\p{P}\$\+<=>\^~\|`]+", GPT2, r"[0-9][0-9][0-9]"], ..PLAIN },
    PreTokenizer {
        names: &["default"],
        splits: &[r"[\p{P}\$\+<=>\^~\|]+", GPT2, r"\p{N}+", r"[0-9][0-9][0-9]"],
        ..PLAIN
    },
];

/// Returns the rule of this name.
pub(super) fn named(name: &str) -> Option<&'static PreTokenizer> {
    ALL.iter().find(|rule| rule.names.contains(&name))
}

/// Returns every name.
pub(super) fn names() -> String {
    ALL.iter().flat_map(|rule| rule.names).copied().collect::<Vec<_>>().join(", ")
}

/// Returns the rule of a `tokenizer.json`, if the format has a name for it.
pub(super) fn of_tokenizer(json: &Value) -> Option<&'static PreTokenizer> {
    let composes = match json["normalizer"]["type"].as_str() {
        None => false,
        Some("NFC") => true,
        Some("Sequence") if json["normalizer"]["normalizers"].as_array().is_some_and(Vec::is_empty) => false,
        Some(_) => return None,
    };
    let splits = splits(&json["pre_tokenizer"])?;
    let whole_words = json["model"]["ignore_merges"].as_bool().unwrap_or(false);
    ALL.iter().find(|rule| rule.splits == splits && rule.composes == composes && rule.whole_words == whole_words)
}

/// Returns the regular expressions of a pre-tokenizer that splits by some, and ends with bytes.
fn splits(pre_tokenizer: &Value) -> Option<Vec<&str>> {
    let steps = match pre_tokenizer["type"].as_str()? {
        "Sequence" => pre_tokenizer["pretokenizers"].as_array()?.as_slice(),
        _ => std::slice::from_ref(pre_tokenizer),
    };
    let (bytes, before) = steps.split_last()?;
    if bytes["type"] != "ByteLevel" || bytes["add_prefix_space"] != false {
        return None;
    }
    let mut splits = Vec::new();
    for step in before {
        splits.push(match step["type"].as_str()? {
            "Digits" if step["individual_digits"] == true => r"\p{N}",
            "Split" if step["behavior"] == "Isolated" && step["invert"] == false => {
                step["pattern"]["Regex"].as_str()?
            }
            _ => return None,
        });
    }
    // A step without this key, of the first versions, splits too.
    splits.extend((bytes["use_regex"] != false).then_some(GPT2));
    Some(splits)
}

impl PreTokenizer {
    /// Returns the normaliser of a `tokenizer.json`.
    pub(super) fn normalizer(&self) -> Value {
        if self.composes { json!({"type": "NFC"}) } else { Value::Null }
    }

    /// Returns the pre-tokenizer of a `tokenizer.json`.
    pub(super) fn pre_tokenizer(&self) -> Value {
        // The last step has the expression of GPT-2 built in.
        let splits = self.splits.strip_suffix(&[GPT2]).unwrap_or(self.splits);
        let mut steps: Vec<Value> = splits
            .iter()
            .map(|split| json!({"type": "Split", "pattern": {"Regex": split}, "behavior": "Isolated", "invert": false}))
            .collect();
        let use_regex = splits.len() < self.splits.len();
        steps.push(
            json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex}),
        );
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_is_found_by_its_names_and_by_its_tokenizer() {
        for rule in &ALL {
            let json = json!({
                "normalizer": rule.normalizer(),
                "pre_tokenizer": rule.pre_tokenizer(),
                "model": {"ignore_merges": rule.whole_words},
            });
            assert_eq!(of_tokenizer(&json), Some(rule));
            assert!(rule.names.iter().all(|name| named(name) == Some(rule)));
        }
        // The tokenizers of SmolLM and of GPT-2 as their makers write them.
        let digits = json!({"type": "Digits", "individual_digits": true});
        let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
        let smollm = json!({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, bytes]}});
        assert_eq!(of_tokenizer(&smollm).unwrap().names[0], "smollm");
        assert_eq!(of_tokenizer(&json!({"pre_tokenizer": bytes})).unwrap().names[0], "gpt-2");
        assert_eq!(of_tokenizer(&json!({"pre_tokenizer": {"type": "Whitespace"}})), None);
        assert_eq!(of_tokenizer(&json!({"normalizer": {"type": "Lowercase"}, "pre_tokenizer": bytes})), None);
        assert_eq!(named("unheard-of"), None);
    }
}
