//! Files of questions and of worked examples: JSON lines, one question or example a line.

use std::collections::HashMap;
use std::path::Path;

use alft_policy::Message;
use alft_sdk::Prompt;
use alft_text::Foreign;
use serde::Deserialize;
use serde_json::value::to_raw_value;

use super::lines::read_lines;
use super::object::Object;
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
                        Foreign::new(&last.role)
                    ));
                }
                (messages, last.content)
            }
        };
        if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok((history, text)) }
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
    for (number, mut line) in read_lines::<Object>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        let phrasings: Vec<Phrasing> =
            match (line.take("prompt").map_err(wrong)?, line.take::<Vec<_>>("prompts").map_err(wrong)?) {
                (Some(one), None) => vec![one],
                (None, Some(many)) if !many.is_empty() => many,
                (None, Some(_)) => return Err(wrong("`prompts` is empty".into())),
                (Some(_), Some(_)) => return Err(wrong("the line has both `prompt` and `prompts`".into())),
                (None, None) => {
                    return Err(wrong(format!("the line has no `prompt` or `prompts`, but {}", line.names())));
                }
            };
        let id = line.take_text("id").map_err(wrong)?.unwrap_or_else(|| number.to_string());
        let gold = line.take_gold().map_err(wrong)?;
        let single = phrasings.len() == 1;
        let (mut prompts, mut history) = (Vec::new(), Vec::new());
        for (place, phrasing) in phrasings.into_iter().enumerate() {
            let mut metadata = line.clone();
            if let Phrasing::Conversation(messages) = &phrasing {
                metadata.add(MESSAGES, to_raw_value(messages).expect("messages are plain data"));
            }
            let (before, text) =
                phrasing.into_parts().map_err(|reason| wrong(format!("prompt {} {reason}", place + 1)))?;
            let id = if single { id.clone() } else { format!("{id}/{place}") };
            if let Some(before) = ids.insert(id.clone(), number) {
                return Err(wrong(format!("the id \"{}\" is that of line {before}", Foreign::new(&id))));
            }
            prompts.push(Prompt { id, metadata: metadata.metadata(), text, gold: gold.clone() });
            history.push(before);
        }
        // Bundles and prompts are told apart by their ids everywhere.
        if !single && let Some(before) = ids.insert(id.clone(), number) {
            return Err(wrong(format!("the id \"{}\" is that of line {before}", Foreign::new(&id))));
        }
        questions.push(Question { id, prompts, history });
    }
    Ok(questions)
}

/// Reads worked examples, with the numbers of their lines.
///
/// # Errors
/// The first line that is no example, with its number and the shape of a right one.
pub fn read_examples(path: &Path) -> Result<Vec<(usize, SftExample)>> {
    read_lines(path, "a line is {\"prompt\": \"…\", \"completion\": \"…\"}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

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
    fn ids_may_be_numbers_and_a_file_may_begin_with_a_mark() {
        let questions =
            read_questions(file("\u{feff}{\"id\": 17, \"prompt\": \"1+1=\"}\r\n".as_bytes()).path()).unwrap();
        assert_eq!(questions[0].id, "17");
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
            (
                b"{\"id\": \"a\", \"prompts\": [\"a\", \"b\"]}\n{\"id\": \"a/0\", \"prompt\": \"b\"}",
                2,
                "\"a/0\" is that of line 1",
            ),
            (b"{\"id\": [1], \"prompt\": \"a\"}", 1, "`id` must be a text or a number"),
            (b"{\"prompt\": \"a\", \"gold\": [\"b\"]}", 1, "`gold` must be a text or a number, and not a list"),
            (b"{\"prompt\": \"a\"}\n\xff\n", 2, "UTF-8"),
            (b"[{\"prompt\": \"a\"}]", 1, "one object a line"),
            (b"\n \n[{\"prompt\": \"a\"}]", 3, "one object a line"),
            (b"{\"prompt\": \"a\"}\r{\"prompt\": \"b\"}\r", 1, "end in CR alone"),
            (b"\x1f\x8b\x08", 0, "gzip"),
            (b"PAR1\x15", 0, "Parquet"),
            (b"version https://git-lfs.github.com/spec/v1\n", 0, "Git LFS"),
            (b"\xff\xfe{\0", 0, "UTF-16"),
            (b"<!DOCTYPE html>", 0, "HTML"),
        ] {
            match read_questions(file(text).path()).unwrap_err() {
                Error::DataLine { line: found, reason, .. } => {
                    assert_eq!(found, line, "{reason}");
                    assert!(reason.contains(expected), "{reason}");
                }
                Error::Data { reason, .. } if line == 0 => assert!(reason.contains(expected), "{reason}"),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(read_questions(file(b"\n\n").path()), Err(Error::Data { .. })));
    }
}
