//! Gemma 3: layers with a sliding window and rotary frequencies of their own between layers that attend to all tokens; norms
//! before and after each part of a layer, whose weights are differences from 1; heads of queries and keys that are
//! normalised; GELU in the place of SiLU; and an embedding that is scaled.

use alft_kernels::Activation;
use alft_text::Foreign;
use serde_json::{Value, json};

use super::{
    Family, Whole, flag,
    window::{FULL, SLIDING, layer_types, sliding_layers, window},
};
use crate::model::config::{ModelConfig, SlidingWindow, Variant};

pub(super) const FAMILY: Family = Family {
    class: "Gemma3ForCausalLM",
    // The models of 4 billion weights and more also read images. Their files leave the defaults of transformers out.
    whole: Some(Whole { class: "Gemma3ForConditionalGeneration", defaults }),
    model_type: "gemma3_text",
    tied: true,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
    rope_theta: 1_000_000.0,
    read: |config, model| {
        for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if !config[key].is_null() {
                return Err(format!("{key} is not supported; it must be null"));
            }
        }
        if flag(config, "use_bidirectional_attention") {
            return Err("use_bidirectional_attention is not supported; it must be false".to_owned());
        }
        model.qkv_bias = flag(config, "attention_bias");
        model.output_bias = model.qkv_bias;
        model.qk_norm = true;
        model.variant = Variant {
            activation: Activation::GeluTanh,
            norms_from_one: true,
            output_norms: true,
            scaled_embedding: true,
            query_pre_attn_scalar: Some(query_pre_attn_scalar(&config["query_pre_attn_scalar"])?),
            window: sliding_window(config, model)?,
        };
        Ok(())
    },
    write: |model, config| {
        config["attention_bias"] = json!(model.qkv_bias);
        config["query_pre_attn_scalar"] = json!(model.variant.query_pre_attn_scalar);
        config["layer_types"] = json!(layer_types(model));
        if let Some(SlidingWindow { size, rope_theta, .. }) = &model.variant.window {
            config["sliding_window"] = json!(size);
            config["rope_local_base_freq"] = json!(rope_theta);
        }
    },
};

fn query_pre_attn_scalar(value: &Value) -> Result<usize, String> {
    match value {
        Value::Null => Ok(256),
        value => {
            let whole = value.as_u64().and_then(|scalar| usize::try_from(scalar).ok());
            whole.ok_or_else(|| format!("query_pre_attn_scalar is {value}; it must be a whole number"))
        }
    }
}

/// Reads the window of the layers between those that attend to all tokens, every sixth unless `config.json` says otherwise.
fn sliding_window(config: &Value, model: &ModelConfig) -> Result<Option<SlidingWindow>, String> {
    let rope = &config["rope_parameters"];
    if !rope.is_null() && (rope[FULL].is_null() || rope[SLIDING].is_null()) {
        return Err(format!("rope_parameters must have {FULL} and {SLIDING}"));
    }
    let rope = &rope[SLIDING];
    if let Some(kind) = rope["rope_type"].as_str().filter(|kind| *kind != "default") {
        return Err(format!(
            "the rope scaling `{kind}` of {SLIDING} is not supported; supported is default",
            kind = Foreign::new(&kind)
        ));
    }
    let theta = rope["rope_theta"].as_f64().or(config["rope_local_base_freq"].as_f64());
    let pattern = config["sliding_window_pattern"].as_u64().unwrap_or(6).max(1);
    let layers = sliding_layers(config, model, |layer| !(layer as u64 + 1).is_multiple_of(pattern))?;
    if config.get("sliding_window").is_some_and(Value::is_null) && !layers.is_empty() {
        return Err(format!("sliding_window is null, and there are layers of {SLIDING}"));
    }
    // The layers have their own frequencies also where the window is as long as the context.
    let window = window(config, layers);
    Ok(window.map(|window| SlidingWindow { rope_theta: Some(theta.unwrap_or(10_000.0)), ..window }))
}

fn defaults() -> Value {
    json!({
        "vocab_size": 262_208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 2,
        "eos_token_id": 1,
    })
}
