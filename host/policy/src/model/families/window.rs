//! The sliding window of some of a model's layers in a `config.json`.

use serde_json::{Value, json};

use super::flag;
use crate::model::config::{ModelConfig, SlidingWindow};

/// The window of a `config.json` without `sliding_window`. `null` means none.
const WINDOW: u64 = 4096;

/// The value of `layer_types` for a layer with a sliding window, and for one without.
pub(super) const SLIDING: &str = "sliding_attention";
pub(super) const FULL: &str = "full_attention";

/// Returns the layers with a sliding window: those that `layer_types` names or else those for which `slides` is true.
pub(super) fn sliding_layers(
    config: &Value,
    model: &ModelConfig,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<usize>, String> {
    let all = 0..model.layers;
    let Some(types) = config["layer_types"].as_array() else {
        return Ok(all.filter(|layer| slides(*layer)).collect());
    };
    if types.len() != model.layers {
        return Err(format!("layer_types has {} entries for {} layers", types.len(), model.layers));
    }
    match types.iter().find(|kind| **kind != SLIDING && **kind != FULL) {
        Some(other) => Err(format!("layer_types has {other}; supported are {SLIDING} and {FULL}")),
        None => Ok(all.filter(|layer| types[*layer] == SLIDING).collect()),
    }
}

/// Returns the window of some layers; `None` if `sliding_window` is null, and for no layers.
pub(super) fn window(config: &Value, layers: Vec<usize>) -> Option<SlidingWindow> {
    let size = config.get("sliding_window").map_or(Some(WINDOW), Value::as_u64)?;
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    (!layers.is_empty()).then_some(SlidingWindow { size, layers, rope_theta: None })
}

/// Returns the window of some layers unless it is as long as the context, where it changes nothing.
pub(super) fn shorter_window(config: &Value, model: &ModelConfig, layers: Vec<usize>) -> Option<SlidingWindow> {
    window(config, layers).filter(|window| window.size < model.context_length)
}

/// Returns the `layer_types` of a model.
pub(super) fn layer_types(model: &ModelConfig) -> Vec<&'static str> {
    let slides = |layer| model.variant.window.as_ref().is_some_and(|window| window.layers.contains(&layer));
    (0..model.layers).map(|layer| if slides(layer) { SLIDING } else { FULL }).collect()
}

/// Writes the keys of a window in some layers as Qwen's models have them.
pub(super) fn write(model: &ModelConfig, config: &mut Value) {
    config["use_sliding_window"] = json!(model.variant.window.is_some());
    if let Some(window) = &model.variant.window {
        config["sliding_window"] = json!(window.size);
        config["layer_types"] = json!(layer_types(model));
        // For readers that know no `layer_types`.
        config["max_window_layers"] = json!(window.layers.first());
    }
}

/// Reads the window of Qwen's models: that of the layers from `max_window_layers` on, if it is used.
pub(super) fn read(config: &Value, model: &ModelConfig) -> Result<Option<SlidingWindow>, String> {
    if !flag(config, "use_sliding_window") {
        return Ok(None);
    }
    let first = config["max_window_layers"].as_u64().unwrap_or(28);
    let layers = sliding_layers(config, model, |layer| layer as u64 >= first)?;
    Ok(shorter_window(config, model, layers))
}
