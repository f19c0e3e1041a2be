//! LoRA, low-rank adapters: `y = x Wᵀ + scale · (x Aᵀ) Bᵀ`, with `W` frozen, `A` (rank, in) and `B` (out,
//! rank) trained. `B` starts at zero, so an untrained adapter does not change the output. In training, elements of the `x`
//! of the second term may be dropped at random. Some modules may be trained whole beside the adapters.
//!
//! Source: Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv 2106.09685.

use std::collections::BTreeSet;

use alft_text::Foreign;
use candle_core::{DType, Device, Result as TensorResult, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{
        init::Normal,
        transformer::{Adapter, Projection, Transformer},
        weight::Weight,
    },
    ops::Dropout,
    setting::within,
};

/// The settings of LoRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of each matrix's update.
    pub rank: usize,
    /// Strength of the update, which is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Scales by `alpha / √rank` instead: rsLoRA (Kalajdzievski, arXiv 2312.03732).
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub rslora: bool,
    /// Projections to adapt, from `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`; or `all-linear`,
    /// all of them.
    pub targets: Vec<String>,
    /// Probability that an element of an adapter's input is dropped in training.
    #[serde(skip_serializing_if = "is_default")]
    pub dropout: f64,
    /// Modules that are trained whole, by the end of their names, such as `embed_tokens`, `lm_head` or `norm`.
    #[serde(skip_serializing_if = "is_default")]
    pub modules_to_save: Vec<String>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self {
            rank: 16,
            alpha: 32.0,
            rslora: false,
            targets: vec!["q_proj".to_owned(), "v_proj".to_owned()],
            dropout: 0.0,
            modules_to_save: Vec::new(),
        }
    }
}

/// The largest rank: that of the widest known models, above which an update of a matrix has more numbers than the matrix.
const MAX_RANK: usize = 1 << 14;

/// The largest strength: gradients of the adapters' weights are proportional to it, and finite.
const MAX_ALPHA: f64 = 1e6;

/// The target that stands for all projections.
const ALL: &str = "all-linear";

/// The allowed values of [`LoraConfig::targets`].
const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl LoraConfig {
    /// Checks the settings, as far as they do not depend on the model.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range, by its name under `lora`.
    pub fn check(&self) -> Result<()> {
        if !(1..=MAX_RANK).contains(&self.rank) {
            let reason = format!("is {}; it must be from 1 to {MAX_RANK}", self.rank);
            return Err(Error::setting("lora.rank", reason));
        }
        if self.alpha == 0.0 {
            return Err(Error::setting("lora.alpha", "must be another number than 0, or the adapters change nothing"));
        }
        within("lora.alpha", self.alpha, -MAX_ALPHA..=MAX_ALPHA)?;
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::setting(
                "lora.dropout",
                format!("is {:?}; it must be at least 0 and below 1", self.dropout),
            ));
        }
        if let Some(both) = self.modules_to_save.iter().find(|module| self.targets.contains(module)) {
            let reason = format!(
                "has `{both}`, which is in `lora.targets` too: a module has adapters or is trained whole",
                both = Foreign::new(&both)
            );
            return Err(Error::setting("lora.modules_to_save", reason));
        }
        if self.modules_to_save.iter().any(String::is_empty) {
            return Err(Error::setting("lora.modules_to_save", "has an empty name, which stands for every module"));
        }
        if self.targets.is_empty() {
            return Err(Error::setting("lora.targets", format!("is empty; choose from {}", PROJECTIONS.join(", "))));
        }
        match self.targets.iter().find(|target| *target != ALL && !PROJECTIONS.contains(&target.as_str())) {
            Some(other) => Err(Error::setting(
                "lora.targets",
                format!(
                    "has `{other}`, which is no projection of the model; choose from {}",
                    PROJECTIONS.join(", "),
                    other = Foreign::new(&other)
                ),
            )),
            None => Ok(()),
        }
    }

    /// Returns true if a projection of this name, such as `model.layers.0.self_attn.q_proj` or `q_proj`, gets an adapter.
    pub(crate) fn adapts(&self, projection: &str) -> bool {
        let target = self.targets.iter().any(|target| target == ALL || projection.ends_with(target.as_str()));
        target && !self.saves(projection)
    }

    /// Returns true if a module of this name, such as `model.embed_tokens`, is trained whole.
    fn saves(&self, module: &str) -> bool {
        self.modules_to_save.iter().any(|name| module.ends_with(name.as_str()))
    }

    /// Returns the modules of a model that are trained whole: their weights, by name.
    pub(crate) fn saved(&self, model: &Transformer) -> Result<BTreeSet<String>> {
        let names: BTreeSet<String> = model.weights().into_iter().map(|(name, _)| name).collect();
        model.clone().visit_projections(&mut |name, projection| match projection.weight {
            Weight::Quantised(_) if self.saves(name) => {
                let reason = format!(
                    "names `{name}`, whose weight is quantised and cannot be trained; leave it or `quantisation` out"
                );
                Err(Error::setting("lora.modules_to_save", reason))
            }
            _ => Ok(()),
        })?;
        for entry in &self.modules_to_save {
            if names.iter().any(|name| module_of(name).ends_with(entry.as_str())) {
                continue;
            }
            let reason = match module_of("lm_head.weight").ends_with(entry.as_str()) {
                true => {
                    format!(
                        "has `{entry}`; this model's head is its embedding: name `embed_tokens`, which trains both",
                        entry = Foreign::new(&entry)
                    )
                }
                false => format!("has `{entry}`, which is no module of the model", entry = Foreign::new(&entry)),
            };
            return Err(Error::setting("lora.modules_to_save", reason));
        }
        Ok(names.into_iter().filter(|name| self.saves(module_of(name))).collect())
    }

    /// Returns the number of weights of the modules that are trained whole.
    ///
    /// # Errors
    /// [`Error::Setting`] for a module that the model does not have.
    pub(crate) fn saved_weights(&self, model: &Transformer) -> Result<usize> {
        let saved = self.saved(model)?;
        let weights = model.weights().into_iter().filter(|(name, _)| saved.contains(name));
        Ok(weights.map(|(_, weight)| weight.elem_count()).sum())
    }

    /// Returns the dropout of an adapter outside of training.
    pub(crate) fn dropout(&self) -> Dropout {
        Dropout { rate: self.dropout, key: None }
    }

    /// Returns the factor of the update.
    pub fn scale(&self) -> f64 {
        self.alpha / if self.rslora { (self.rank as f64).sqrt() } else { self.rank as f64 }
    }
}

/// Returns the name of the module that a weight is of.
pub(crate) fn module_of(weight: &str) -> &str {
    weight.rsplit_once('.').map_or(weight, |(module, _)| module)
}

/// Returns true if a weight of this name is an adapter's.
pub(crate) fn is_adapter(weight: &str) -> bool {
    weight.ends_with(".lora_A.weight") || weight.ends_with(".lora_B.weight")
}

/// Returns the model with a new adapter at every target. The adapters, and copies of the modules that are trained whole, are
/// the only variables; the model's other weights are shared and frozen. `A` is normal with variance 1 / in, drawn from
/// `seed`.
///
/// # Errors
/// Fails if a setting is out of range.
pub(crate) fn attach(model: &Transformer, config: &LoraConfig, seed: u64) -> Result<Transformer> {
    config.check()?;
    let hidden = model.widths().hidden;
    if config.rank > hidden {
        let reason = format!("is {}; it must be at most {hidden}, the model's hidden size", config.rank);
        return Err(Error::setting("lora.rank", reason));
    }
    let saved = config.saved(model)?;
    let mut model = frozen_but(model, &mut |name, weight| {
        Ok(if saved.contains(name) { Some(weight.to_dtype(DType::F32)?.copy()?) } else { None })
    })?;
    let (mut normal, device) = (Normal::new(seed), model.device().clone());
    let mut adapted = 0;
    model.visit_projections(&mut |name, projection| {
        if !config.adapts(name) {
            return Ok(());
        }
        adapted += 1;
        let (out, width) = projection.weight.dims2();
        let a = normal.values(config.rank * width, 1.0 / (width as f64).sqrt());
        projection.adapter = Some(Adapter {
            a: Var::from_vec(a, (config.rank, width), &device)?.into_inner(),
            b: candle_nn::init::ZERO.var((out, config.rank), DType::F32, &device)?.into_inner(),
            scale: config.scale(),
            dropout: config.dropout(),
        });
        Ok(())
    })?;
    if adapted == 0 {
        return Err(Error::setting("modules_to_save", "names all projections of `targets`; leave those out"));
    }
    Ok(model)
}

/// Returns the model with its weights frozen, in the type of activations or as they are quantised, except those that
/// `trained(name, weight)` returns the first value of.
pub(crate) fn frozen_but(
    model: &Transformer,
    trained: &mut dyn FnMut(&str, &Tensor) -> Result<Option<Tensor>>,
) -> Result<Transformer> {
    let compute = model.dtype();
    model.map(&mut |name, weight| match trained(name, &weight.detach())? {
        Some(first) => Ok(Var::from_tensor(&first)?.into_inner()),
        None => Ok(weight.detach().to_dtype(compute)?),
    })
}

/// Returns the model for one pass of training, in which every adapter drops elements of its input by a mask of its own, drawn
/// from `seed`. Without dropout, it is the same model.
pub(crate) fn with_dropout(model: &Transformer, seed: [u64; 3]) -> Result<Transformer> {
    let mut model = model.clone();
    let mut key = seed.into_iter().fold(0, |key: u64, part| mix(key ^ part));
    model.visit_projections(&mut |_, projection| {
        key = mix(key);
        if let Some(adapter) = projection.adapter.as_mut().filter(|adapter| adapter.dropout.rate > 0.0) {
            adapter.dropout.key = Some(key);
        }
        Ok(())
    })?;
    Ok(model)
}

/// Returns the next number of the generator SplitMix64.
fn mix(state: u64) -> u64 {
    let mut x = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// Returns the model with each adapter merged into its weight, `W + scale · B A`, and no weight quantised. A model without either
/// is unchanged.
pub(crate) fn merge(model: &Transformer) -> Result<Transformer> {
    let mut merged = model.detached()?;
    let device = merged.device().clone();
    merged.visit_projections(&mut |_, projection| {
        projection.weight = Weight::Plain(projection.merged(model.dtype(), &device)?);
        projection.adapter = None;
        Ok(())
    })?;
    Ok(merged)
}

impl Projection {
    /// Returns the weight of this type with the adapter merged into it, outside of the autograd graph.
    pub(crate) fn merged(&self, dtype: DType, device: &Device) -> TensorResult<Tensor> {
        let weight = self.weight.read(dtype, device)?.detach().to_dtype(dtype)?;
        let Some(Adapter { a, b, scale, .. }) = &self.adapter else { return Ok(weight) };
        let (a, b) = (a.detach(), b.detach());
        // The sum of a small change and a large weight is rounded once, to the weight's type.
        let change = (b.to_dtype(DType::F32)?.matmul(&a.to_dtype(DType::F32)?)? * *scale)?;
        if dtype == DType::BF16 {
            return (weight.to_dtype(DType::F32)? + change)?.to_dtype(dtype);
        }
        weight + change.to_dtype(dtype)?
    }
}

/// Returns the model without its adapters: the base model, unless modules of it were trained whole.
pub(crate) fn drop_adapters(model: &Transformer) -> Result<Transformer> {
    let mut base = model.detached()?;
    base.visit_projections(&mut |_, projection| {
        projection.adapter = None;
        Ok(())
    })?;
    Ok(base)
}
