//! Calls by configuration text over a whole batch, the way the host makes them. The component and the native library
//! go through here too, so a plugin linked into a program behaves like a loaded one.

use crate::batch::PromptTexts;
use crate::bundle::{Bundle, Valuation};
use crate::roles::{Manifest, Objective, Plugin, Reader, Result, Verifier};

/// The plugin that a JSON object configures.
///
/// # Errors
/// What serde says of the configuration, or what the plugin's own check says.
pub fn configure<P: Plugin>(config: &str) -> Result<P> {
    // A place in it means nothing to whoever wrote it as a table elsewhere.
    let unplaced = |error: serde_json::Error| {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        text.strip_suffix(&place).map(str::to_owned).unwrap_or(text)
    };
    let plugin: P = serde_json::from_str(config).map_err(unplaced)?;
    plugin.check()?;
    Ok(plugin)
}

/// `about.describe` of the contract.
///
/// # Errors
/// As [`configure`].
pub fn describe<P: Plugin>(config: &str) -> Result<Manifest> {
    Ok(configure::<P>(config)?.manifest())
}

/// `reader.read` of the contract: a key or none for each completion of each question.
///
/// # Errors
/// As [`configure`], and the first error of the reader.
pub fn read<P: Reader>(config: &str, batch: &[PromptTexts]) -> Result<Vec<Vec<Option<String>>>> {
    let plugin: P = configure(config)?;
    batch.iter().map(|q| q.texts.iter().map(|text| plugin.read(&q.prompt, text)).collect()).collect()
}

/// `verifier.score` of the contract: a score for each answer of each question.
///
/// # Errors
/// As [`configure`], and the first error of the verifier.
pub fn score<P: Verifier>(config: &str, batch: &[PromptTexts]) -> Result<Vec<Vec<f64>>> {
    let plugin: P = configure(config)?;
    batch.iter().map(|q| q.texts.iter().map(|text| plugin.score(&q.prompt, text)).collect()).collect()
}

/// `objective.evaluate` of the contract: a valuation for each bundle.
///
/// # Errors
/// As [`configure`], and the first error of the objective.
pub fn evaluate<P: Objective>(config: &str, batch: &[Bundle]) -> Result<Vec<Valuation>> {
    let plugin: P = configure(config)?;
    batch.iter().map(|bundle| plugin.evaluate(bundle)).collect()
}
