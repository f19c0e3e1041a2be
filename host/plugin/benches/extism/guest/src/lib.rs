//! The verifier as an Extism plugin.

#[path = "../../verifier/src/overlap.rs"]
mod overlap;

use extism_pdk::{FnResult, Json, plugin_fn};

/// A prompt's gold answer and the answers to score.
#[derive(serde::Deserialize)]
pub struct Entry {
    gold: String,
    answers: Vec<String>,
}

/// Scores each answer of each prompt.
#[plugin_fn]
pub fn score(Json(batch): Json<Vec<Entry>>) -> FnResult<Json<Vec<Vec<f64>>>> {
    let scores = |entry: Entry| entry.answers.iter().map(|answer| overlap::overlap(answer, &entry.gold)).collect();
    Ok(Json(batch.into_iter().map(scores).collect()))
}
