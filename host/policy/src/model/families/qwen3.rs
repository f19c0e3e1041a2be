//! Qwen3: Llama with a normalisation of every head of the queries and keys.

use serde_json::json;

use super::{Family, end_context_at_window, flag};

pub(super) const FAMILY: Family = Family {
    class: "Qwen3ForCausalLM",
    model_type: "qwen3",
    tied: false,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qk_norm = true;
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        if flag(config, "use_sliding_window") {
            end_context_at_window(config, model);
        }
        Ok(())
    },
    write: |model, config| {
        config["attention_bias"] = json!(model.qkv_bias);
        config["use_sliding_window"] = json!(false);
    },
};
