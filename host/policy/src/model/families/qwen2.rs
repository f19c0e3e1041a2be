//! Qwen2 and Qwen2.5: Llama with biases on queries, keys and values. Some models attend to a window in their later layers.

use serde_json::json;

use super::{Family, end_context_at_window, flag};

pub(super) const FAMILY: Family = Family {
    class: "Qwen2ForCausalLM",
    model_type: "qwen2",
    tied: false,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qkv_bias = true;
        if flag(config, "use_sliding_window") {
            end_context_at_window(config, model);
        }
        Ok(())
    },
    write: |_, config| config["use_sliding_window"] = json!(false),
};
