//! LoRA, low-rank adapters: `y = x Wᵀ + scale · (x Aᵀ) Bᵀ`, with `W` frozen, `A` (rank, in) and `B` (out,
//! rank) trained. `B` starts at zero, so an untrained adapter does not change the output.
//!
//! Source: Hu et al., *LoRA: Low-Rank Adaptation of Large Language Models*, arXiv 2106.09685.

use candle_core::{DType, Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{
        init::Normal,
        transformer::{Adapter, Transformer},
    },
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
}

impl Default for LoraConfig {
    fn default() -> Self {
        Self { rank: 16, alpha: 32.0, rslora: false, targets: vec!["q_proj".to_owned(), "v_proj".to_owned()] }
    }
}

/// The target that stands for all projections.
const ALL: &str = "all-linear";

/// The allowed values of [`LoraConfig::targets`].
const PROJECTIONS: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

impl LoraConfig {
    pub(crate) fn check(&self) -> Result<()> {
        if self.rank == 0 {
            return Err(Error::setting("lora.rank", "must be at least 1"));
        }
        if !self.alpha.is_finite() || self.alpha == 0.0 {
            return Err(Error::setting("lora.alpha", format!("is {}; it must be a finite number, not 0", self.alpha)));
        }
        if self.targets.is_empty() {
            return Err(Error::setting("lora.targets", format!("is empty; choose from {}", PROJECTIONS.join(", "))));
        }
        match self.targets.iter().find(|target| *target != ALL && !PROJECTIONS.contains(&target.as_str())) {
            Some(other) => Err(Error::setting(
                "lora.targets",
                format!("has `{other}`, which is no projection of the model; choose from {}", PROJECTIONS.join(", ")),
            )),
            None => Ok(()),
        }
    }

    /// Returns true if a projection of this name, such as `model.layers.0.self_attn.q_proj` or `q_proj`, gets an adapter.
    pub(crate) fn adapts(&self, projection: &str) -> bool {
        self.targets.iter().any(|target| target == ALL || projection.ends_with(target.as_str()))
    }

    /// Returns the factor of the update.
    pub(crate) fn scale(&self) -> f64 {
        self.alpha / if self.rslora { (self.rank as f64).sqrt() } else { self.rank as f64 }
    }
}

/// Returns the model with a new adapter at every target. The adapters are the only variables; the model's weights are
/// shared and frozen. `A` is normal with variance 1 / in, drawn from `seed`.
///
/// # Errors
/// Fails if a setting is out of range.
pub(crate) fn attach(model: &Transformer, config: &LoraConfig, seed: u64) -> Result<Transformer> {
    config.check()?;
    let mut model = model.detached()?;
    let mut normal = Normal::new(seed);
    model.visit_projections(&mut |name, projection| {
        if !config.adapts(name) {
            return Ok(());
        }
        let (out, width) = projection.weight.dims2()?;
        let device = projection.weight.device();
        let a = normal.values(config.rank * width, 1.0 / (width as f64).sqrt());
        projection.adapter = Some(Adapter {
            a: Var::from_vec(a, (config.rank, width), device)?.into_inner(),
            b: candle_nn::init::ZERO.var((out, config.rank), DType::F32, device)?.into_inner(),
            scale: config.scale(),
        });
        Ok(())
    })?;
    Ok(model)
}

/// Returns the model with each adapter merged into its weight, `W + scale · B A`. A model without adapters is unchanged.
pub(crate) fn merge(model: &Transformer) -> Result<Transformer> {
    edit_adapted(model, |weight, Adapter { a, b, scale }| {
        // The sum of a small change and a large weight is rounded once, to the weight's type.
        let change = (b.to_dtype(DType::F32)?.matmul(&a.to_dtype(DType::F32)?)? * *scale)?;
        if weight.dtype() == DType::BF16 {
            return (weight.to_dtype(DType::F32)? + change)?.to_dtype(weight.dtype());
        }
        weight + change.to_dtype(weight.dtype())?
    })
}

/// Returns the model without its adapters, that is, the base model.
pub(crate) fn drop_adapters(model: &Transformer) -> Result<Transformer> {
    edit_adapted(model, |weight, _| Ok(weight.clone()))
}

/// Returns the model without adapters, with each adapted weight replaced by `edit(weight, adapter)`.
fn edit_adapted(
    model: &Transformer,
    edit: impl Fn(&Tensor, &Adapter) -> candle_core::Result<Tensor>,
) -> Result<Transformer> {
    let mut model = model.detached()?;
    model.visit_projections(&mut |_, projection| {
        if let Some(adapter) = projection.adapter.take() {
            projection.weight = edit(&projection.weight, &adapter)?;
        }
        Ok(())
    })?;
    Ok(model)
}
