//! The configuration of a model as Hugging Face's `config.json`. Keys that are peculiar to a family are read and written by
//! [`super::families`].

use std::path::Path;

use alft_text::Foreign;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    config::{ModelConfig, Variant},
    families, rope,
};
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
    bos_token_id: Option<u32>,
}

/// Returns the numbers of the tokens that end a text, `None` where a configuration does not say. An error is the fault.
pub(crate) fn eos_tokens(config: &Value) -> Result<Option<Vec<u32>>, String> {
    let ids = &config["eos_token_id"];
    let number = |id: &Value| u32::try_from(id.as_u64()?).ok();
    let tokens = match ids {
        Value::Null => return Ok(None),
        Value::Array(ids) => ids.iter().map(number).collect(),
        id => number(id).map(|id| vec![id]),
    };
    tokens.map(Some).ok_or_else(|| {
        format!(
            "`eos_token_id` is {}; it must be the number of a token, or a list of numbers",
            Foreign::new(ids.to_string())
        )
    })
}

/// Returns the name of the method that quantised the weights of a model or of its text part, if one did.
fn quantised_by(config: &Value) -> Option<&str> {
    const MLX: &str = "MLX";
    let parts = [config, &config["text_config"]];
    let method =
        |part: &'static str| parts.into_iter().map(move |config| &config[part]).find(|method| !method.is_null());
    // MLX writes its own under both names, without a method.
    let own = |quantised: &Value| !quantised["bits"].is_null() && !quantised["group_size"].is_null();
    match (method("quantization_config"), method("quantization")) {
        (Some(quantised), _) => {
            let unnamed = if own(quantised) { MLX } else { "an unnamed method" };
            Some(quantised["quant_method"].as_str().unwrap_or(unnamed))
        }
        (None, Some(_)) => Some(MLX),
        (None, None) => None,
    }
}

impl ModelConfig {
    /// Parses the text of a `config.json`; errors name `path`.
    pub(crate) fn from_json(text: &str, path: &Path) -> Result<Self> {
        let unsupported = |reason: String| Error::content(path, reason);
        let value: Value = serde_json::from_str(text).map_err(Error::format(path, "JSON"))?;
        // The architecture comes first, because the fields of another family may be missing.
        let found = value["architectures"][0].as_str().unwrap_or("(none named)").to_owned();
        let architecture = families::of_class(&found).ok_or_else(|| Error::Architecture {
            path: path.to_owned(),
            found: found.clone(),
            supported: families::SUPPORTED,
        })?;
        let family = families::of(architecture);
        if let Some(method) = quantised_by(&value) {
            return Err(unsupported(format!(
                "the weights are quantised by {method}, which is not supported; load the model's folder in bf16, f16 or f32",
                method = Foreign::new(method)
            )));
        }
        let value = family.text_model(&found, value);
        let hf: HfConfig = serde_json::from_value(value.clone()).map_err(Error::format(path, "config.json"))?;
        let (key, supported) = family.activation;
        if let Some(act) = value[key].as_str().filter(|act| *act != supported) {
            return Err(unsupported(format!(
                "{key} `{act}` is not supported; supported is {supported}",
                act = Foreign::new(&act)
            )));
        }
        if hf.mlp_bias {
            return Err(unsupported("mlp_bias is not supported; it must be false".to_owned()));
        }
        let rope = hf.rope_parameters.or(hf.rope_scaling);
        // Where layers of two kinds have their own, the family reads those of the other kind.
        let rope =
            rope.map(|rope| if rope["full_attention"].is_null() { rope } else { rope["full_attention"].clone() });
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
            variant: Variant::default(),
            tie_word_embeddings: hf.tie_word_embeddings.unwrap_or(family.tied),
            qkv_bias: false,
            output_bias: false,
            bos_token: hf.bos_token_id,
            eos_tokens: eos_tokens(&value).map_err(unsupported)?.unwrap_or_default(),
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
            (family.activation.0): family.activation.1,
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
            |value: &mut Value, _: &Value| {
                value["architectures"] = json!(["MistralForCausalLM"]);
                value["sliding_window"] = json!(32);
            },
            |value: &mut Value, _: &Value| gemma3(value),
            |value: &mut Value, _: &Value| {
                value["architectures"] = json!(["Qwen2ForCausalLM"]);
                value["use_sliding_window"] = json!(true);
                value["sliding_window"] = json!(32);
                value["max_window_layers"] = json!(1);
            },
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
    fn windows_are_those_of_transformers() {
        let of = |edit: &dyn Fn(&mut Value)| {
            let edit = |value: &mut Value| {
                value["sliding_window"] = json!(32);
                edit(value);
            };
            parse(edit).unwrap().variant.window.map(|window| (window.size, window.layers))
        };
        let class = |value: &mut Value, class: &str| value["architectures"] = json!([class]);
        assert_eq!(of(&|_| ()), None);
        assert_eq!(of(&|value| class(value, "MistralForCausalLM")), Some((32, vec![0, 1])));
        let mistral = |size: Value| {
            move |value: &mut Value| {
                class(value, "MistralForCausalLM");
                value["sliding_window"] = size.clone();
            }
        };
        assert_eq!([of(&mistral(Value::Null)), of(&mistral(json!(128)))], [None, None]);
        let unnamed = |value: &mut Value| {
            class(value, "MistralForCausalLM");
            value["max_position_embeddings"] = json!(32_768);
            value.as_object_mut().unwrap().remove("sliding_window");
        };
        assert_eq!(of(&unnamed), Some((4096, vec![0, 1])));
        let qwen = |value: &mut Value| {
            class(value, "Qwen2ForCausalLM");
            value["max_window_layers"] = json!(1);
        };
        assert_eq!(of(&qwen), None);
        let qwen = move |value: &mut Value| {
            qwen(value);
            value["use_sliding_window"] = json!(true);
        };
        assert_eq!(of(&qwen), Some((32, vec![1])));
        let listed = move |value: &mut Value| {
            qwen(value);
            value["layer_types"] = json!(["sliding_attention", "full_attention"]);
        };
        assert_eq!(of(&listed), Some((32, vec![0])));
    }

    fn gemma3(value: &mut Value) {
        value["architectures"] = json!(["Gemma3ForCausalLM"]);
        value["num_hidden_layers"] = json!(7);
        value["sliding_window"] = json!(32);
        value["rope_local_base_freq"] = json!(1e4);
        value["rope_scaling"] = json!({"rope_type": "linear", "factor": 8.0});
    }

    #[test]
    fn gemma_3_is_read_in_its_old_form_in_its_new_one_and_as_a_part() {
        let old = parse(|value| {
            gemma3(value);
            value["sliding_window_pattern"] = json!(3);
        });
        let old = old.unwrap();
        let window = old.variant.window.clone().unwrap();
        assert_eq!((window.size, window.layers, window.rope_theta), (32, vec![0, 1, 3, 4, 6], Some(1e4)));
        assert_eq!((old.rope_theta, old.rope_scaling), (1e4, Some(RopeScaling::Linear { factor: 8.0 })));
        assert_eq!(old.attention(2).scale, 1.0 / 16.0);
        let types: Vec<&str> =
            (1..=7).map(|layer| if layer % 3 == 0 { "full_attention" } else { "sliding_attention" }).collect();
        let new = |value: &mut Value| {
            gemma3(value);
            let keys = value.as_object_mut().unwrap();
            for key in ["rope_local_base_freq", "rope_scaling", "rope_theta", "hidden_act"] {
                keys.remove(key);
            }
            value["layer_types"] = json!(types);
            value["rope_parameters"] = json!({
                "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e4},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            });
        };
        assert_eq!(parse(new).unwrap(), old);
        let part = parse(|value| {
            new(value);
            let text = value.take();
            *value = json!({"architectures": ["Gemma3ForConditionalGeneration"], "text_config": text});
        });
        // The defaults of transformers, where the text model's own keys leave them out.
        assert_eq!(part.unwrap(), ModelConfig { head_dim: 256, bos_token: Some(2), ..old });
    }

    #[test]
    fn an_unsupported_or_inconsistent_configuration_is_an_error_with_a_reason() {
        let message = |edit: fn(&mut Value)| parse(edit).unwrap_err().to_string();
        assert!(
            message(|v| v["architectures"] = json!(["GPT2LMHeadModel"])).contains("`GPT2LMHeadModel` is not supported")
        );
        assert!(message(|v| v["architectures"] = json!([])).contains("(none named)"));
        assert!(message(|v| v["hidden_act"] = json!("gelu")).contains("gelu"));
        let gemma = |key: &'static str, of: fn() -> Value| {
            let edit = |value: &mut Value| {
                gemma3(value);
                value[key] = of();
            };
            parse(edit).unwrap_err().to_string()
        };
        for key in ["attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"] {
            let set = if key.starts_with("use") { || json!(true) } else { || json!(30.0) };
            assert!(gemma(key, set).contains(key));
        }
        assert!(gemma("hidden_activation", || json!("gelu")).contains("gelu_pytorch_tanh"));
        assert!(gemma("sliding_window", || Value::Null).contains("sliding_window is null"));
        assert!(gemma("sliding_window", || json!(0)).contains("sliding_window is 0"));
        assert!(gemma("layer_types", || json!(["full_attention"])).contains("1 entries for 7 layers"));
        assert!(gemma("layer_types", || json!(vec!["chunked"; 7])).contains("chunked"));
        assert!(gemma("rope_parameters", || json!({"rope_type": "default"})).contains("full_attention"));
        assert!(gemma("query_pre_attn_scalar", || json!(0)).contains("query_pre_attn_scalar is 0"));
        assert!(gemma("query_pre_attn_scalar", || json!(1.5)).contains("1.5; it must be a whole number"));
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
