//! Files of questions and of worked examples: JSON lines, one bundle or example a line.

use std::path::Path;

use alft_sdk::Prompt;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Phrasings of one question.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) prompts: Vec<Prompt>,
}

/// A prompt and what the policy should learn to write.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Worked {
    pub(crate) prompt: String,
    pub(crate) completion: String,
}

/// A line of a questions file. What it says besides becomes the prompts' metadata.
#[derive(Debug, Deserialize)]
struct Line {
    id: Option<String>,
    prompt: Option<String>,
    prompts: Option<Vec<String>>,
    #[serde(alias = "reference")]
    gold: Option<Gold>,
    #[serde(flatten)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// Data sets write answers as text or as numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Gold {
    Text(String),
    Number(serde_json::Number),
}

const SHAPE: &str = "a line is {\"id\": …, \"prompts\": [\"…\", …], \"gold\": \"…\"}, or has one \"prompt\"";

/// Reads questions. Ids default to the line's number and must differ.
pub(crate) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::<Asked>::new();
    let mut ids = std::collections::HashMap::new();
    for (number, line) in lines::<Line>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        let texts = match (line.prompt, line.prompts) {
            (Some(one), None) => vec![one],
            (None, Some(many)) if !many.is_empty() => many,
            (None, Some(_)) => return Err(wrong("`prompts` is empty".into())),
            (Some(_), Some(_)) => return Err(wrong("it has both `prompt` and `prompts`".into())),
            (None, None) => return Err(wrong("it has no `prompt` or `prompts`".into())),
        };
        if let Some(at) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(wrong(format!("prompt {} is empty", at + 1)));
        }
        let id = line.id.unwrap_or_else(|| number.to_string());
        if let Some(before) = ids.insert(id.clone(), number) {
            return Err(wrong(format!("its id \"{id}\" is that of line {before}")));
        }
        let gold = line.gold.map(|gold| match gold {
            Gold::Text(text) => text,
            Gold::Number(number) => number.to_string(),
        });
        let metadata = serde_json::Value::Object(line.metadata).to_string();
        let alone = texts.len() == 1;
        let prompt = |(at, text)| Prompt {
            id: if alone { id.clone() } else { format!("{id}/{at}") },
            text,
            gold: gold.clone(),
            metadata: metadata.clone(),
        };
        asked.push(Asked { prompts: texts.into_iter().enumerate().map(prompt).collect(), id });
    }
    Ok(asked)
}

/// Reads worked examples.
pub(crate) fn read_worked(path: &Path) -> Result<Vec<Worked>> {
    let lines = lines(path, "a line is {\"prompt\": \"…\", \"completion\": \"…\"}")?;
    Ok(lines.into_iter().map(|(_, worked)| worked).collect())
}

/// The lines of a file that are not blank, with their numbers from 1.
pub(crate) fn lines<T: DeserializeOwned>(path: &Path, help: &'static str) -> Result<Vec<(usize, T)>> {
    let bytes = std::fs::read(path).map_err(|error| Error::Data { path: path.into(), reason: error.to_string() })?;
    let wrong = |line: usize, reason: String| Error::DataLine { path: path.into(), line, reason, help };
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(line, "it is not UTF-8".into())
    })?;
    let mut out = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        out.push((at + 1, serde_json::from_str(line).map_err(|error| wrong(at + 1, in_line(&error)))?));
    }
    if out.is_empty() {
        return Err(Error::Data { path: path.into(), reason: "it holds no line".into() });
    }
    Ok(out)
}

/// What is wrong with a line, and at which column: to serde it is line 1.
fn in_line(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(what) => format!("{what} (column {})", error.column()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn phrasings_share_their_gold_answer_and_metadata() {
        let text = br#"{"id": "q", "prompts": ["1+1=", "one and one"], "gold": 2, "level": "easy"}

{"prompt": "2+2="}"#;
        let asked = read(file(text).path()).unwrap();
        assert_eq!(asked[0].prompts[1].id, "q/1");
        assert_eq!(asked[0].prompts[1].gold.as_deref(), Some("2"));
        assert_eq!(asked[0].prompts[1].metadata, r#"{"level":"easy"}"#);
        assert_eq!((asked[1].id.as_str(), asked[1].prompts[0].id.as_str()), ("3", "3"));
    }

    #[test]
    fn a_broken_line_is_named() {
        for (text, line, what) in [
            (&b"{\"prompt\": \"a\"}\n{\"prompt\": "[..], 2, "EOF"),
            (b"{\"prompts\": []}", 1, "empty"),
            (b"{\"prompt\": \"\"}", 1, "empty"),
            (b"{\"question\": \"a\"}", 1, "no `prompt`"),
            (b"{\"id\": \"x\", \"prompt\": \"a\"}\n{\"id\": \"x\", \"prompt\": \"b\"}", 2, "line 1"),
            (b"{\"prompt\": \"a\"}\n\xff\n", 2, "UTF-8"),
        ] {
            match read(file(text).path()).unwrap_err() {
                Error::DataLine { line: found, reason, .. } => {
                    assert_eq!(found, line, "{reason}");
                    assert!(reason.contains(what), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(read(file(b"\n\n").path()), Err(Error::Data { .. })));
    }
}
