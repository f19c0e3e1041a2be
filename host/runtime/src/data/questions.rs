//! Files of questions and of worked examples: JSON lines, one question or example a line.

use std::collections::HashMap;
use std::path::Path;

use alft_sdk::Prompt;
use serde::Deserialize;

use super::lines::read_lines;
use crate::error::{Error, Result};

/// A question in one or several phrasings: the bundle that objectives see.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question's name in its file.
    pub id: String,
    /// The phrasings. They share the gold answer and the metadata.
    pub prompts: Vec<Prompt>,
}

/// A worked example: a prompt and the completion that the policy should learn to write.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SftExample {
    /// The question, without the template around it.
    pub prompt: String,
    /// The completion, without an end-of-sequence token.
    pub completion: String,
}

/// A line of a questions file. Other fields become the prompts' metadata.
#[derive(Debug, Deserialize)]
struct Line {
    id: Option<String>,
    prompt: Option<String>,
    prompts: Option<Vec<String>>,
    /// `reference` is the name in other tools' files.
    #[serde(alias = "reference")]
    gold: Option<Gold>,
    #[serde(flatten)]
    metadata: serde_json::Map<String, serde_json::Value>,
}

/// Data sets write answers as text or as numbers.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Gold {
    Text(String),
    Number(serde_json::Number),
}

pub(super) fn gold_text(gold: Gold) -> String {
    match gold {
        Gold::Text(text) => text,
        Gold::Number(number) => number.to_string(),
    }
}

const SHAPE: &str = "a line is {\"id\": …, \"prompts\": [\"…\", …], \"gold\": \"…\"}, or has one \"prompt\"";

/// Reads questions. An id defaults to the line's number; ids must differ.
///
/// # Errors
/// The first line that is no question, with its number and the shape of a right one.
pub fn read_questions(path: &Path) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let mut ids = HashMap::new();
    for (number, line) in read_lines::<Line>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        let texts = match (line.prompt, line.prompts) {
            (Some(one), None) => vec![one],
            (None, Some(many)) if !many.is_empty() => many,
            (None, Some(_)) => return Err(wrong("`prompts` is empty".into())),
            (Some(_), Some(_)) => return Err(wrong("the line has both `prompt` and `prompts`".into())),
            (None, None) => return Err(wrong("the line has no `prompt` or `prompts`".into())),
        };
        if let Some(empty) = texts.iter().position(|text| text.trim().is_empty()) {
            return Err(wrong(format!("prompt {} is empty", empty + 1)));
        }
        let id = line.id.unwrap_or_else(|| number.to_string());
        if let Some(before) = ids.insert(id.clone(), number) {
            return Err(wrong(format!("the id \"{id}\" is that of line {before}")));
        }
        let gold = line.gold.map(gold_text);
        let metadata = serde_json::Value::Object(line.metadata).to_string();
        let single = texts.len() == 1;
        let prompt = |(phrasing, text)| Prompt {
            id: if single { id.clone() } else { format!("{id}/{phrasing}") },
            text,
            gold: gold.clone(),
            metadata: metadata.clone(),
        };
        questions.push(Question { prompts: texts.into_iter().enumerate().map(prompt).collect(), id });
    }
    Ok(questions)
}

/// Reads worked examples.
///
/// # Errors
/// The first line that is no example, with its number and the shape of a right one.
pub fn read_examples(path: &Path) -> Result<Vec<SftExample>> {
    let lines = read_lines(path, "a line is {\"prompt\": \"…\", \"completion\": \"…\"}")?;
    Ok(lines.into_iter().map(|(_, example)| example).collect())
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
        let questions = read_questions(file(text).path()).unwrap();
        assert_eq!(questions[0].prompts[1].id, "q/1");
        assert_eq!(questions[0].prompts[1].gold.as_deref(), Some("2"));
        assert_eq!(questions[0].prompts[1].metadata, r#"{"level":"easy"}"#);
        assert_eq!((questions[1].id.as_str(), questions[1].prompts[0].id.as_str()), ("3", "3"));
    }

    #[test]
    fn reference_is_another_name_of_gold() {
        let questions = read_questions(file(br#"{"prompt": "1+1=", "reference": "2"}"#).path()).unwrap();
        assert_eq!(questions[0].prompts[0].gold.as_deref(), Some("2"));
    }

    #[test]
    fn a_broken_line_is_named() {
        for (text, line, expected) in [
            (&b"{\"prompt\": \"a\"}\n{\"prompt\": "[..], 2, "EOF"),
            (b"{\"prompts\": []}", 1, "empty"),
            (b"{\"prompt\": \"\"}", 1, "empty"),
            (b"{\"question\": \"a\"}", 1, "no `prompt`"),
            (b"{\"id\": \"x\", \"prompt\": \"a\"}\n{\"id\": \"x\", \"prompt\": \"b\"}", 2, "line 1"),
            (b"{\"prompt\": \"a\"}\n\xff\n", 2, "UTF-8"),
        ] {
            match read_questions(file(text).path()).unwrap_err() {
                Error::DataLine { line: found, reason, .. } => {
                    assert_eq!(found, line, "{reason}");
                    assert!(reason.contains(expected), "{reason}");
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(read_questions(file(b"\n\n").path()), Err(Error::Data { .. })));
    }
}
