//! Calls by configuration text over whole batches, as the host makes them. Components and native libraries are called
//! through these functions too, so a plugin behaves the same in every form.

use crate::batch::PromptTexts;
use crate::bundle::{Bundle, Prompt, Valuation};
use crate::roles::{Grader, Manifest, Objective, Plugin, Reader, Result, Verifier};

/// Deserializes a plugin from its configuration, a JSON object, and checks it.
///
/// # Errors
/// The configuration does not deserialize, or the plugin's [`check`](Plugin::check) refuses it.
pub fn configure<P: Plugin>(config: &str) -> Result<P> {
    // The user wrote a table of the run file: a position in the JSON text means nothing to them.
    let without_position = |error: serde_json::Error| {
        let text = error.to_string();
        let position = format!(" at line {} column {}", error.line(), error.column());
        text.strip_suffix(&position).map(str::to_owned).unwrap_or(text)
    };
    let plugin: P = serde_json::from_str(config).map_err(without_position)?;
    plugin.check()?;
    Ok(plugin)
}

/// Implements `about.describe` of the contract.
///
/// # Errors
/// [`configure`] fails.
pub fn describe<P: Plugin>(config: &str) -> Result<Manifest> {
    Ok(configure::<P>(config)?.manifest())
}

/// Implements `reader.read` of the contract: returns a key or `None` for each completion of each prompt.
///
/// # Errors
/// [`configure`] fails, or the reader fails on a completion.
pub fn read<P: Reader>(config: &str, batch: &[PromptTexts]) -> Result<Vec<Vec<Option<String>>>> {
    let plugin: P = configure(config)?;
    each_text(batch, |prompt, completion| plugin.read(prompt, completion))
}

/// Implements `grader.grade` of the contract: returns a score for each completion of each prompt.
///
/// # Errors
/// [`configure`] fails, or the grader fails on a completion.
pub fn grade<P: Grader>(config: &str, batch: &[PromptTexts]) -> Result<Vec<Vec<f64>>> {
    let plugin: P = configure(config)?;
    each_text(batch, |prompt, completion| plugin.grade(prompt, completion))
}

/// Implements `verifier.score` of the contract: returns a score for each answer of each prompt.
///
/// # Errors
/// [`configure`] fails, or the verifier fails on an answer.
pub fn score<P: Verifier>(config: &str, batch: &[PromptTexts]) -> Result<Vec<Vec<f64>>> {
    let plugin: P = configure(config)?;
    each_text(batch, |prompt, answer| plugin.score(prompt, answer))
}

/// Implements `objective.evaluate` of the contract: returns a valuation for each bundle.
///
/// # Errors
/// [`configure`] fails, or the objective fails on a bundle.
pub fn evaluate<P: Objective>(config: &str, batch: &[Bundle]) -> Result<Vec<Valuation>> {
    let plugin: P = configure(config)?;
    batch.iter().map(|bundle| plugin.evaluate(bundle)).collect()
}

fn each_text<T>(batch: &[PromptTexts], mut call: impl FnMut(&Prompt, &str) -> Result<T>) -> Result<Vec<Vec<T>>> {
    batch.iter().map(|entry| entry.texts.iter().map(|text| call(&entry.prompt, text)).collect()).collect()
}
