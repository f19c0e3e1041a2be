//! Models as Hugging Face folders: `config.json`, `tokenizer.json`, and weights in safetensors, one file or shards.

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, File},
    path::{Path, PathBuf},
};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use crate::{
    atomic,
    config::{ModelConfig, TokenIds},
    error::{Error, Result},
    lora,
    policy::Policy,
    tokenizer::Tokenizer,
    transformer::Transformer,
};

const CONFIG: &str = "config.json";
const TOKENIZER: &str = "tokenizer.json";
pub(crate) const TOKENIZER_CONFIG: &str = "tokenizer_config.json";
const GENERATION_CONFIG: &str = "generation_config.json";
pub(crate) const CHAT_TEMPLATE: &str = "chat_template.jinja";
const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// Files that are carried along unread.
const COMPANIONS: [&str; 4] = [TOKENIZER_CONFIG, GENERATION_CONFIG, "special_tokens_map.json", CHAT_TEMPLATE];

/// Loads a folder. Weights in `f16` and `bf16` are widened to `f32`.
pub(crate) fn load(dir: &Path, device: &Device) -> Result<Policy> {
    let config_path = dir.join(CONFIG);
    let mut config = ModelConfig::from_json(&read(&config_path)?, &config_path)?;
    let tokenizer_path = dir.join(TOKENIZER);
    let tokenizer = Tokenizer::from_json(&read(&tokenizer_path)?, &tokenizer_path)?;
    check_vocabulary(&tokenizer, &config, dir)?;

    let mut companions = Vec::new();
    for name in COMPANIONS {
        let path = dir.join(name);
        if path.is_file() {
            companions.push((name.to_owned(), read(&path)?));
        }
    }
    // What ends a text is decided by the generation configuration where there is one.
    if let Some((_, text)) = companions.iter().find(|(name, _)| name == GENERATION_CONFIG) {
        let path = dir.join(GENERATION_CONFIG);
        let mut value: Value = serde_json::from_str(text).map_err(|error| Error::file(&path, error))?;
        if let Ok(ids) = serde_json::from_value::<TokenIds>(value["eos_token_id"].take()) {
            config.eos_tokens = ids.into_vec();
            config.check().map_err(|reason| Error::file(&path, reason))?;
        }
    }

    let weights = Weights::open(dir)?;
    let transformer = Transformer::build(&config, &mut |name, shape| weights.get(name, shape, device))?;
    Ok(Policy { config, tokenizer, transformer, companions })
}

/// Refuses a tokenizer that produces tokens the model has no row for. Fewer tokens than rows are common (padding).
pub(crate) fn check_vocabulary(tokenizer: &Tokenizer, config: &ModelConfig, path: &Path) -> Result<()> {
    let (tokens, rows) = (tokenizer.vocabulary(), config.vocab_size);
    if tokens > rows {
        return Err(Error::Vocabulary { path: path.to_owned(), tokenizer: tokens, model: rows });
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::io(path, source))
}

/// The safetensors files of a folder, read a tensor at a time.
struct Weights {
    dir: PathBuf,
    /// The file that holds each tensor.
    files: HashMap<String, PathBuf>,
    open: HashMap<PathBuf, candle_core::safetensors::MmapedSafetensors>,
}

impl Weights {
    fn open(dir: &Path) -> Result<Self> {
        let (single, index) = (dir.join(WEIGHTS), dir.join(INDEX));
        let (mut files, mut open) = (HashMap::new(), HashMap::new());
        if single.is_file() || !index.is_file() {
            let tensors = map_file(&single)?;
            files.extend(tensors.tensors().into_iter().map(|(name, _)| (name, single.clone())));
            open.insert(single, tensors);
            return Ok(Self { dir: dir.to_owned(), files, open });
        }
        let value: Value = serde_json::from_str(&read(&index)?).map_err(|error| Error::file(&index, error))?;
        let map = value["weight_map"].as_object().ok_or_else(|| Error::file(&index, "has no `weight_map`"))?;
        for (name, file) in map {
            let file = file.as_str().filter(|file| !file.contains(['/', '\\'])).ok_or_else(|| {
                Error::file(&index, format!("the shard of `{name}` is {file}; it must name a file of this folder"))
            })?;
            let path = dir.join(file);
            if !open.contains_key(&path) {
                open.insert(path.clone(), map_file(&path)?);
            }
            files.insert(name.clone(), path);
        }
        Ok(Self { dir: dir.to_owned(), files, open })
    }

    fn get(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let path = self.files.get(name).ok_or_else(|| {
            Error::file(&self.dir, format!("the weights have no tensor `{name}`, which {CONFIG} promises"))
        })?;
        let tensors = self.open.get(path).ok_or_else(|| Error::file(path, "is not open"))?;
        let tensor = tensors.load(name, device).map_err(|error| Error::file(path, format!("`{name}`: {error}")))?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::file(path, format!("`{name}` has shape {found:?}; {CONFIG} promises {shape:?}")));
        }
        if !tensor.dtype().is_float() {
            return Err(Error::file(path, format!("`{name}` holds {:?}, not floats", tensor.dtype())));
        }
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

fn map_file(path: &Path) -> Result<candle_core::safetensors::MmapedSafetensors> {
    // Opened first for the operating system's own error; the library's names no file.
    File::open(path).map_err(|source| Error::io(path, source))?;
    // SAFETY: the file is mapped for reading while the model loads; a folder that another process rewrites in that time
    // is outside what a memory map can promise, and folders of ours are replaced by renaming, which leaves maps intact.
    unsafe { candle_core::safetensors::MmapedSafetensors::new(path) }
        .map_err(|error| Error::file(path, format!("not a safetensors file: {error}")))
}

/// Writes a folder, adapters merged.
pub(crate) fn save(policy: &Policy, dir: &Path) -> Result<()> {
    let model = lora::merge(&policy.transformer)?;
    let weights: BTreeMap<String, Tensor> = model.weights().into_iter().collect();
    let tokenizer = policy.tokenizer.to_json()?;
    atomic::folder(dir, |dir| {
        let write = |name: &str, text: &str| {
            let path = dir.join(name);
            fs::write(&path, text).map_err(|source| Error::io(&path, source))
        };
        write(CONFIG, &policy.config.to_json())?;
        write(TOKENIZER, &tokenizer)?;
        for (name, text) in &policy.companions {
            write(name, text)?;
        }
        for (name, text) in standard_companions(policy) {
            if !policy.companions.iter().any(|(there, _)| *there == name) {
                write(&name, &text)?;
            }
        }
        let (config, model) = (dir.join(CONFIG), dir.join(WEIGHTS));
        save_tensors(&weights, &model, &[("format", "pt")])?;
        // The library makes the file for its owner alone; a model is to be read by whoever may read its folder.
        let permissions = fs::metadata(&config).map_err(|source| Error::io(&config, source))?.permissions();
        fs::set_permissions(&model, permissions).map_err(|source| Error::io(&model, source))
    })
}

/// What transformers needs beside the tokenizer when the model brought nothing of its own.
fn standard_companions(policy: &Policy) -> [(String, String); 2] {
    let config = &policy.config;
    let eos = config.eos_tokens.first().and_then(|id| policy.tokenizer.token(*id));
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context,
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

/// Writes tensors to a safetensors file with some text in its header.
pub(crate) fn save_tensors(tensors: &BTreeMap<String, Tensor>, path: &Path, metadata: &[(&str, &str)]) -> Result<()> {
    let metadata = metadata.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|error| Error::file(path, format!("could not be written: {error}")))
}
