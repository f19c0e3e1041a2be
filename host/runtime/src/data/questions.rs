//! Files of questions and of worked examples: JSON lines, one question or example a line.

use std::collections::HashMap;
use std::path::Path;

use alft_policy::Message;
use alft_sdk::Prompt;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::lines::read_lines;
use crate::error::{Error, Result};

/// A question in one or several phrasings: the bundle that objectives see.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// The question's name in its file.
    pub id: String,
    /// The phrasings. They share the gold answer and the metadata.
    pub prompts: Vec<Prompt>,
    /// For each phrasing, the messages of its conversation before the last one, which is the prompt's text. Empty for a
    /// phrasing that is a text.
    pub history: Vec<Vec<Message>>,
}

impl Question {
    /// A question whose phrasings are texts.
    pub fn of_texts(id: String, prompts: Vec<Prompt>) -> Self {
        Self { id, history: vec![Vec::new(); prompts.len()], prompts }
    }

    /// The phrasings, each after the messages before it.
    pub fn phrasings(&self) -> impl Iterator<Item = (&[Message], &Prompt)> {
        self.history.iter().map(Vec::as_slice).zip(&self.prompts)
    }
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
    prompt: Option<Phrasing>,
    prompts: Option<Vec<Phrasing>>,
    /// `reference` is the name in other tools' files.
    #[serde(alias = "reference")]
    gold: Option<Gold>,
    #[serde(flatten)]
    metadata: Map<String, Value>,
}

/// A phrasing in a questions file.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a prompt is a text, or a list of messages {\"role\": \"…\", \"content\": \"…\"}")]
enum Phrasing {
    Text(String),
    Conversation(Vec<Message>),
}

/// The key of a conversation in the metadata that plugins see.
const MESSAGES: &str = "messages";

impl Phrasing {
    /// Returns the messages before the last one, and the text of the last one.
    fn into_parts(self) -> Result<(Vec<Message>, String), String> {
        let (history, text) = match self {
            Self::Text(text) => (Vec::new(), text),
            Self::Conversation(mut messages) => {
                let last = messages.pop().ok_or("has no messages")?;
                if last.role != "user" {
                    return Err(format!(
                        "ends with a message of the role \"{}\"; the last must be of the user",
                        last.role
                    ));
                }
                (messages, last.content)
            }
        };
        if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok((history, text)) }
    }
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

const SHAPE: &str = "a line is {\"id\": …, \"prompts\": [\"…\", …], \"gold\": \"…\"}, or has one \"prompt\"; a prompt is a \
                     text, or a list of messages that ends with the user's";

/// Reads questions. An id defaults to the line's number; ids must differ.
///
/// # Errors
/// The first line that is no question, with its number and the shape of a right one.
pub fn read_questions(path: &Path) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    let mut ids = HashMap::new();
    for (number, line) in read_lines::<Line>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        let phrasings = match (line.prompt, line.prompts) {
            (Some(one), None) => vec![one],
            (None, Some(many)) if !many.is_empty() => many,
            (None, Some(_)) => return Err(wrong("`prompts` is empty".into())),
            (Some(_), Some(_)) => return Err(wrong("the line has both `prompt` and `prompts`".into())),
            (None, None) => return Err(wrong("the line has no `prompt` or `prompts`".into())),
        };
        let id = line.id.unwrap_or_else(|| number.to_string());
        if let Some(before) = ids.insert(id.clone(), number) {
            return Err(wrong(format!("the id \"{id}\" is that of line {before}")));
        }
        let gold = line.gold.map(gold_text);
        let single = phrasings.len() == 1;
        let (mut prompts, mut history) = (Vec::new(), Vec::new());
        for (number, phrasing) in phrasings.into_iter().enumerate() {
            let messages = match &phrasing {
                Phrasing::Text(_) => None,
                Phrasing::Conversation(messages) => Some(json!(messages)),
            };
            let (before, text) =
                phrasing.into_parts().map_err(|reason| wrong(format!("prompt {} {reason}", number + 1)))?;
            prompts.push(Prompt {
                id: if single { id.clone() } else { format!("{id}/{number}") },
                metadata: metadata(&line.metadata, messages),
                text,
                gold: gold.clone(),
            });
            history.push(before);
        }
        questions.push(Question { id, prompts, history });
    }
    Ok(questions)
}

/// Returns the metadata that plugins see: that of the line, and the messages of a phrasing that is a conversation.
fn metadata(line: &Map<String, Value>, messages: Option<Value>) -> String {
    let mut metadata = line.clone();
    if let Some(messages) = messages {
        metadata.entry(MESSAGES).or_insert(messages);
    }
    Value::Object(metadata).to_string()
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
    fn a_conversation_ends_with_the_question() {
        let text = br#"{"id": "q", "prompts": ["1+1=", [{"role": "system", "content": "Add."}, {"role": "user", "content": "1 1"}]]}"#;
        let questions = read_questions(file(text).path()).unwrap();
        let [(none, first), (before, second)] = questions[0].phrasings().collect::<Vec<_>>()[..] else { panic!() };
        assert_eq!((none, first.text.as_str(), first.metadata.as_str()), (&[][..], "1+1=", "{}"));
        assert_eq!((before, second.text.as_str()), (&[Message::new("system", "Add.")][..], "1 1"));
        let metadata: Value = serde_json::from_str(&second.metadata).unwrap();
        assert_eq!(metadata[MESSAGES][1], json!({"role": "user", "content": "1 1"}));
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
            (b"{\"prompt\": []}", 1, "no messages"),
            (b"{\"prompt\": [{\"role\": \"user\", \"text\": \"a\"}]}", 1, "or a list of messages"),
            (b"{\"prompt\": [{\"role\": \"system\", \"content\": \"a\"}]}", 1, "of the role \"system\""),
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
