//! Adapters in the format of the Python library PEFT: `adapter_config.json` and `adapter_model.safetensors`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use candle_core::{DType, Tensor, Var};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    formats::safetensors,
    model::{
        lora::LoraConfig,
        transformer::{Adapter, Transformer},
    },
};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// The beginning of the names of weights.
const PREFIX: &str = "base_model.model.";

/// The fields of `adapter_config.json` that change the computation.
#[derive(Deserialize)]
struct PeftConfig {
    peft_type: String,
    r: usize,
    lora_alpha: f64,
    target_modules: Value,
    #[serde(default)]
    use_rslora: bool,
    #[serde(default)]
    use_dora: bool,
    #[serde(default)]
    fan_in_fan_out: bool,
    bias: Option<String>,
    modules_to_save: Option<Vec<String>>,
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
    let path = dir.join(CONFIG);
    let text = fs::read_to_string(&path).map_err(Error::read(&path))?;
    let config: PeftConfig = serde_json::from_str(&text).map_err(Error::format(&path, "adapter_config.json"))?;
    let refused = |reason: &str| Err(Error::content(&path, reason));
    if config.peft_type != "LORA" {
        return refused(&format!("peft_type is {}; only LORA is supported", config.peft_type));
    }
    if config.use_dora || config.fan_in_fan_out {
        return refused("use_dora and fan_in_fan_out are not supported; they must be false");
    }
    if let Some(start) = config.init_lora_weights.as_str().filter(|start| !PLAIN_STARTS.contains(start)) {
        return refused(&format!(
            "init_lora_weights is {start}, which changes the model's weights; it is not supported"
        ));
    }
    if !config.alora_invocation_tokens.is_null() {
        return refused("alora_invocation_tokens is not supported; it must be null");
    }
    if config.bias.is_some_and(|bias| bias != "none") {
        return refused("bias is not supported; it must be none");
    }
    if config.modules_to_save.is_some_and(|modules| !modules.is_empty()) {
        return refused("modules_to_save is not supported; it must be empty");
    }
    if [config.rank_pattern, config.alpha_pattern].into_iter().flatten().any(|pattern| !pattern.is_empty()) {
        return refused("rank_pattern and alpha_pattern are not supported; they must be empty");
    }
    let targets = match config.target_modules {
        Value::Array(names) => names.into_iter().filter_map(|name| Some(name.as_str()?.to_owned())).collect(),
        Value::String(name) => vec![name],
        _ => Vec::new(),
    };
    let lora = LoraConfig { rank: config.r, alpha: config.lora_alpha, targets, rslora: config.use_rslora };
    lora.check().map_err(|error| Error::content(&path, error.to_string()))?;
    Ok(lora)
}

/// Returns the model with the adapter of a folder at every target. The adapter's weights are the only variables.
pub(crate) fn attach(model: &Transformer, dir: &Path) -> Result<Transformer> {
    let config = config(dir)?;
    let path = dir.join(WEIGHTS);
    let weights = safetensors::map(&path)?;
    let mut unread: BTreeSet<String> = weights.tensors().into_iter().map(|(name, _)| name).collect();
    let mut model = model.detached()?;
    model.visit_projections(&mut |name, projection| {
        if !config.adapts(name) {
            return Ok(());
        }
        let (out, width) = projection.weight.dims2()?;
        let mut weight = |part: &str, shape: [usize; 2]| -> Result<Tensor> {
            let name = format!("{PREFIX}{name}.{part}.weight");
            let device = projection.weight.device();
            let tensor = weights.load(&name, device).map_err(|source| Error::ReadTensor {
                path: path.clone(),
                tensor: name.clone(),
                source: source.into(),
            })?;
            if tensor.dims() != shape {
                let found = tensor.dims();
                return Err(Error::content(
                    &path,
                    format!("`{name}` has shape {found:?}; the model calls for {shape:?}"),
                ));
            }
            unread.remove(&name);
            Ok(Var::from_tensor(&tensor.to_dtype(DType::F32)?)?.into_inner())
        };
        let (a, b) = (weight("lora_A", [config.rank, width])?, weight("lora_B", [out, config.rank])?);
        projection.adapter = Some(Adapter { a, b, scale: config.scale() });
        Ok(())
    })?;
    match unread.first() {
        Some(name) => {
            Err(Error::content(&path, format!("no target of the adapter in the model reads the tensor `{name}`")))
        }
        None => Ok(model),
    }
}

/// Writes the adapters of a model, which was made of the one at `base`, as a folder. Returns false for a model without
/// adapters, and writes nothing.
pub(crate) fn save(model: &Transformer, base: &Path, dir: &Path) -> Result<bool> {
    let (mut weights, mut targets, mut settings) = (BTreeMap::new(), BTreeSet::new(), None);
    model.clone().visit_projections(&mut |name, projection| {
        if let Some(Adapter { a, b, scale }) = &projection.adapter {
            weights.insert(format!("{PREFIX}{name}.lora_A.weight"), a.to_dtype(DType::F32)?);
            weights.insert(format!("{PREFIX}{name}.lora_B.weight"), b.to_dtype(DType::F32)?);
            targets.insert(name.rsplit('.').next().unwrap_or(name).to_owned());
            settings = Some((a.dim(0)?, *scale));
        }
        Ok(())
    })?;
    let Some((rank, scale)) = settings else { return Ok(false) };
    let config = json!({
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": scale * rank as f64,
        "lora_dropout": 0.0,
        "target_modules": targets,
        "bias": "none",
        "fan_in_fan_out": false,
        "use_rslora": false,
        "use_dora": false,
        "modules_to_save": null,
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
