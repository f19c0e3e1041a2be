//! Calls by configuration text over whole batches, as the host makes them. Components and native libraries are called
//! through these functions too, so a plugin behaves the same in every form.

use crate::plugin::{Manifest, Plugin, Result};
use crate::roles::Function;

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

/// Implements the function of a role: returns the results for each entry of the batch.
///
/// # Errors
/// [`configure`] fails, or the plugin fails on an item.
pub fn call<P: Plugin, F: Function<P>>(config: &str, batch: &[F::Entry]) -> Result<Vec<F::Reply>> {
    let plugin: P = configure(config)?;
    batch.iter().map(|entry| F::call(&plugin, entry)).collect()
}
