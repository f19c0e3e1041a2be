//! SmolLM3: Llama with layers that rotate neither queries nor keys (NoPE): every fourth one, unless `config.json` lists them.

use serde_json::{Value, json};

use super::{Family, SILU, flag};
use crate::model::config::ModelConfig;

pub(super) const FAMILY: Family = Family {
    class: "SmolLM3ForCausalLM",
    whole: None,
    model_type: "smollm3",
    tied: true,
    activation: SILU,
    rope_theta: 2_000_000.0,
    read: |config, model| {
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        if flag(config, "use_sliding_window") {
            return Err("use_sliding_window is not supported for SmolLM3; it must be false".to_owned());
        }
        model.unrotated_layers = unrotated_layers(config, model)?;
        Ok(())
    },
    write: |model, config| {
        config["attention_bias"] = json!(model.qkv_bias);
        config["use_sliding_window"] = json!(false);
        config["no_rope_layers"] =
            (0..model.layers).map(|layer| u8::from(!model.unrotated_layers.contains(&layer))).collect();
    },
};

/// Reads `no_rope_layers`, which has a 1 for each layer that rotates and a 0 for each that does not.
fn unrotated_layers(config: &Value, model: &ModelConfig) -> Result<Vec<usize>, String> {
    let every = config["no_rope_layer_interval"].as_u64().unwrap_or(4).max(1) as usize;
    let rotates: Vec<bool> = match config["no_rope_layers"].as_array() {
        Some(listed) => {
            let rotates = listed.iter().map(|entry| entry.as_u64().filter(|entry| *entry <= 1).map(|entry| entry == 1));
            rotates.collect::<Option<_>>().ok_or("no_rope_layers must have a 0 or a 1 for each layer")?
        }
        None => (1..=model.layers).map(|layer| !layer.is_multiple_of(every)).collect(),
    };
    if rotates.len() != model.layers {
        return Err(format!("no_rope_layers has {} entries for {} layers", rotates.len(), model.layers));
    }
    Ok((0..model.layers).filter(|layer| !rotates[*layer]).collect())
}
