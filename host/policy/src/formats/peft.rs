//! Adapters in the format of the Python library PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use alft_text::Foreign;
use candle_core::{DType, Tensor, Var};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    formats::safetensors,
    model::{
        lora::{self, LoraConfig},
        transformer::{Adapter, Transformer},
    },
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// The weights of an adapter that was saved by an older version.
const PICKLE: &str = "adapter_model.bin";
/// The beginning of the names of weights.
const PREFIX: &str = "base_model.model.";
const EMBEDDING: &str = "model.embed_tokens.weight";
const HEAD: &str = "lm_head.weight";

/// The fields of `adapter_config.json` that change the computation.
#[derive(Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Value,
    #[serde(default)]
    lora_dropout: f64,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    modules_to_save: Option<Vec<String>>,
    #[serde(default)]
    ensure_weight_tying: bool,
    rank_pattern: Option<serde_json::Map<String, Value>>,
    alpha_pattern: Option<serde_json::Map<String, Value>>,
    #[serde(default)]
    init_lora_weights: Value,
    #[serde(default)]
    alora_invocation_tokens: Value,
}

/// The ways of drawing an adapter's first weights that leave the model's as they are. PEFT also knows some that change them, and
/// changes them again whenever it loads the adapter.
const PLAIN_STARTS: [&str; 3] = ["gaussian", "eva", "orthogonal"];

/// Reads the settings of an adapter.
pub(crate) fn config(dir: &Path) -> Result<LoraConfig> {
    Ok(read_config(dir)?.0)
}

/// Reads the settings of an adapter, and if an embedding that is also the head stays so.
fn read_config(dir: &Path) -> Result<(LoraConfig, bool)> {
    let path = dir.join(CONFIG);
    if !path.is_file() && dir.join("config.json").is_file() {
        let reason = "the folder is a whole model, not an adapter of PEFT: write it as `model.path`";
        return Err(Error::content(dir, reason));
    }
    let text = alft_fs::read_to_string(&path, alft_fs::MAX_SETTINGS).map_err(Error::read(&path))?;
    let value: Value =
        serde_json::from_str(text.trim_start_matches('\u{feff}')).map_err(Error::format(&path, "JSON"))?;
    if !value.is_object() {
        return Err(Error::content(
            &path,
            "the file must be an object in JSON, with the settings of an adapter of PEFT",
        ));
    }
    let config: PeftConfig = serde_json::from_value(value).map_err(Error::format(&path, "adapter_config.json"))?;
    let refused = |reason: &str| Err(Error::content(&path, reason));
    if config.peft_type != "LORA" {
        return refused(&format!("peft_type is {}; only LORA is supported", config.peft_type));
    }
    if config.use_dora || config.fan_in_fan_out {
        return refused("use_dora and fan_in_fan_out are not supported; they must be false");
    }
    if let Some(start) = config.init_lora_weights.as_str().filter(|start| !PLAIN_STARTS.contains(start)) {
        return refused(&format!(
            "init_lora_weights is {start}, which changes the model's weights; it is not supported",
            start = Foreign::new(&start)
        ));
    }
    if !config.alora_invocation_tokens.is_null() {
        return refused("alora_invocation_tokens is not supported; it must be null");
    }
    if config.bias.is_some_and(|bias| bias != "none") {
        return refused("bias is not supported; it must be none");
    }
    if [config.rank_pattern, config.alpha_pattern].into_iter().flatten().any(|pattern| !pattern.is_empty()) {
        return refused("rank_pattern and alpha_pattern are not supported; they must be empty");
    }
    let targets = match config.target_modules {
        Value::Array(names) => names.into_iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
        Value::String(name) => vec![name],
        _ => Vec::new(),
    };
    let modules_to_save = config.modules_to_save.unwrap_or_default();
    let lora = LoraConfig {
        rank: config.r,
        alpha: config.lora_alpha,
        targets,
        rslora: config.use_rslora,
        dropout: config.lora_dropout,
        modules_to_save,
    };
    lora.check().map_err(|error| Error::content(&path, error.to_string()))?;
    Ok((lora, config.ensure_weight_tying))
}

/// Returns the model with the adapter of a folder at every target, and with the modules that the folder has whole. Their
/// weights are the only variables.
pub(crate) fn attach(model: &Transformer, dir: &Path) -> Result<Transformer> {
    let (config, keeps_tied) = read_config(dir)?;
    let saved = config.saved(model).map_err(|error| Error::content(&dir.join(CONFIG), error.to_string()))?;
    let tied_and_saved = saved.contains(EMBEDDING) && model.head_is_embedding();
    if tied_and_saved && !keeps_tied {
        let reason = "modules_to_save has the embedding of a model whose head is its embedding, and the adapter was trained \
                      with two; that is not supported without ensure_weight_tying";
        return Err(Error::content(&dir.join(CONFIG), reason));
    }
    let path = dir.join(WEIGHTS);
    if !path.exists() && dir.join(PICKLE).is_file() {
        let reason = format!(
            "the folder has its weights in {PICKLE}, a format that runs code when it is read: load the adapter with peft, and save \
             it by `model.save_pretrained(folder, safe_serialization=True)`"
        );
        return Err(Error::content(dir, reason));
    }
    let weights = safetensors::map(&path)?;
    safetensors::require_floats(&weights, &path)?;
    let mut unread: BTreeSet<String> = weights.tensors().into_iter().map(|(name, _)| name).collect();
    let device = model.device().clone();
    let mut read = |name: &str, shape: &[usize]| -> Result<Tensor> {
        let name = format!("{PREFIX}{name}");
        let tensor = weights.load(&name, &device).map_err(|source| Error::ReadTensor {
            path: path.clone(),
            tensor: name.clone(),
            source: source.into(),
        })?;
        if tensor.dims() != shape {
            let found = tensor.dims();
            return Err(Error::content(
                &path,
                format!("`{name}` has shape {found:?}; the model calls for {shape:?}", name = Foreign::new(&name)),
            ));
        }
        unread.remove(&name);
        Ok(tensor.to_dtype(DType::F32)?)
    };
    let mut model = lora::frozen_but(model, &mut |name, weight| {
        saved.contains(name).then(|| read(name, weight.dims())).transpose()
    })?;
    model.visit_projections(&mut |name, projection| {
        if !config.adapts(name) {
            return Ok(());
        }
        let (out, width) = projection.weight.dims2();
        let mut variable = |part: &str, shape: [usize; 2]| -> Result<Tensor> {
            Ok(Var::from_tensor(&read(&format!("{name}.{part}.weight"), &shape)?)?.into_inner())
        };
        let (a, b) = (variable("lora_A", [config.rank, width])?, variable("lora_B", [out, config.rank])?);
        projection.adapter = Some(Adapter { a, b, scale: config.scale(), dropout: config.dropout() });
        Ok(())
    })?;
    if tied_and_saved {
        // PEFT writes the embedding a second time, under the head's name.
        unread.remove(&format!("{PREFIX}{HEAD}"));
    }
    match unread.first() {
        Some(name) => Err(Error::content(
            &path,
            format!("no target of the adapter in the model reads the tensor `{name}`", name = Foreign::new(&name)),
        )),
        None => Ok(model),
    }
}

/// Writes the adapters of a model, which was made of the one at `base`, and its modules that are trained whole, as a folder.
/// Returns false for a model without adapters, and writes nothing.
pub(crate) fn save(model: &Transformer, base: &Path, dir: &Path) -> Result<bool> {
    let (mut weights, mut targets, mut settings) = (BTreeMap::new(), BTreeSet::new(), None);
    model.clone().visit_projections(&mut |name, projection| {
        if let Some(Adapter { a, b, scale, dropout }) = &projection.adapter {
            weights.insert(format!("{PREFIX}{name}.lora_A.weight"), a.to_dtype(DType::F32)?);
            weights.insert(format!("{PREFIX}{name}.lora_B.weight"), b.to_dtype(DType::F32)?);
            targets.insert(name.rsplit('.').next().unwrap_or(name).to_owned());
            settings = Some((a.dim(0)?, *scale, dropout.rate));
        }
        Ok(())
    })?;
    let Some((rank, scale, dropout)) = settings else { return Ok(false) };
    let mut modules = BTreeSet::new();
    for (name, weight) in model.weights() {
        if weight.is_variable() && !lora::is_adapter(&name) {
            modules.insert(lora::module_of(&name).to_owned());
            weights.insert(format!("{PREFIX}{name}"), weight.to_dtype(DType::F32)?);
        }
    }
    let keeps_tied = model.head_is_embedding() && weights.contains_key(&format!("{PREFIX}{EMBEDDING}"));
    if keeps_tied {
        weights.insert(format!("{PREFIX}{HEAD}"), model.head().to_dtype(DType::F32)?);
    }
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": scale * rank as f64,
        "lora_dropout": dropout,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": (!modules.is_empty()).then_some(modules),
        "ensure_weight_tying": keeps_tied,
        "inference_mode": true,
    });
    alft_fs::folder(dir, |dir| {
        let path = dir.join(CONFIG);
        fs::write(&path, format!("{config:#}\n")).map_err(|source| alft_fs::Error { path: path.clone(), source })?;
        let weights_path: PathBuf = dir.join(WEIGHTS);
        safetensors::write(&weights, &weights_path, &[("format", "pt")])?;
        // As for a model: the library makes the file readable by its owner only.
        let permissions = fs::metadata(&path).map_err(Error::read(&path))?.permissions();
        fs::set_permissions(&weights_path, permissions)
            .map_err(|source| alft_fs::Error { path: weights_path, source })?;
        Ok::<_, Error>(())
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::{
        OptimiserConfig, Policy, Trainer, Tuning,
        formats::safetensors::tests::{OTHERS, retype},
    };

    #[test]
    fn a_folder_that_is_no_adapter_is_named_for_what_it_is() {
        let home = tempfile::tempdir().unwrap();
        let (model, adapter) = (home.path().join("model"), home.path().join("adapter"));
        let policy = Policy::tiny(0, &Device::Cpu).unwrap();
        policy.save(&model).unwrap();
        let open = |tuning: Tuning| Trainer::new(policy.clone(), &tuning, OptimiserConfig::default(), 4096, 1);
        let trainer = open(Tuning::Lora(LoraConfig::default())).unwrap();
        assert!(trainer.policy().save_adapter(Path::new("base"), &adapter).unwrap());
        let refused = |dir: &Path| open(Tuning::Adapter(dir.to_owned())).err().unwrap().to_string();
        let message = refused(&model);
        assert!(message.contains("the folder is a whole model, not an adapter of PEFT"), "{message}");

        let (path, tensor) = (adapter.join(WEIGHTS), format!("{PREFIX}model.layers.0.self_attn.q_proj.lora_A.weight"));
        let kept = fs::read(&path).unwrap();
        for dtype in OTHERS {
            retype(&path, &tensor, dtype);
            let message = refused(&adapter);
            assert!(message.contains(&format!("`{tensor}` is of the type {dtype:?}; weights are read")), "{message}");
            fs::write(&path, &kept).unwrap();
        }
        fs::rename(&path, adapter.join(PICKLE)).unwrap();
        let message = refused(&adapter);
        assert!(message.contains("has its weights in adapter_model.bin, a format that runs code"), "{message}");
        fs::rename(adapter.join(PICKLE), &path).unwrap();
        let config = fs::read_to_string(adapter.join(CONFIG)).unwrap();
        fs::write(adapter.join(CONFIG), format!("\u{feff}{config}")).unwrap();
        open(Tuning::Adapter(adapter.clone())).unwrap();
        fs::write(adapter.join(CONFIG), "[]").unwrap();
        assert!(refused(&adapter).contains("must be an object in JSON"), "{}", refused(&adapter));
    }
}
