//! Hugging Face folders: `config.json`, `tokenizer.json`, and weights in safetensors, in one file or in shards.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use alft_text::Foreign;
use candle_core::{DType, Device, Tensor, safetensors::MmapedSafetensors};
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::{
    export::ExportType,
    mistaken,
    safetensors::{self, INDEX, WEIGHTS},
};
use crate::{
    error::{Error, Result},
    model::{
        companions::{self, CHAT_TEMPLATE, CONFIG, Companions, GENERATION_CONFIG, TOKENIZER, TOKENIZER_CONFIG},
        config::ModelConfig,
        config_json::eos_tokens,
        json_text,
        quantisation::Quantisation,
        tokenizer::Tokenizer,
        tokenizer_json,
        transformer::Transformer,
        weight::{Weight, WeightSource},
    },
    policy::Policy,
};

/// The beginning of the names of a text model's weights in a model of several parts, whose others are not read.
const TEXT_MODEL: &str = "language_model.";

const BYTE_ORDER_MARK: char = '\u{feff}';

/// Loads a folder. Weights in `f16` and `bf16` are converted to `f32`, and projections quantised.
pub(super) fn load(dir: &Path, device: &Device, quantisation: Option<Quantisation>) -> Result<Policy> {
    mistaken::check_folder(dir)?;
    let config_path = dir.join(CONFIG);
    let mut config = ModelConfig::from_json(&read(&config_path)?, &config_path)?;
    let companions = companions(dir)?;
    let tokenizer = tokenizer(dir, &companions)?;
    check_vocab_size(&tokenizer, &config, dir)?;
    // The generation configuration's end-of-sequence tokens take precedence over those of `config.json`.
    if let Some(text) = companions.get(GENERATION_CONFIG) {
        let path = dir.join(GENERATION_CONFIG);
        let value: Value = serde_json::from_str(text).map_err(Error::format(&path, "JSON"))?;
        if let Some(ids) = eos_tokens(&value).map_err(|reason| Error::content(&path, reason))? {
            config.eos_tokens = ids;
            config.check(&path)?;
        }
    }
    // A folder that names the token only in words means it all the same.
    if config.eos_tokens.is_empty()
        && let Some(token) = companions.get(TOKENIZER_CONFIG).and_then(eos_token)
    {
        config.eos_tokens.extend(tokenizer.token_id(&token));
    }

    let weights = Weights::open(dir)?;
    let mut source = Source { weights: &weights, read: HashSet::new(), device, quantisation };
    let transformer = Transformer::build(&config, &mut source)?;
    weights.require_all_read(&source.read, &config)?;
    Ok(Policy { config, tokenizer, transformer, companions })
}

/// Reads the files that are kept as text.
fn companions(dir: &Path) -> Result<Companions> {
    let mut files = BTreeMap::new();
    for name in companions::NAMES {
        let path = dir.join(name);
        if path.is_file() {
            let text = read(&path)?;
            if let Some(other) = alft_fs::other_format(text.as_bytes()) {
                return Err(Error::content(&path, format!("the file is {other}")));
            }
            if name != CHAT_TEMPLATE {
                serde_json::from_str::<IgnoredAny>(&text).map_err(Error::format(&path, "JSON"))?;
            }
            files.insert(name, text);
        }
    }
    Ok(Companions::new(files))
}

/// Returns the end-of-sequence token that a `tokenizer_config.json` names, as a text or as an added token.
fn eos_token(config: &str) -> Option<String> {
    let config: Value = serde_json::from_str(config).ok()?;
    let token = &config["eos_token"];
    token.as_str().or_else(|| token["content"].as_str()).map(str::to_owned)
}

/// Reads the tokenizer, whose configuration decides about the beginning of texts before its `tokenizer.json` does.
fn tokenizer(dir: &Path, companions: &Companions) -> Result<Tokenizer> {
    let path = dir.join(TOKENIZER);
    let tokenizer = match companions.get(TOKENIZER) {
        Some(text) => Tokenizer::from_json(text, &path)?,
        None => Tokenizer::from_json(&read(&path)?, &path)?,
    };
    let bos = companions.named_tokens().get("bos_token").and_then(|token| tokenizer.token_id(token));
    Ok(match (companions.adds_bos(), bos) {
        (Some(true), Some(bos)) => tokenizer.beginning_with(&[bos]),
        (Some(_), _) => tokenizer.beginning_with(&[]),
        (None, _) => tokenizer,
    })
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

/// Reads a file that is text, without the mark of byte order that some programs for Windows put at its beginning.
fn read(path: &Path) -> Result<String> {
    let text = alft_fs::read_to_string(path, alft_fs::MAX_DESCRIPTION).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => Error::format(path, "text")(error),
        _ => Error::read(path)(error),
    })?;
    Ok(match text.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) => rest.to_owned(),
        None => text,
    })
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
            safetensors::require_floats(&tensors, &single)?;
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
                    format!(
                        "the shard of `{name}` is {file}; it must be the name of a file in this folder",
                        name = Foreign::new(&name),
                        file = Foreign::new(file.to_string())
                    ),
                )
            })?;
            let path = dir.join(file);
            if !path.is_file() {
                return Err(Error::content(
                    dir,
                    format!("the folder is missing {file}, which {INDEX} names; fetch it too"),
                ));
            }
            if !maps.contains_key(&path) {
                let tensors = safetensors::map(&path)?;
                safetensors::require_floats(&tensors, &path)?;
                maps.insert(path.clone(), tensors);
            }
            if maps.get(&path).is_some_and(|tensors| tensors.get(name).is_err()) {
                let reason = format!(
                    "there is no tensor `{name}`, which {INDEX} has in this file; fetch both again, of one revision",
                    name = Foreign::new(name)
                );
                return Err(Error::content(&path, reason));
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
             kind of model, or holds adapters or quantised weights",
            first = Foreign::new(&first)
        );
        Err(Error::content(&self.dir, reason))
    }

    fn get(&self, name: &str, shape: &[usize], device: &Device) -> Result<Tensor> {
        let name = &format!("{}{name}", self.prefix);
        let path = self.files.get(name).ok_or_else(|| {
            Error::content(
                &self.dir,
                format!("there is no tensor `{name}`, which {CONFIG} calls for", name = Foreign::new(&name)),
            )
        })?;
        let tensors = self.maps.get(path).ok_or_else(|| {
            Error::content(path, format!("the shard of `{name}` is not open", name = Foreign::new(&name)))
        })?;
        let tensor = tensors.load(name, device).map_err(|source| Error::ReadTensor {
            path: path.clone(),
            tensor: name.clone(),
            source: source.into(),
        })?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::content(
                path,
                format!("`{name}` has shape {found:?}; {CONFIG} calls for {shape:?}", name = Foreign::new(&name)),
            ));
        }
        Ok(tensor.to_dtype(DType::F32)?)
    }
}

/// The reading of a folder's weights.
struct Source<'a> {
    weights: &'a Weights,
    /// The names of those that were read.
    read: HashSet<String>,
    device: &'a Device,
    quantisation: Option<Quantisation>,
}

impl WeightSource for Source<'_> {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        self.read.insert(name.to_owned());
        self.weights.get(name, shape, self.device)
    }

    fn projection(&mut self, name: &str, shape: &[usize]) -> Result<Weight> {
        let Some(quantisation) = self.quantisation else { return Ok(Weight::Plain(self.tensor(name, shape)?)) };
        self.read.insert(name.to_owned());
        quantisation.quantise(name, &self.weights.get(name, shape, &Device::Cpu)?, self.device)
    }
}

/// Writes a model's files into an empty folder. Files that came with the model are written as they came, so that
/// keys that this crate does not know are kept.
pub(super) fn write(policy: &Policy, model: &Transformer, dir: &Path, format: ExportType) -> Result<()> {
    let weights = model.weights().into_iter().map(|(name, weight)| Ok((name, weight.to_dtype(format.dtype())?)));
    let weights: BTreeMap<String, Tensor> = weights.collect::<Result<_>>()?;
    let mut files: BTreeMap<&str, String> = standard_files(policy)?;
    let kept = policy.companions.files().filter(|(name, text)| *name != CONFIG || is_of_a_text_model(text));
    files.extend(kept.map(|(name, text)| (name, text.to_owned())));
    if let Some(tokenizer) = files.get_mut(TOKENIZER) {
        *tokenizer = tokenizer_json::with_keys_off(tokenizer);
    }
    if let Some(config) = files.get_mut(CONFIG) {
        *config = with_dtype(config, format);
    }
    for (name, text) in &files {
        let path = dir.join(name);
        fs::write(&path, text).map_err(|source| alft_fs::Error { path, source })?;
    }
    let (config, model) = (dir.join(CONFIG), dir.join(WEIGHTS));
    safetensors::write(&weights, &model, &[("format", "pt")])?;
    // The library creates the file readable by its owner only; a model must be as readable as the rest of its folder.
    let permissions = fs::metadata(&config).map_err(Error::read(&config))?.permissions();
    fs::set_permissions(&model, permissions).map_err(|source| alft_fs::Error { path: model, source })?;
    Ok(())
}

/// Returns true unless a `config.json` is that of a model of several parts, whose text model alone is exported.
fn is_of_a_text_model(config: &str) -> bool {
    serde_json::from_str::<Value>(config).is_ok_and(|config| config["text_config"].is_null())
}

/// Returns the files of a model that came without them.
fn standard_files(policy: &Policy) -> Result<BTreeMap<&'static str, String>> {
    let config = &policy.config;
    let token = |id: Option<&u32>| id.and_then(|id| policy.tokenizer.token(*id));
    let tokenizer = json!({
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": config.context_length,
        "clean_up_tokenization_spaces": false,
        "eos_token": token(config.eos_tokens.first()),
        "bos_token": token(config.bos_token.as_ref()),
    });
    let generation = json!({"bos_token_id": config.bos_token, "eos_token_id": config.eos_tokens});
    let mut files = BTreeMap::from([
        (CONFIG, config.to_json()),
        (TOKENIZER_CONFIG, format!("{tokenizer:#}\n")),
        (GENERATION_CONFIG, format!("{generation:#}\n")),
    ]);
    if policy.companions.get(TOKENIZER).is_none() {
        files.insert(TOKENIZER, policy.tokenizer.to_json()?);
    }
    Ok(files)
}

/// Returns the text of a `config.json` that names the type of the weights, under the names that it had for it.
fn with_dtype(config: &str, format: ExportType) -> String {
    let name = match format {
        ExportType::F32 => "float32",
        ExportType::Bf16 => "bfloat16",
    };
    let name = json!(name).to_string();
    let members = json_text::members(config);
    let changes: Vec<(&str, &str)> =
        ["dtype", "torch_dtype"].iter().filter_map(|key| Some((*members.get(*key)?, name.as_str()))).collect();
    match config.split_once('{') {
        Some((before, rest)) if changes.is_empty() => {
            let comma = if members.is_empty() { "" } else { "," };
            format!("{before}{{\n  \"torch_dtype\": {name}{comma}{rest}")
        }
        _ => json_text::with_values(config, &changes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_type_of_the_weights_changes_in_a_configuration() {
        let of = |config: &str| with_dtype(config, ExportType::Bf16);
        assert_eq!(
            of("{\"a\": 123456789012345678901234567890, \"dtype\" : null}\n"),
            "{\"a\": 123456789012345678901234567890, \"dtype\" : \"bfloat16\"}\n"
        );
        assert_eq!(
            of("{\"b\":1e2,\"a\":{\"dtype\":1},\"torch_dtype\":\"float32\",\"dtype\":\"float32\"}"),
            "{\"b\":1e2,\"a\":{\"dtype\":1},\"torch_dtype\":\"bfloat16\",\"dtype\":\"bfloat16\"}"
        );
        assert_eq!(of("{\"b\": 1}"), "{\n  \"torch_dtype\": \"bfloat16\",\"b\": 1}");
    }

    #[test]
    fn an_export_has_the_tokenizer_as_it_came_but_for_the_keys_that_are_off() {
        let home = tempfile::tempdir().unwrap();
        let (source, export) = (home.path().join("source"), home.path().join("export"));
        Policy::tiny(0, &Device::Cpu).unwrap().save(&source).unwrap();
        let path = source.join(TOKENIZER);
        let text = fs::read_to_string(&path).unwrap();
        let cut = "\"truncation\": {\"max_length\": 2, \"strategy\": \"LongestFirst\", \"stride\": 0}";
        assert!(text.contains("\"truncation\": null"));
        fs::write(&path, text.replace("\"truncation\": null", cut)).unwrap();
        let policy = Policy::open(&source, &Device::Cpu).unwrap();
        policy.save(&export).unwrap();
        assert_eq!(fs::read_to_string(export.join(TOKENIZER)).unwrap(), text);
    }

    #[test]
    fn tokens_that_end_a_text_are_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        Policy::tiny(0, &Device::Cpu).unwrap().save(&model).unwrap();
        let message = |name: &str, text: &str| {
            let path = model.join(name);
            let kept = fs::read(&path).unwrap();
            fs::write(&path, text).unwrap();
            let message = Policy::open(&model, &Device::Cpu).map(|_| ()).map_err(|error| error.to_string());
            fs::write(&path, kept).unwrap();
            message
        };
        let config = fs::read_to_string(model.join(CONFIG)).unwrap();
        let words = "`eos_token_id` is ";
        for wrong in ["\"<eos>\"", "-1", "[1, \"x\"]", "{}", "1.5"] {
            let refused = message(GENERATION_CONFIG, &format!("{{\"eos_token_id\": {wrong}}}")).unwrap_err();
            assert!(refused.contains(words) && refused.contains("generation_config.json"), "{refused}");
            let (before, rest) = config.split_once("\"eos_token_id\": ").unwrap();
            let (_, after) = rest.split_once(if rest.starts_with('[') { "]" } else { "," }).unwrap();
            let comma = if rest.starts_with('[') { "" } else { "," };
            let refused = message(CONFIG, &format!("{before}\"eos_token_id\": {wrong}{comma}{after}")).unwrap_err();
            assert!(refused.contains(words) && refused.contains("/config.json"), "{refused}");
        }
        message(GENERATION_CONFIG, "{\"eos_token_id\": null}").unwrap();
        message(GENERATION_CONFIG, "\u{feff}{}").unwrap();
        message(CONFIG, &format!("\u{feff}{config}")).unwrap();
        let refused = message(TOKENIZER, "{\"model\": {\"type\": \"BBPE\"}}").unwrap_err();
        assert!(refused.contains("the tokenizer's model is `BBPE`; supported are BPE,"), "{refused}");
    }

    #[test]
    fn companions_of_another_format_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("model");
        Policy::tiny(0, &Device::Cpu).unwrap().save(&model).unwrap();
        for name in companions::NAMES {
            let path = model.join(name);
            let kept = fs::read(&path).ok();
            for (bytes, words) in [
                (b"version https://git-lfs.github.com/spec/v1\noid".as_slice(), "a pointer of Git LFS"),
                (b"\n <!DOCTYPE html>", "an HTML page"),
                (b"\x1f\x8b\x08\0\xff", "compressed by gzip"),
            ] {
                fs::write(&path, bytes).unwrap();
                let message = Policy::open(&model, &Device::Cpu).unwrap_err().to_string();
                assert!(message.contains(&format!("{name}: the file is {words}")), "{message}");
            }
            match kept {
                Some(kept) => fs::write(&path, kept).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
        }
    }
}
