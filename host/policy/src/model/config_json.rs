//! The configuration of a model as Hugging Face's `config.json`. Keys that are peculiar to a family are read and written by
//! [`super::families`].

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::{config::ModelConfig, families, rope};
use crate::error::{Error, Result};

/// `config.json` as the Python library transformers writes it, in versions 4 and 5. Fields that do not change the
/// computation are ignored.
#[derive(Deserialize)]
struct HfConfig {
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    max_position_embeddings: usize,
    rms_norm_eps: f64,
    rope_theta: Option<f64>,
    rope_scaling: Option<Value>,
    rope_parameters: Option<Value>,
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    mlp_bias: bool,
    hidden_act: Option<String>,
    quantization_config: Option<Value>,
    bos_token_id: Option<u32>,
    eos_token_id: Option<TokenIds>,
}

/// One token id, or several.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl TokenIds {
    pub(crate) fn into_vec(self) -> Vec<u32> {
        match self {
            TokenIds::One(id) => vec![id],
            TokenIds::Many(ids) => ids,
        }
    }
}

impl ModelConfig {
    /// Parses the text of a `config.json`; errors name `path`.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self> {
        let unsupported = |reason: String| Error::content(path, reason);
        let value: Value = serde_json::from_str(text).map_err(Error::format(path, "JSON"))?;
        // The architecture comes first, because the fields of another family may be missing.
        let found = value["architectures"][0].as_str().unwrap_or("(none named)");
        let architecture = families::of_class(found).ok_or_else(|| Error::Architecture {
            path: path.to_owned(),
            found: found.to_owned(),
            supported: families::SUPPORTED,
        })?;
        let family = families::of(architecture);
        let hf: HfConfig = serde_json::from_value(value.clone()).map_err(Error::format(path, "config.json"))?;
        if let Some(quantised) = hf.quantization_config.filter(|config| !config.is_null()) {
            let method = quantised["quant_method"].as_str().unwrap_or("an unnamed method");
            return Err(unsupported(format!(
                "the weights are quantised by {method}, which is not supported; load the model's folder in bf16, f16 or f32"
            )));
        }
        if let Some(act) = hf.hidden_act.as_deref().filter(|act| *act != "silu") {
            return Err(unsupported(format!("hidden_act `{act}` is not supported; supported is silu")));
        }
        if hf.mlp_bias {
            return Err(unsupported("mlp_bias is not supported; it must be false".to_owned()));
        }
        let rope = hf.rope_parameters.or(hf.rope_scaling);
        let rope_theta = rope.as_ref().and_then(|rope| rope["rope_theta"].as_f64()).or(hf.rope_theta);
        let mut config = ModelConfig {
            architecture,
            vocab_size: hf.vocab_size,
            hidden_size: hf.hidden_size,
            intermediate_size: hf.intermediate_size,
            layers: hf.num_hidden_layers,
            heads: hf.num_attention_heads,
            kv_heads: hf.num_key_value_heads.unwrap_or(hf.num_attention_heads),
            head_dim: hf.head_dim.unwrap_or(hf.hidden_size / hf.num_attention_heads.max(1)),
            context_length: hf.max_position_embeddings,
            rms_norm_eps: hf.rms_norm_eps,
            rope_theta: rope_theta.unwrap_or(family.rope_theta),
            rope_scaling: rope
                .as_ref()
                .map(|rope| rope::read(rope, hf.max_position_embeddings, path))
                .transpose()?
                .flatten(),
            unrotated_layers: Vec::new(),
            qk_norm: false,
            tie_word_embeddings: hf.tie_word_embeddings.unwrap_or(family.tied),
            qkv_bias: false,
            output_bias: false,
            bos_token: hf.bos_token_id,
            eos_tokens: hf.eos_token_id.map(TokenIds::into_vec).unwrap_or_default(),
        };
        config.check(path)?;
        (family.read)(&value, &mut config).map_err(unsupported)?;
        config.check(path)?;
        Ok(config)
    }

    /// Returns the text of a `config.json` that [`Self::from_json`] and the Python library transformers can read.
    pub(crate) fn to_json(&self) -> String {
        let family = families::of(self.architecture);
        let mut value = json!({
            "architectures": [family.class],
            "model_type": family.model_type,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.context_length,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_theta": self.rope_theta,
            "rope_scaling": self.rope_scaling,
            "tie_word_embeddings": self.tie_word_embeddings,
            "mlp_bias": false,
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "bos_token_id": self.bos_token,
            "eos_token_id": match self.eos_tokens.as_slice() { [one] => json!(one), many => json!(many) },
            // The families have defaults, which a small vocabulary may not hold.
            "pad_token_id": null,
            "torch_dtype": "float32",
            "use_cache": true,
        });
        (family.write)(self, &mut value);
        format!("{value:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rope::RopeScaling;

    fn parse(edit: impl FnOnce(&mut Value)) -> Result<ModelConfig> {
        let mut value = json!({
            "architectures": ["LlamaForCausalLM"], "vocab_size": 64, "hidden_size": 32, "intermediate_size": 80,
            "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
            "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
            "hidden_act": "silu", "eos_token_id": [2, 3], "tie_word_embeddings": true,
        });
        edit(&mut value);
        ModelConfig::from_json(&value.to_string(), Path::new("config.json"))
    }

    #[test]
    fn the_config_json_that_is_written_is_read_back_as_the_same_configuration() {
        let llama3 = json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64});
        for edit in [
            |_: &mut Value, _: &Value| {},
            |value: &mut Value, _: &Value| value["architectures"] = json!(["Qwen2ForCausalLM"]),
            |value: &mut Value, _: &Value| value["attention_bias"] = json!(true),
            |value: &mut Value, scaling: &Value| value["rope_scaling"] = scaling.clone(),
            |value: &mut Value, _: &Value| value["rope_scaling"] = json!({"type": "yarn", "factor": 4.0}),
            |value: &mut Value, _: &Value| value["architectures"] = json!(["MistralForCausalLM"]),
            |value: &mut Value, _: &Value| value["architectures"] = json!(["Qwen3ForCausalLM"]),
            |value: &mut Value, _: &Value| {
                value["architectures"] = json!(["SmolLM3ForCausalLM"]);
                value["no_rope_layers"] = json!([0, 1]);
            },
        ] {
            let config = parse(|value| edit(value, &llama3)).unwrap();
            let again = ModelConfig::from_json(&config.to_json(), Path::new("again")).unwrap();
            assert_eq!(config, again);
        }
    }

    #[test]
    fn the_rope_parameters_of_transformers_5_are_read() {
        let config = parse(|value| {
            value.as_object_mut().unwrap().remove("rope_theta");
            value["rope_parameters"] = json!({"rope_type": "default", "rope_theta": 5e5});
        })
        .unwrap();
        assert_eq!(config.rope_theta, 5e5);
        assert_eq!(config.rope_scaling, None);
    }

    #[test]
    fn a_window_ends_the_context_and_not_that_of_a_scaling() {
        let config = parse(|value| {
            value["architectures"] = json!(["Qwen2ForCausalLM"]);
            value["use_sliding_window"] = json!(true);
            value["sliding_window"] = json!(32);
            value["rope_scaling"] = json!({"type": "yarn", "factor": 4.0});
        })
        .unwrap();
        let RopeScaling::Yarn(scaling) = config.rope_scaling.unwrap() else { panic!("{config:?}") };
        assert_eq!((config.context_length, scaling.original_max_position_embeddings), (32, 128));
        let of = |edit: fn(&mut Value)| parse(edit).unwrap().context_length;
        assert_eq!(of(|value| value["architectures"] = json!(["MistralForCausalLM"])), 128);
        let mistral = |value: &mut Value| {
            value["architectures"] = json!(["MistralForCausalLM"]);
            value["max_position_embeddings"] = json!(32_768);
        };
        assert_eq!(of(mistral), 4096);
    }

    #[test]
    fn an_unsupported_or_inconsistent_configuration_is_an_error_with_a_reason() {
        let message = |edit: fn(&mut Value)| parse(edit).unwrap_err().to_string();
        assert!(
            message(|v| v["architectures"] = json!(["GPT2LMHeadModel"])).contains("`GPT2LMHeadModel` is not supported")
        );
        assert!(message(|v| v["architectures"] = json!([])).contains("(none named)"));
        assert!(message(|v| v["hidden_act"] = json!("gelu")).contains("gelu"));
        assert!(message(|v| v["num_key_value_heads"] = json!(3)).contains("must divide"));
        assert!(message(|v| v["num_attention_heads"] = json!(0)).contains("num_attention_heads is 0"));
        assert!(message(|v| v["vocab_size"] = json!("x")).contains("config.json"));
        assert!(message(|v| v["rope_scaling"] = json!({"type": "longrope"})).contains("longrope"));
        assert!(message(|v| v["rope_scaling"] = json!({"type": "linear", "factor": 0.0})).contains("not finite"));
        assert!(message(|v| v["head_dim"] = json!(1 << 20)).contains("at most 65536"));
        assert!(message(|v| v["quantization_config"] = json!({"quant_method": "gptq"})).contains("quantised by gptq"));
        assert!(message(|v| v["eos_token_id"] = json!(64)).contains("outside the vocabulary"));
    }
}
