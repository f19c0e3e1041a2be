//! The verifier as an Extism plugin.

#[path = "../../verifier/src/overlap.rs"]
mod overlap;

use extism_pdk::{FnResult, Json, plugin_fn};

/// What an alft verifier is given for a question.
#[derive(serde::Deserialize)]
pub struct Question {
    gold: String,
    answers: Vec<String>,
}

/// A score for each answer of each question.
#[plugin_fn]
pub fn score(Json(batch): Json<Vec<Question>>) -> FnResult<Json<Vec<Vec<f64>>>> {
    let scores = |q: Question| q.answers.iter().map(|answer| overlap::overlap(answer, &q.gold)).collect();
    Ok(Json(batch.into_iter().map(scores).collect()))
}
