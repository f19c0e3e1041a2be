//! Qwen2 and Qwen2.5: Llama with biases on queries, keys and values. Some models attend to a window in their later layers.

use super::{Family, SILU, window};

pub(super) const FAMILY: Family = Family {
    class: "Qwen2ForCausalLM",
    whole: None,
    model_type: "qwen2",
    tied: false,
    activation: SILU,
    rope_theta: 10_000.0,
    read: |config, model| {
        model.qkv_bias = true;
        model.variant.window = window::read(config, model)?;
        Ok(())
    },
    write: window::write,
};
