//! Qwen3: Llama with a normalisation of every head of the queries and keys.

use serde_json::json;

use super::{Family, SILU, flag, window};

pub(super) const FAMILY: Family = Family {
    class: "Qwen3ForCausalLM",
    whole: None,
    model_type: "qwen3",
    tied: false,
    activation: SILU,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qk_norm = true;
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        model.variant.window = window::read(config, model)?;
        Ok(())
    },
    write: |model, config| {
        config["attention_bias"] = json!(model.qkv_bias);
        window::write(model, config);
    },
};
