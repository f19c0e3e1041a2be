//! Mistral: Llama without biases. The first models attend to a window of the last tokens, also if `config.json` does not
//! name it.

use serde_json::{Value, json};

use super::{Family, end_context_at};

/// The window of a `config.json` without `sliding_window`. `null` means none.
const WINDOW: u64 = 4096;

pub(super) const FAMILY: Family = Family {
    class: "MistralForCausalLM",
    model_type: "mistral",
    tied: false,
    read: |config, model| {
        end_context_at(config.get("sliding_window").unwrap_or(&json!(WINDOW)), model);
        Ok(())
    },
    write: |_, config| config["sliding_window"] = Value::Null,
};
