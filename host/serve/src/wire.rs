//! The bodies of requests and answers.

use std::collections::BTreeMap;

use alft_runtime::data::{AnsweredQuestion, AnsweredQuestions};
use alft_runtime::record::ScoreLine;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::refusal::Refusal;

/// The completions of a phrasing: the size of a group that an estimator has tables for is bounded too.
const MOST_COMPLETIONS: usize = 1 << 16;

/// Questions with completions. Phrasings of one question have the same `bundle`.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Questions {
    #[schema(value_type = Vec<Asked>)]
    questions: Vec<Box<RawValue>>,
    /// Steps of the client's training that are done; scheduled weights of plugins depend on them.
    #[serde(default)]
    pub(crate) step: u64,
}

/// A question with its completions. Further keys are its metadata, which plugins see.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "questions are read key by key; this is their shape for the documentation")]
pub(crate) struct Asked {
    /// The question's name, a text or a number; by default its place in the list, from 1.
    id: Option<String>,
    /// Phrasings of one question have the same text here.
    bundle: Option<String>,
    prompt: String,
    /// The right answer, a text or a number.
    gold: Option<String>,
    completions: Vec<String>,
}

/// The answer: a result for each question, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Results<'a> {
    #[schema(value_type = Vec<Scored>)]
    results: Vec<&'a ScoreLine>,
}

/// The scores of a question, with an entry for each completion.
#[derive(Debug, ToSchema)]
#[allow(dead_code, reason = "the runtime writes it; this is its shape for the documentation")]
pub(crate) struct Scored {
    id: String,
    /// The keys of the answers; null where none can be read, `{"failure": …}` where a plugin failed.
    answers: Vec<Option<String>>,
    /// By plugin, its unweighted scores.
    #[schema(value_type = std::collections::HashMap<String, Vec<Option<f64>>>)]
    scores: (),
    /// Weighted sums; null where a plugin failed.
    rewards: Vec<Option<f64>>,
    advantages: Vec<Option<f64>>,
}

/// The state of a run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunStatus {
    pub(crate) run: String,
    /// Requests that were answered.
    pub(crate) steps: u64,
    /// Questions whose target is remembered.
    pub(crate) questions: usize,
    /// The prices of constraints, by plugin.
    pub(crate) multipliers: BTreeMap<String, f64>,
}

/// Reads a body as JSON.
pub(crate) fn parse<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    // To serde a list is an object without its keys.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err(Refusal::Unprocessable("the body is a list: write an object".into()));
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refusal::Unprocessable(format!("the body cannot be read: {error}")),
        _ => Refusal::BadRequest(format!("the body is no JSON: {error}")),
    })
}

impl Questions {
    /// The questions with their completions.
    pub(crate) fn answered(&self) -> Result<Vec<AnsweredQuestion>, Refusal> {
        if self.questions.is_empty() {
            return Err(Refusal::Unprocessable("`questions` is empty".into()));
        }
        let mut answered = AnsweredQuestions::default();
        for (place, json) in self.questions.iter().enumerate() {
            let wrong = |reason: String| Refusal::Unprocessable(format!("questions[{place}]: {reason}"));
            answered.add_json(json, || (place + 1).to_string()).map_err(wrong)?;
        }
        let answered = answered.into_questions();
        let many = answered
            .iter()
            .find(|answered| answered.completions.iter().map(Vec::len).sum::<usize>() > MOST_COMPLETIONS);
        match many {
            Some(many) => Err(Refusal::Unprocessable(format!(
                "question \"{}\" has more than {MOST_COMPLETIONS} completions",
                alft_text::Foreign::new(&many.question.id)
            ))),
            None => Ok(answered),
        }
    }
}

/// Writes the answer, in the order in which the questions came: phrasings of one bundle need not stand together.
pub(crate) fn results(questions: &[AnsweredQuestion], lines: &[ScoreLine]) -> String {
    let places = questions.iter().flat_map(|question| &question.places);
    let in_order: BTreeMap<&usize, &ScoreLine> = places.zip(lines).collect();
    serde_json::to_string(&Results { results: in_order.into_values().collect() }).expect("scores are plain data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_is_named_with_its_place() {
        let status = |body: &str| {
            let questions = parse::<Questions>(body.as_bytes()).and_then(|questions| questions.answered());
            let refusal = questions.unwrap_err();
            (refusal.status().as_u16(), format!("{refusal:?}"))
        };
        for (body, expected, words) in [
            ("{\"questions\": [", 400, "EOF"),
            ("\u{0}", 400, "no JSON"),
            ("[]", 422, "the body is a list: write an object"),
            ("{}", 422, "missing field `questions`"),
            ("{\"questions\": [], \"stp\": 1}", 422, "unknown field `stp`"),
            ("{\"questions\": []}", 422, "`questions` is empty"),
            ("{\"questions\": [1]}", 422, "questions[0]: "),
            ("{\"questions\": [{\"prompt\": \"a\"}]}", 422, "questions[0]: the line has no `completions`"),
            ("{\"questions\": [{\"prompt\": \"a\", \"completions\": []}]}", 422, "`completions` is empty"),
            ("{\"questions\": [{\"prompt\": \"a\", \"completions\": [1]}]}", 422, "expected a string"),
            ("{\"questions\": [{\"prompt\": \"a\", \"completions\": [\"\\ud800\"]}]}", 422, "questions[0]"),
        ] {
            let (status, text) = status(body);
            assert_eq!(status, expected, "{body}: {text}");
            assert!(text.contains(words), "{body}: {text}");
        }
        let deep = format!("{{\"questions\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(status(&deep).0 >= 400);
    }
}
