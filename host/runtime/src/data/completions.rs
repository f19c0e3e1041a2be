//! Files of stored completions: questions with the completions of some policy.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alft_policy::Completion;
use alft_sdk::Prompt;
use alft_text::Foreign;
use serde_json::value::RawValue;

use super::lines::read_lines;
use super::object::Object;
use super::questions::Question;
use crate::error::{Error, Result};
use crate::rollout::{Group, Rollout};

/// A question and the completions of each of its phrasings.
#[derive(Debug, Clone)]
pub struct AnsweredQuestion {
    /// The question.
    pub question: Question,
    /// For each phrasing its completions.
    pub completions: Vec<Vec<Completion>>,
    /// For each phrasing its place among those that were read, from 0.
    pub places: Vec<usize>,
}

/// Questions with completions, from one JSON object for each phrasing. Phrasings of one question have the same `bundle`.
#[derive(Debug, Default)]
pub struct AnsweredQuestions {
    questions: Vec<AnsweredQuestion>,
    ids: BTreeSet<String>,
    /// The place of each bundle.
    bundles: BTreeMap<String, usize>,
}

const SHAPE: &str = "a line is {\"prompt\": \"…\", \"completions\": [\"…\", …], \"gold\": \"…\"}; phrasings of one question \
                     have the same \"bundle\"";

/// Reads stored completions. Lines with the same `bundle` are phrasings of one question, in the file's order.
///
/// # Errors
/// The first line that is wrong, with its number and the shape of a right one.
pub fn read_completions(path: &Path) -> Result<Vec<AnsweredQuestion>> {
    let mut answered = AnsweredQuestions::default();
    for (number, line) in read_lines::<Object>(path, SHAPE)? {
        let wrong = |reason: String| Error::DataLine { path: path.into(), line: number, reason, help: SHAPE };
        answered.add(line, || number.to_string()).map_err(wrong)?;
    }
    Ok(answered.into_questions())
}

impl AnsweredQuestions {
    /// Adds a phrasing with its completions, from the JSON of a line of [`read_completions`]. `default_id` makes the id of one
    /// that has none.
    ///
    /// # Errors
    /// The key that is missing or wrong.
    pub fn add_json(&mut self, json: &RawValue, default_id: impl FnOnce() -> String) -> Result<(), String> {
        let object = serde_json::from_str(json.get()).map_err(|error| {
            let text = error.to_string();
            text.split(" at line ").next().unwrap_or(&text).to_owned()
        })?;
        self.add(object, default_id)
    }

    /// The questions, in the order of their first phrasings.
    pub fn into_questions(self) -> Vec<AnsweredQuestion> {
        self.questions
    }

    fn add(&mut self, mut line: Object, default_id: impl FnOnce() -> String) -> Result<(), String> {
        let missing = |key: &str, line: &Object| format!("the line has no `{key}`, but {}", line.names());
        let text = line.take("prompt")?.ok_or_else(|| missing("prompt", &line))?;
        let completions: Option<Vec<String>> = line.take("completions")?;
        let completions = completions.ok_or_else(|| missing("completions", &line))?;
        if completions.is_empty() {
            return Err("`completions` is empty".into());
        }
        let id = line.take_text("id")?.unwrap_or_else(default_id);
        let place = self.ids.len();
        if !self.ids.insert(id.clone()) {
            return Err(format!("the id \"{}\" is that of an earlier line", Foreign::new(&id)));
        }
        let bundle = line.take_text("bundle")?.unwrap_or_else(|| id.clone());
        let gold = line.take_gold()?;
        let prompt = Prompt { id, text, gold, metadata: line.metadata() };
        let completion = |text| Completion { tokens: Vec::new(), log_probs: Vec::new(), text, finished: true };
        let completions: Vec<Completion> = completions.into_iter().map(completion).collect();
        match self.bundles.get(&bundle).and_then(|place: &usize| self.questions.get_mut(*place)) {
            Some(answered) => {
                answered.question.prompts.push(prompt);
                answered.question.history.push(Vec::new());
                answered.completions.push(completions);
                answered.places.push(place);
            }
            None => {
                self.bundles.insert(bundle.clone(), self.questions.len());
                let question = Question::of_texts(bundle, vec![prompt]);
                self.questions.push(AnsweredQuestion { question, completions: vec![completions], places: vec![place] });
            }
        }
        Ok(())
    }
}

impl AnsweredQuestion {
    /// The samples that the plugins are asked about.
    pub fn rollout(&self) -> Rollout<'_> {
        let phrasings = self.question.prompts.iter().zip(&self.completions);
        let groups = phrasings.map(|(prompt, completions)| Group::new(prompt, Vec::new(), completions.clone()));
        Rollout { question: &self.question, groups: groups.collect() }
    }

    /// Returns the sample sizes that estimates of this question are made for: those of its groups, and that of all together.
    pub fn sample_sizes(&self) -> impl Iterator<Item = u32> {
        let groups = self.completions.iter().map(Vec::len);
        groups.clone().chain([groups.sum()]).filter(|size| *size > 1).map(|size| size as u32)
    }
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
        assert_eq!(answered.iter().map(|a| a.places.clone()).collect::<Vec<_>>(), [vec![0, 2], vec![1]]);
        assert_eq!(answered[0].question.prompts[1].gold.as_deref(), Some("2"));
    }

    #[test]
    fn a_line_without_completions_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), r#"{"prompt": "x", "completions": []}"#).unwrap();
        assert!(matches!(read_completions(file.path()), Err(Error::DataLine { line: 1, .. })));
    }
}
