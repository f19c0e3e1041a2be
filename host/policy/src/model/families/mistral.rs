//! Mistral: Llama without biases. The first models attend to a window of the last tokens, also if `config.json` does not
//! name it.

use serde_json::Value;

use super::{Family, end_context_at_window};

pub(super) const FAMILY: Family = Family {
    class: "MistralForCausalLM",
    model_type: "mistral",
    tied: false,
    rope_theta: 10_000.0,
    read: |config, model| {
        end_context_at_window(config, model);
        Ok(())
    },
    write: |_, config| config["sliding_window"] = Value::Null,
};
