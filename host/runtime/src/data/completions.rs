//! Files of stored completions: questions with the completions of some policy.

use std::path::Path;

use alft_policy::Completion;
use alft_sdk::Prompt;
use alft_text::Foreign;

use super::lines::read_lines;
use super::object::Object;
use super::questions::Question;
use crate::error::{Error, Result};

/// A question and the completions of each of its phrasings.
#[derive(Debug, Clone)]
pub struct AnsweredQuestion {
    /// The question.
    pub question: Question,
    /// For each phrasing its completions.
    pub completions: Vec<Vec<Completion>>,
}

const SHAPE: &str = "a line is {\"prompt\": \"…\", \"completions\": [\"…\", …], \"gold\": \"…\"}; phrasings of one question \
                     have the same \"bundle\"";

/// Reads stored completions. Lines with the same `bundle` are phrasings of one question, in the file's order.
///
/// # Errors
/// The first line that is wrong, with its number and the shape of a right one.
pub fn read_completions(path: &Path) -> Result<Vec<AnsweredQuestion>> {
    let mut answered: Vec<AnsweredQuestion> = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    // The place of each bundle.
    let mut bundles = std::collections::BTreeMap::new();
    for (number, mut line) in read_lines::<Object>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        let missing = |key: &str, line: &Object| wrong(format!("the line has no `{key}`, but {}", line.names()));
        let text = line.take("prompt").map_err(wrong)?.ok_or_else(|| missing("prompt", &line))?;
        let completions: Option<Vec<String>> = line.take("completions").map_err(wrong)?;
        let completions = completions.ok_or_else(|| missing("completions", &line))?;
        if completions.is_empty() {
            return Err(wrong("`completions` is empty".into()));
        }
        let id = line.take_text("id").map_err(wrong)?.unwrap_or_else(|| number.to_string());
        if !ids.insert(id.clone()) {
            return Err(wrong(format!("the id \"{}\" is that of an earlier line", Foreign::new(&id))));
        }
        // Lines with the same bundle are phrasings of one question.
        let bundle = line.take_text("bundle").map_err(wrong)?.unwrap_or_else(|| id.clone());
        let gold = line.take_gold().map_err(wrong)?;
        let prompt = Prompt { id, text, gold, metadata: line.metadata() };
        let completion = |text| Completion { tokens: Vec::new(), log_probs: Vec::new(), text, finished: true };
        let completions: Vec<Completion> = completions.into_iter().map(completion).collect();
        match bundles.get(&bundle).and_then(|place: &usize| answered.get_mut(*place)) {
            Some(answered) => {
                answered.question.prompts.push(prompt);
                answered.question.history.push(Vec::new());
                answered.completions.push(completions);
            }
            None => {
                bundles.insert(bundle.clone(), answered.len());
                let question = Question::of_texts(bundle, vec![prompt]);
                answered.push(AnsweredQuestion { question, completions: vec![completions] });
            }
        }
    }
    Ok(answered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_bundle_are_one_question() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text = r#"{"id": "a", "bundle": "q", "prompt": "1+1=", "completions": ["2", "3"], "gold": 2}
{"prompt": "2+2=", "completions": ["4"]}
{"id": "b", "bundle": "q", "prompt": "add 1 and 1", "completions": ["2"], "gold": 2}"#;
        std::fs::write(file.path(), text).unwrap();
        let answered = read_completions(file.path()).unwrap();
        let shape: Vec<(&str, Vec<usize>)> =
            answered.iter().map(|a| (a.question.id.as_str(), a.completions.iter().map(Vec::len).collect())).collect();
        assert_eq!(shape, [("q", vec![2, 1]), ("2", vec![1])]);
        assert_eq!(answered[0].question.prompts[1].gold.as_deref(), Some("2"));
    }

    #[test]
    fn a_line_without_completions_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"prompt": "x", "completions": []}"#).unwrap();
        assert!(matches!(read_completions(file.path()), Err(Error::DataLine { line: 1, .. })));
    }
}
