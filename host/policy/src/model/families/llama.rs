//! Llama: the family that the others are described by. Its attention may have biases.

use serde_json::json;

use super::{Family, flag};

pub(super) const FAMILY: Family = Family {
    class: "LlamaForCausalLM",
    model_type: "llama",
    tied: false,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        Ok(())
    },
    write: |model, config| config["attention_bias"] = json!(model.qkv_bias),
};
