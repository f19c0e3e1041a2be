//! Hugging Face folders: `config.json`, `tokenizer.json`, and weights in safetensors, in one file or in shards.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor, safetensors::MmapedSafetensors};
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    formats::safetensors,
    model::{config::ModelConfig, config_json::TokenIds, lora, tokenizer::Tokenizer, transformer::Transformer},
    policy::Policy,
};

pub(super) const CONFIG: &str = "config.json";
pub(super) const TOKENIZER: &str = "tokenizer.json";
pub(super) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
const CHAT_TEMPLATE: &str = "chat_template.jinja";
pub(super) const WEIGHTS: &str = "model.safetensors";
pub(super) const INDEX: &str = "model.safetensors.index.json";
/// The beginning of the names of a text model's weights in a model of several parts, whose others are not read.
const TEXT_MODEL: &str = "language_model.";

/// Files that are kept as text and exported with the model.
pub(super) const COMPANIONS: [&str; 4] =
    [TOKENIZER_CONFIG, GENERATION_CONFIG, "special_tokens_map.json", CHAT_TEMPLATE];

/// Loads a folder. Weights in `f16` and `bf16` are converted to `f32`.
pub(super) fn load(dir: &Path, device: &Device) -> Result<Policy> {
    let config_path = dir.join(CONFIG);
    let mut config = ModelConfig::from_json(&read(&config_path)?, &config_path)?;
    let tokenizer_path = dir.join(TOKENIZER);
    let tokenizer = Tokenizer::from_json(&read(&tokenizer_path)?, &tokenizer_path)?;
    check_vocab_size(&tokenizer, &config, dir)?;

    let mut companions = Vec::new();
    for name in COMPANIONS {
        let path = dir.join(name);
        if path.is_file() {
            companions.push((name.to_owned(), read(&path)?));
        }
    }
    if let Some((_, text)) = companions.iter().find(|(name, _)| name == TOKENIZER_CONFIG) {
        let path = dir.join(TOKENIZER_CONFIG);
        serde_json::from_str::<Value>(text).map_err(Error::format(&path, "JSON"))?;
    }
    // The generation configuration's end-of-sequence tokens take precedence over those of `config.json`.
    if let Some((_, text)) = companions.iter().find(|(name, _)| name == GENERATION_CONFIG) {
        let path = dir.join(GENERATION_CONFIG);
        let value: Value = serde_json::from_str(text).map_err(Error::format(&path, "JSON"))?;
        if let Ok(ids) = serde_json::from_value::<TokenIds>(value["eos_token_id"].clone()) {
            config.eos_tokens = ids.into_vec();
            config.check(&path)?;
        }
    }

    let weights = Weights::open(dir)?;
    let mut read = HashSet::new();
    let transformer = Transformer::build(&config, &mut |name, shape| {
        read.insert(name.to_owned());
        weights.get(name, shape, device)
    })?;
    weights.require_all_read(&read, &config)?;
    Ok(Policy { config, tokenizer, transformer, companions })
}

/// Returns the chat template, in Jinja, if one is among a model's companion files; the default one of several.
pub(super) fn chat_template(companions: &[(String, String)]) -> Option<String> {
    if let Some((_, template)) = companions.iter().find(|(file, _)| file == CHAT_TEMPLATE) {
        return Some(template.clone());
    }
    match &tokenizer_config(companions)?["chat_template"] {
        Value::String(template) => Some(template.clone()),
        Value::Array(templates) => {
            let default = templates.iter().find(|template| template["name"] == "default")?;
            Some(default["template"].as_str()?.to_owned())
        }
        _ => None,
    }
}

/// Returns the tokens that a model's companion files name, such as `bos_token`.
pub(super) fn named_tokens(companions: &[(String, String)]) -> BTreeMap<String, String> {
    let config = tokenizer_config(companions).unwrap_or_default();
    let named = config.as_object().into_iter().flatten().filter(|(name, _)| name.ends_with("_token"));
    // A token is a text, or an object with the text and how it is matched.
    let token = |(name, value): (&String, &Value)| {
        Some((name.clone(), value.as_str().or(value["content"].as_str())?.to_owned()))
    };
    named.filter_map(token).collect()
}

fn tokenizer_config(companions: &[(String, String)]) -> Option<Value> {
    let (_, text) = companions.iter().find(|(file, _)| file == TOKENIZER_CONFIG)?;
    serde_json::from_str(text).ok()
}

/// Fails if texts can have tokens that the model has no row for. Fewer tokens than rows are common, because embeddings are
/// padded; and a special token without a row, because models of a family share a tokenizer, and not all read images.
pub(super) fn check_vocab_size(tokenizer: &Tokenizer, config: &ModelConfig, path: &Path) -> Result<()> {
    let (tokens, rows) = (tokenizer.text_vocab_size(), config.vocab_size);
    if tokens > rows {
        return Err(Error::Vocabulary { path: path.to_owned(), tokenizer: tokens, model: rows });
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::read(path))
}

/// The safetensors files of a folder, from which tensors are read one at a time.
struct Weights {
    dir: PathBuf,
    /// The file that holds each tensor.
    files: HashMap<String, PathBuf>,
    maps: HashMap<PathBuf, MmapedSafetensors>,
    /// [`TEXT_MODEL`], or nothing for a model of one part.
    prefix: &'static str,
}

impl Weights {
    fn open(dir: &Path) -> Result<Self> {
        let (single, index) = (dir.join(WEIGHTS), dir.join(INDEX));
        let (mut files, mut maps) = (HashMap::new(), HashMap::new());
        if single.is_file() || !index.is_file() {
            let tensors = safetensors::map(&single)?;
            files.extend(tensors.tensors().into_iter().map(|(name, _)| (name, single.clone())));
            maps.insert(single, tensors);
            return Ok(Self::new(dir, files, maps));
        }
        let value: Value = serde_json::from_str(&read(&index)?).map_err(Error::format(&index, "JSON"))?;
        let map = value["weight_map"].as_object().ok_or_else(|| Error::content(&index, "there is no `weight_map`"))?;
        for (name, file) in map {
            let file = file.as_str().filter(|file| !file.contains(['/', '\\'])).ok_or_else(|| {
                Error::content(
                    &index,
                    format!("the shard of `{name}` is {file}; it must be the name of a file in this folder"),
                )
            })?;
            let path = dir.join(file);
            if !maps.contains_key(&path) {
                maps.insert(path.clone(), safetensors::map(&path)?);
            }
            files.insert(name.clone(), path);
        }
        Ok(Self::new(dir, files, maps))
    }

    fn new(dir: &Path, files: HashMap<String, PathBuf>, maps: HashMap<PathBuf, MmapedSafetensors>) -> Self {
        let prefix = if files.keys().any(|name| name.starts_with(TEXT_MODEL)) { TEXT_MODEL } else { "" };
        Self { dir: dir.to_owned(), files, maps, prefix }
    }

    /// Fails if the folder has a weight that was not read: the model would compute something else than its makers meant.
    fn require_all_read(&self, read: &HashSet<String>, config: &ModelConfig) -> Result<()> {
        // Some folders keep the tied head, and the frequencies of positions, which follow from the configuration.
        let redundant = |name: &str| {
            name.ends_with("rotary_emb.inv_freq") || (config.tie_word_embeddings && name == "lm_head.weight")
        };
        let names = self.files.keys().filter_map(|name| name.strip_prefix(self.prefix));
        let mut unread: Vec<&str> = names.filter(|name| !read.contains(*name) && !redundant(name)).collect();
        unread.sort_unstable();
        let Some(first) = unread.first() else { return Ok(()) };
        let others = if unread.len() > 1 { format!(" and {} others", unread.len() - 1) } else { String::new() };
        let reason = format!(
            "no part of the architecture that {CONFIG} names reads the tensor `{first}`{others}; the folder is of another \
             kind of model, or holds adapters or quantised weights"
        );
        Err(Error::content(&self.dir, reason))
    }

    fn get(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let name = &format!("{}{name}", self.prefix);
        let path = self.files.get(name).ok_or_else(|| {
            Error::content(&self.dir, format!("there is no tensor `{name}`, which {CONFIG} calls for"))
        })?;
        let tensors =
            self.maps.get(path).ok_or_else(|| Error::content(path, format!("the shard of `{name}` is not open")))?;
        let tensor = tensors.load(name, device).map_err(|source| Error::ReadTensor {
            path: path.clone(),
            tensor: name.clone(),
            source: source.into(),
        })?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::content(path, format!("`{name}` has shape {found:?}; {CONFIG} calls for {shape:?}")));
        }
        if !tensor.dtype().is_float() {
            return Err(Error::content(path, format!("`{name}` holds {:?}, not floats", tensor.dtype())));
        }
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

/// Writes a folder, with adapters merged.
pub(super) fn save(policy: &Policy, dir: &Path) -> Result<()> {
    // Files are in f32, whatever the policy computes in.
    let model = lora::merge(&policy.transformer.clone().computing_in(DType::F32))?;
    let weights: BTreeMap<String, Tensor> = model.weights().into_iter().collect();
    let tokenizer = policy.tokenizer.to_json()?;
    alft_fs::folder(dir, |dir| {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|source| alft_fs::Error { path, source })
        };
        write(CONFIG, &policy.config.to_json())?;
        write(TOKENIZER, &tokenizer)?;
        for (name, text) in &policy.companions {
            write(name, text)?;
        }
        for (name, text) in standard_companions(policy) {
            if !policy.companions.iter().any(|(present, _)| *present == name) {
                write(&name, &text)?;
            }
        }
        let (config, model) = (dir.join(CONFIG), dir.join(WEIGHTS));
        safetensors::write(&weights, &model, &[("format", "pt")])?;
        // The library creates the file readable by its owner only; a model must be as readable as the rest of its folder.
        let permissions = fs::metadata(&config).map_err(Error::read(&config))?.permissions();
        fs::set_permissions(&model, permissions).map_err(|source| alft_fs::Error { path: model, source })?;
        Ok(())
    })
}

/// Returns the files that the Python library transformers needs beside the tokenizer, for a model that came without them.
fn standard_companions(policy: &Policy) -> [(String, String); 2] {
    let config = &policy.config;
    let eos = config.eos_tokens.first().and_then(|id| policy.tokenizer.token(*id));
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": false,
        "eos_token": eos,
        "bos_token": config.bos_token.and_then(|id| policy.tokenizer.token(id)),
    });
    let generation = json!({"bos_token_id": config.bos_token, "eos_token_id": config.eos_tokens});
    [
        (TOKENIZER_CONFIG.to_owned(), format!("{tokenizer:#}\n")),
        (GENERATION_CONFIG.to_owned(), format!("{generation:#}\n")),
    ]
}
