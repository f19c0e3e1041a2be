//! Llama: the family that the others are described by. Its attention may have biases.

use serde_json::json;

use super::{Family, SILU, flag};

pub(super) const FAMILY: Family = Family {
    class: "LlamaForCausalLM",
    whole: None,
    model_type: "llama",
    tied: false,
    activation: SILU,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        Ok(())
    },
    write: |model, config| config["attention_bias"] = json!(model.qkv_bias),
};
