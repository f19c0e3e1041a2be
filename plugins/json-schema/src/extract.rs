//! The JSON value of a completion. The first of these that is there is taken, and it must be JSON as a whole:
//!
//! 1. what the configured tags enclose, or what follows the configured marker;
//! 2. the last fenced block that is marked as JSON or not marked at all;
//! 3. the whole completion;
//! 4. unless the reader is strict, the last object or array in the text.

use alft_sdk::answer::{Places, between, visible};
use serde_json::Value;

/// Most bytes of a text without fences that a value is looked for in. Every bracket can begin a value, which is read down to
/// the parser's limit of depth, so a byte can be read as often as that.
const SEARCHED: usize = 100_000;

/// Words before a value that make it no answer.
const NEGATIONS: [&str; 7] = ["not", "never", "isn't", "isn’t", "n't", "n’t", "neither"];

/// Returns the value of a completion, or `None` if it has none.
pub(crate) fn value(completion: &str, places: Places<'_>) -> Option<Value> {
    let text = visible(completion);
    // Not by the place of a text: a box in a value is a part of it.
    if let Some([open, close]) = places.tags {
        return whole(between(text, open, close)?.0);
    }
    if let Some(marker) = places.marker {
        return whole(text.rsplit_once(marker)?.1);
    }
    if let Some(block) = last_block(text) {
        return serde_json::from_str(block).ok();
    }
    serde_json::from_str(text).ok().or_else(|| if places.strict { None } else { last_value(text) })
}

/// Returns the value that a text is, with or without a fence around it.
fn whole(text: &str) -> Option<Value> {
    serde_json::from_str(last_block(text).unwrap_or(text)).ok()
}

/// Returns the content of the last fenced block for JSON. A fence that is not closed ends with the text.
fn last_block(text: &str) -> Option<&str> {
    let mut last = None;
    // The block that is open: its content's begin, if it is for JSON.
    let mut open: Option<Option<usize>> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.len();
        if let Some(info) = line.trim_start().strip_prefix("```") {
            match open.take() {
                Some(begin) => last = begin.map(|begin| &text[begin..at]).or(last),
                None => {
                    let info = info.trim();
                    // A block on one line: ```{"a": 1}```
                    if let Some(content) = info.strip_suffix("```") {
                        last = Some(content.trim_start_matches("json"));
                    } else {
                        let is_json = info.is_empty() || info.eq_ignore_ascii_case("json");
                        open = Some(is_json.then_some(end));
                    }
                }
            }
        }
        at = end;
    }
    open.flatten().map(|begin| &text[begin..]).or(last)
}

/// Returns the last object or array of a text that is in no other one; `None` if its line has a "not" before it, or if one is
/// nested more deeply than the parser allows: a value within it is not the answer.
fn last_value(text: &str) -> Option<Value> {
    if text.len() > SEARCHED {
        return None;
    }
    let mut last = None;
    let mut at = 0;
    while let Some(next) = text[at..].find(['{', '[']) {
        at += next;
        let mut values = serde_json::Deserializer::from_str(&text[at..]).into_iter::<Value>();
        at += match values.next() {
            Some(Ok(value)) => {
                last = Some((at, value));
                values.byte_offset()
            }
            Some(Err(error)) if error.to_string().starts_with("recursion limit") => return None,
            _ => 1,
        };
    }
    let (begin, value) = last?;
    let before = text[..begin].rsplit('\n').next().unwrap_or("");
    let mut words = before.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’')));
    let negated = words.any(|word| NEGATIONS.iter().any(|negation| word.eq_ignore_ascii_case(negation)));
    (!negated).then_some(value)
}
