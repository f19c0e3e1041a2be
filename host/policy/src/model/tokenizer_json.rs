//! The text of a `tokenizer.json`: the keys that are off, and the growth of texts that it asks for.

use alft_text::Foreign;
use serde_json::Value;

use super::json_text;

/// Times that a tokenizer may make a text longer. Tokenizers of models stay below 600: three bytes in the place of a space, and
/// up to two tables of Unicode's compatibility forms, the longest of which have 33 bytes.
const MOST_GROWTH: f64 = 1000.0;

/// Bytes that a tokenizer may add to a text of any length.
const MOST_ADDED: f64 = 65_536.0;

/// Returns the text with `truncation`, `padding` and the model's `dropout`, which are off, as null. The rest is as it came.
pub(crate) fn with_keys_off(text: &str) -> String {
    let whole = json_text::members(text);
    let model = whole.get("model").map(|model| json_text::members(model)).unwrap_or_default();
    let values = [whole.get("truncation"), whole.get("padding"), model.get("dropout")];
    let changes: Vec<(&str, &str)> = values.into_iter().flatten().map(|value| (*value, "null")).collect();
    json_text::with_values(text, &changes)
}

/// The length that a text of `n` bytes has at most after some steps: `times · n + more`.
#[derive(Clone, Copy)]
struct Growth {
    times: f64,
    more: f64,
}

/// Returns the fault of a `tokenizer.json` that makes texts far longer, whose texts would fill the memory.
pub(crate) fn excessive_growth(tokenizer: &Value) -> Option<String> {
    ["normalizer", "decoder"].into_iter().find_map(|key| {
        let mut growth = Growth { times: 1.0, more: 0.0 };
        let worst = grow(&tokenizer[key], &mut growth);
        (growth.times > MOST_GROWTH || growth.more > MOST_ADDED).then(|| {
            format!(
                "`{key}` can make a text {} times as long, and add {} bytes ({}); at most {MOST_GROWTH} times and {MOST_ADDED} bytes \
                 are allowed",
                growth.times,
                growth.more,
                Foreign::new(worst.unwrap_or_default())
            )
        })
    })
}

/// Adds the growth by a normalizer or decoder. Returns the type of the step that adds most.
fn grow<'v>(step: &'v Value, growth: &mut Growth) -> Option<&'v str> {
    let text = |value: &Value| value.as_str().map_or(0, str::len) as f64;
    let kind = step["type"].as_str();
    let (times, more) = match kind {
        Some("Sequence") => {
            let steps = ["normalizers", "decoders"].into_iter().filter_map(|key| step[key].as_array()).flatten();
            let mut worst: Option<(f64, &str)> = None;
            for step in steps {
                let before = *growth;
                let kind = grow(step, growth);
                let by = growth.times / before.times + growth.more - before.more;
                if let Some(kind) = kind.filter(|_| worst.is_none_or(|(most, _)| by > most)) {
                    worst = Some((by, kind));
                }
            }
            return worst.map(|(_, kind)| kind);
        }
        Some("Replace") => {
            let content = text(&step["content"]);
            let (pattern, regex) = (text(&step["pattern"]["String"]), step["pattern"]["Regex"].as_str());
            match regex {
                // The content stands before each byte, and at the end.
                Some(regex) if !consumes(regex) => (1.0 + content, content),
                None if pattern == 0.0 => (1.0 + content, content),
                Some(_) => (content.max(1.0), 0.0),
                None => ((content / pattern).max(1.0), 0.0),
            }
        }
        Some("Prepend") => (1.0, text(&step["prepend"])),
        Some("Metaspace") => (3.0, 3.0),
        Some("NFKC" | "NFKD") => (11.0, 0.0),
        Some("NFC" | "NFD" | "BertNormalizer") => (3.0, 0.0),
        Some("Lowercase") => (1.5, 0.0),
        Some("ByteLevel") => (2.0, 0.0),
        Some("Precompiled") => (step["precompiled_charsmap"].as_str().map_or(1.0, longest_form), 0.0),
        _ => (1.0, 0.0),
    };
    growth.times *= times;
    growth.more = growth.more * times + more;
    kind
}

/// Returns true if every match of a regular expression surely has a character: a class, a letter or an escaped one with no way
/// around it.
fn consumes(regex: &str) -> bool {
    let ways_around = ["*", "?", "|", "{0", "{,", "^", "$", "\\b", "\\B", "\\A", "\\z", "\\Z", "\\G", "\\K", "()"];
    !regex.is_empty() && !ways_around.iter().any(|way| regex.contains(way))
}

/// Returns the bytes of the longest form in a table of SentencePiece, which is in base 64: the size of a trie, the trie, and the
/// forms, each with a zero at its end.
fn longest_form(table: &str) -> f64 {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut bits, mut count) = (Vec::with_capacity(table.len() / 4 * 3), 0u32, 0);
    for digit in table.bytes().filter_map(|byte| DIGITS.iter().position(|digit| *digit == byte)) {
        (bits, count) = (bits << 6 | digit as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    let size = bytes.first_chunk().map_or(0, |size| u32::from_le_bytes(*size) as usize);
    let forms = bytes.get(size.saturating_add(4)..).unwrap_or_default();
    forms.split(|byte| *byte == 0).map(<[u8]>::len).max().unwrap_or(0).max(1) as f64
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_that_are_off_are_null_and_the_rest_is_as_it_came() {
        let text = "{\"version\" : \"1.0\",\n \"padding\":{\"pad_id\": 4 , \"x\":[{}]},\"z\": 1e400, \"truncation\":  {\"max_length\":2},\
                    \"model\":{\"type\":\"BPE\", \"dropout\": 0.95,\"vocab\":{\"\\u0061\":0}}, \"own\":12345678901234567890123}\r\n";
        let off = "{\"version\" : \"1.0\",\n \"padding\":null,\"z\": 1e400, \"truncation\":  null,\
                   \"model\":{\"type\":\"BPE\", \"dropout\": null,\"vocab\":{\"\\u0061\":0}}, \"own\":12345678901234567890123}\r\n";
        assert_eq!(with_keys_off(text), off);
        assert_eq!(with_keys_off(off), off);
    }

    #[test]
    fn a_tokenizer_that_makes_texts_far_longer_is_refused() {
        let replace =
            |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
        let sequence = |steps: Vec<Value>| json!({"type": "Sequence", "normalizers": steps});
        let fault = |normalizer: Value| excessive_growth(&json!({"normalizer": normalizer, "decoder": null}));
        let eight = vec![replace(json!({"String": "1"}), "11111111"); 8];
        for normalizer in [
            replace(json!({"Regex": ""}), &"1".repeat(100_000)),
            sequence(eight.clone()),
            sequence(vec![replace(json!({"Regex": "x*"}), "xxx"); 5]),
            replace(json!({"String": "a"}), &"b".repeat(2000)),
            json!({"type": "Prepend", "prepend": "a".repeat(100_000)}),
        ] {
            let fault = fault(normalizer).unwrap();
            assert!(fault.starts_with("`normalizer` can make a text "), "{fault}");
        }
        let decoder = json!({"normalizer": null, "decoder": {"type": "Sequence", "decoders": eight}});
        assert!(excessive_growth(&decoder).unwrap().starts_with("`decoder` can"));
        for normalizer in [
            Value::Null,
            sequence(vec![
                json!({"type": "Prepend", "prepend": "▁"}),
                replace(json!({"String": " "}), "▁"),
                json!({"type": "NFKC"}),
                replace(json!({"Regex": " {2,}"}), " "),
            ]),
            sequence(vec![replace(json!({"Regex": "\\s+"}), " "); 12]),
        ] {
            assert_eq!(fault(normalizer), None);
        }
    }

    #[test]
    fn the_longest_form_of_a_table_bounds_its_growth() {
        // A trie of four bytes, and the forms "ab" and "abcdef".
        assert_eq!(longest_form("BAAAAAAAAABhYgBhYmNkZWYA"), 6.0);
        assert_eq!(longest_form(""), 1.0);
    }
}
