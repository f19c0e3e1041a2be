//! GGUF files of the llama architecture. Weights of any quantisation are converted to `f32`.

use std::{collections::BTreeSet, fs::File, io::BufReader, path::Path};

use candle_core::{
    Device, Tensor,
    quantized::gguf_file::{Content, Value},
};
use serde_json::json;

use crate::{
    error::{Error, Result},
    formats::huggingface,
    model::{
        config::{Architecture, ModelConfig, Variant},
        tokenizer::{ByteLevelStyle, Tokenizer},
        transformer::Transformer,
    },
    policy::Policy,
};

/// Values of `tokenizer.ggml.token_type`.
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;

/// Loads a file.
pub(super) fn load(path: &Path, device: &Device) -> Result<Policy> {
    let file = File::open(path).map_err(Error::read(path))?;
    let mut reader = BufReader::new(file);
    let content = Content::read(&mut reader).map_err(Error::format(path, "GGUF"))?;
    let metadata = Metadata { path, content: &content };
    let config = config(&metadata)?;
    config.check(path)?;
    let tokenizer = tokenizer(&metadata)?;
    huggingface::check_vocab_size(&tokenizer, &config, path)?;

    let mut unread: BTreeSet<&str> = content.tensor_infos.keys().map(String::as_str).collect();
    let transformer = Transformer::build(&config, &mut |name, shape| {
        let stored =
            stored_name(name).ok_or_else(|| Error::content(path, format!("the format has no name for `{name}`")))?;
        if !content.tensor_infos.contains_key(&stored) {
            return Err(Error::content(path, format!("there is no tensor `{stored}`")));
        }
        unread.remove(stored.as_str());
        let failed = |source: candle_core::Error| Error::ReadTensor {
            path: path.to_owned(),
            tensor: stored.clone(),
            source: source.into(),
        };
        // The conversion runs on the CPU, so that every device gets the same bits.
        let quantised = content.tensor(&mut reader, &stored, &Device::Cpu).map_err(failed)?;
        let mut tensor = quantised.dequantize(&Device::Cpu).map_err(failed)?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::content(
                path,
                format!("`{stored}` has shape {found:?}; the metadata calls for {shape:?}"),
            ));
        }
        for (projection, heads) in [(".q_proj.weight", config.heads), (".k_proj.weight", config.kv_heads)] {
            if name.ends_with(projection) {
                tensor = unpermute(&tensor, heads)?;
            }
        }
        Ok(tensor.to_device(device)?)
    })?;
    if let Some(name) = unread.first() {
        let reason = format!("no part of the model reads the tensor `{name}`; load the Hugging Face folder instead");
        return Err(Error::content(path, reason));
    }
    Ok(Policy { companions: companions(&metadata), config, tokenizer, transformer })
}

/// The metadata of a file, with accessors whose errors name the file and the key.
struct Metadata<'a> {
    path: &'a Path,
    content: &'a Content,
}

impl<'a> Metadata<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.content.metadata.get(key)
    }

    fn require<T>(&self, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Result<T> {
        let value =
            self.get(key).ok_or_else(|| Error::content(self.path, format!("there is no `{key}` in the metadata")))?;
        read(value).ok_or_else(|| Error::content(self.path, format!("`{key}` in the metadata has an unexpected type")))
    }

    fn size(&self, key: &str) -> Result<usize> {
        self.require(key, |value| usize::try_from(integer(value)?).ok())
    }

    fn float(&self, key: &str) -> Result<f64> {
        self.require(key, float)
    }

    fn strings(&self, key: &str) -> Result<Vec<&'a str>> {
        self.require(key, |value| match value {
            Value::Array(values) => values.iter().map(string).collect(),
            _ => None,
        })
    }

    fn token(&self, key: &str) -> Option<u32> {
        u32::try_from(integer(self.get(key)?)?).ok()
    }
}

fn integer(value: &Value) -> Option<i64> {
    match *value {
        Value::U8(v) => Some(v.into()),
        Value::I8(v) => Some(v.into()),
        Value::U16(v) => Some(v.into()),
        Value::I16(v) => Some(v.into()),
        Value::U32(v) => Some(v.into()),
        Value::I32(v) => Some(v.into()),
        Value::U64(v) => i64::try_from(v).ok(),
        Value::I64(v) => Some(v),
        _ => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match *value {
        Value::F32(v) => Some(v.into()),
        Value::F64(v) => Some(v),
        _ => None,
    }
}

fn string(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn config(metadata: &Metadata<'_>) -> Result<ModelConfig> {
    let architecture = metadata.require("general.architecture", string)?;
    if architecture != "llama" {
        return Err(Error::Architecture {
            path: metadata.path.to_owned(),
            found: architecture.to_owned(),
            supported: "llama (for others, load the Hugging Face folder)",
        });
    }
    let scaled = metadata.get("llama.rope.scaling.type").and_then(string).is_some_and(|kind| kind != "none");
    if scaled || metadata.content.tensor_infos.contains_key("rope_freqs.weight") {
        let reason = "scaled rotary frequencies are not read from GGUF; load the Hugging Face folder instead";
        return Err(Error::content(metadata.path, reason));
    }
    let embedding = metadata.content.tensor_infos.get("token_embd.weight");
    let embedding = embedding.ok_or_else(|| Error::content(metadata.path, "there is no tensor `token_embd.weight`"))?;
    let (hidden_size, heads) = (metadata.size("llama.embedding_length")?, metadata.size("llama.attention.head_count")?);
    let optional = |key: &str| metadata.get(key).map(|_| metadata.size(key)).transpose();
    Ok(ModelConfig {
        architecture: Architecture::Llama,
        vocab_size: embedding.shape.dims().first().copied().unwrap_or(0),
        hidden_size,
        intermediate_size: metadata.size("llama.feed_forward_length")?,
        layers: metadata.size("llama.block_count")?,
        heads,
        kv_heads: optional("llama.attention.head_count_kv")?.unwrap_or(heads),
        head_dim: optional("llama.attention.key_length")?.unwrap_or(hidden_size / heads.max(1)),
        context_length: metadata.size("llama.context_length")?,
        rms_norm_eps: metadata.float("llama.attention.layer_norm_rms_epsilon")?,
        rope_theta: metadata.get("llama.rope.freq_base").and_then(float).unwrap_or(10_000.0),
        rope_scaling: None,
        unrotated_layers: Vec::new(),
        qk_norm: false,
        variant: Variant::default(),
        tie_word_embeddings: !metadata.content.tensor_infos.contains_key("output.weight"),
        qkv_bias: false,
        output_bias: false,
        bos_token: metadata.token("tokenizer.ggml.bos_token_id"),
        eos_tokens: metadata.token("tokenizer.ggml.eos_token_id").into_iter().collect(),
    })
}

fn tokenizer(metadata: &Metadata<'_>) -> Result<Tokenizer> {
    let unsupported = |part: &str, found: &str, supported: &str| {
        let reason = format!(
            "the {part} `{found}` is not supported ({supported} is); load the Hugging Face folder, which has a tokenizer.json"
        );
        Err(Error::content(metadata.path, reason))
    };
    let model = metadata.require("tokenizer.ggml.model", string)?;
    if model != "gpt2" {
        return unsupported("tokenizer model", model, "gpt2");
    }
    let style = match metadata.get("tokenizer.ggml.pre").and_then(string).unwrap_or("default") {
        "smollm" => ByteLevelStyle::SmolLm,
        "gpt-2" => ByteLevelStyle::Gpt2,
        other => return unsupported("pre-tokenizer", other, "smollm or gpt-2"),
    };
    let vocabulary = metadata.strings("tokenizer.ggml.tokens")?;
    let split = |merge| str::split_once(merge, ' ');
    let merges = metadata.strings("tokenizer.ggml.merges")?.into_iter().map(split).collect::<Option<Vec<_>>>();
    let merges =
        merges.ok_or_else(|| Error::content(metadata.path, "a merge of the tokenizer is not a pair of tokens"))?;
    let kinds: Vec<i64> = metadata.require("tokenizer.ggml.token_type", |value| match value {
        Value::Array(values) => values.iter().map(integer).collect(),
        _ => None,
    })?;
    let of_kind = |wanted| -> Vec<&str> {
        let pairs = vocabulary.iter().zip(&kinds);
        pairs.filter(|(_, kind)| **kind == wanted).map(|(token, _)| *token).collect()
    };
    Tokenizer::from_merges(&vocabulary, &merges, &of_kind(CONTROL), &of_kind(USER_DEFINED), style)
}

/// Returns GGUF's name of a weight: `model.layers.3.mlp.up_proj.weight` is `blk.3.ffn_up.weight`.
fn stored_name(name: &str) -> Option<String> {
    match name {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => (),
    }
    let (layer, part) = name.strip_prefix("model.layers.")?.split_once('.')?;
    let stored = match part {
        "input_layernorm.weight" => "attn_norm",
        "post_attention_layernorm.weight" => "ffn_norm",
        "self_attn.q_proj.weight" => "attn_q",
        "self_attn.k_proj.weight" => "attn_k",
        "self_attn.v_proj.weight" => "attn_v",
        "self_attn.o_proj.weight" => "attn_output",
        "mlp.gate_proj.weight" => "ffn_gate",
        "mlp.up_proj.weight" => "ffn_up",
        "mlp.down_proj.weight" => "ffn_down",
        _ => return None,
    };
    Some(format!("blk.{layer}.{stored}.weight"))
}

/// Reorders the rows of a q or k projection from GGUF's layout to Hugging Face's. In llama GGUF files the two rows of a
/// rotary pair are neighbours; in Hugging Face's layout, which this crate uses, they are half a head apart.
fn unpermute(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let (rows, width) = weight.dims2()?;
    let pairs = weight.reshape((heads, rows / heads / 2, 2, width))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape((rows, width))?)
}

/// Returns the `tokenizer_config.json` with the chat template that a Hugging Face folder would have, if the file has a
/// chat template.
fn companions(metadata: &Metadata<'_>) -> Vec<(String, String)> {
    let Some(template) = metadata.get("tokenizer.chat_template").and_then(string) else { return Vec::new() };
    let tokens = metadata.strings("tokenizer.ggml.tokens").unwrap_or_default();
    let token = |key: &str| metadata.token(key).and_then(|id| tokens.get(id as usize).copied());
    let value = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "clean_up_tokenization_spaces": false,
        "bos_token": token("tokenizer.ggml.bos_token_id"),
        "eos_token": token("tokenizer.ggml.eos_token_id"),
        "unk_token": token("tokenizer.ggml.unknown_token_id"),
        "pad_token": token("tokenizer.ggml.padding_token_id"),
        "chat_template": template,
    });
    vec![(huggingface::TOKENIZER_CONFIG.to_owned(), format!("{value:#}\n"))]
}
