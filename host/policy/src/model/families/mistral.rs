//! Mistral: Llama without biases. The first models attend to a window of the last tokens, also if `config.json` does not
//! name it.

use serde_json::json;

use super::{Family, SILU, window::shorter_window};

pub(super) const FAMILY: Family = Family {
    class: "MistralForCausalLM",
    whole: None,
    model_type: "mistral",
    tied: false,
    activation: SILU,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.variant.window = shorter_window(config, model, (0..model.layers).collect());
        Ok(())
    },
    write: |model, config| {
        config["sliding_window"] = json!(model.variant.window.as_ref().map(|window| window.size));
    },
};
