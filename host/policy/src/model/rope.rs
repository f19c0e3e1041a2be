//! Frequencies of rotary positions, and the scalings that extend a model's context beyond that of pre-training.
//!
//! Sources: Su et al., *RoFormer*, arXiv 2104.09864; Peng et al., *YaRN*, arXiv 2309.00071; Llama 3.1's reference code.

use alft_kernels::Heads;
use std::{f64::consts::TAU, path::Path};

use alft_text::Foreign;
use candle_core::{DType, Device, Result as TensorResult};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    error::{Error, Result},
    ops::Rotary,
};

/// A scaling of rotary frequencies, as in the `rope_parameters` or `rope_scaling` of a `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rope_type", rename_all = "lowercase")]
pub enum RopeScaling {
    /// Every frequency is divided by a factor: position interpolation.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// Low frequencies are divided by a factor.
    Llama3(Llama3Scaling),
    /// Low frequencies are divided by a factor, and queries and keys are multiplied by another.
    Yarn(YarnScaling),
}

/// The scaling of Llama 3.1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Llama3Scaling {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// A frequency is low if it makes fewer turns than this in the original context.
    pub low_freq_factor: f64,
    /// A frequency is unchanged if it makes more turns than this in the original context.
    pub high_freq_factor: f64,
    /// Context length of pre-training, in tokens.
    pub original_max_position_embeddings: usize,
}

/// YaRN's scaling.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct YarnScaling {
    /// Divisor of low frequencies.
    pub factor: f64,
    /// Context length of pre-training, in tokens; `max_position_embeddings` if the file names none.
    pub original_max_position_embeddings: usize,
    /// A frequency is unchanged if it makes more turns than this in the original context; 32 if the file names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_fast: Option<f64>,
    /// A frequency is divided by the whole factor if it makes fewer turns than this; 1 if the file names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beta_slow: Option<f64>,
    /// Factor of queries and keys; if the file names none, 0.1 · ln(factor) + 1, or the quotient of two such numbers with
    /// `mscale` and `mscale_all_dim` in the place of 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attention_factor: Option<f64>,
    /// See `attention_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mscale: Option<f64>,
    /// See `attention_factor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mscale_all_dim: Option<f64>,
    /// True if the range between unchanged and divided frequencies begins and ends at whole pairs.
    #[serde(default = "yes")]
    pub truncate: bool,
}

fn yes() -> bool {
    true
}

/// The rotation of queries and keys by their positions, in all layers of a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rope {
    pub(crate) full: Frequencies,
    /// That of layers with a sliding window, if it is another.
    pub(super) sliding: Option<Frequencies>,
}

/// The angles of rows, for all layers of a model.
#[derive(Debug)]
pub(crate) struct Angles {
    full: Rotary,
    sliding: Option<Rotary>,
}

impl Rope {
    /// Returns the frequencies of each kind of layer.
    pub(super) fn all(&self) -> impl Iterator<Item = &Frequencies> {
        std::iter::once(&self.full).chain(&self.sliding)
    }

    /// Computes the angles of rows at `positions`, for activations of type `dtype`.
    pub(super) fn angles(&self, positions: &[usize], dtype: DType, device: &Device) -> TensorResult<Angles> {
        let of = |Frequencies { angles, scale }: &Frequencies| Rotary::at(positions, angles, *scale, dtype, device);
        Ok(Angles { full: of(&self.full)?, sliding: self.sliding.as_ref().map(of).transpose()? })
    }
}

impl Angles {
    /// Returns the angles of a layer with this attention.
    pub(crate) fn of(&self, heads: Heads) -> &Rotary {
        self.sliding.as_ref().filter(|_| heads.slide()).unwrap_or(&self.full)
    }
}

/// The rotation of queries and keys by their positions, in layers of one kind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Frequencies {
    /// The angle per position of each pair of elements of a head, in radians, (head_dim / 2,).
    pub(crate) angles: Vec<f64>,
    /// The factor of queries and keys.
    pub(crate) scale: f64,
}

/// Reads a scaling from `rope_parameters` or `rope_scaling` of a model with this `max_position_embeddings`; `None` for none.
/// Errors name `path`.
pub(super) fn read(value: &Value, context: usize, path: &Path) -> Result<Option<RopeScaling>> {
    if value.is_null() {
        return Ok(None);
    }
    let kind = value["rope_type"].as_str().or(value["type"].as_str()).unwrap_or("default");
    match kind {
        // Up to the context of pre-training, where alft ends, a dynamic scaling changes nothing.
        "default" | "dynamic" => Ok(None),
        "linear" | "llama3" | "yarn" => {
            let mut value = value.clone();
            value["rope_type"] = json!(kind);
            if kind == "yarn" && value["original_max_position_embeddings"].is_null() {
                value["original_max_position_embeddings"] = json!(context);
            }
            serde_json::from_value(value).map(Some).map_err(Error::format(path, "config.json"))
        }
        other => {
            let reason = format!(
                "the rope scaling `{other}` is not supported; supported are default, linear, dynamic, llama3 and yarn",
                other = Foreign::new(&other)
            );
            Err(Error::content(path, reason))
        }
    }
}

impl Frequencies {
    /// Computes the frequencies of heads of this width.
    pub(super) fn new(head_dim: usize, theta: f64, scaling: Option<RopeScaling>) -> Self {
        let plain: Vec<f64> = (0..head_dim / 2).map(|i| theta.powf(-2.0 * i as f64 / head_dim as f64)).collect();
        let unscaled = |angles| Self { angles, scale: 1.0 };
        match scaling {
            None => unscaled(plain),
            Some(RopeScaling::Linear { factor }) => unscaled(plain.into_iter().map(|angle| angle / factor).collect()),
            Some(RopeScaling::Llama3(scaling)) => {
                unscaled(plain.into_iter().map(|angle| scaling.scaled(angle)).collect())
            }
            Some(RopeScaling::Yarn(scaling)) => {
                let angles = scaling.angles(plain, theta);
                Self { angles, scale: scaling.attention_factor() }
            }
        }
    }
}

impl Llama3Scaling {
    pub(crate) fn scaled(self, angle: f64) -> f64 {
        let turns = self.original_max_position_embeddings as f64 * angle / TAU;
        let span = self.high_freq_factor - self.low_freq_factor;
        let kept = ((turns - self.low_freq_factor) / span).clamp(0.0, 1.0);
        angle * (kept + (1.0 - kept) / self.factor)
    }
}

impl YarnScaling {
    /// Scales the angles of pairs: those before a range of pairs are kept, and those after it are divided by the factor.
    fn angles(self, plain: Vec<f64>, theta: f64) -> Vec<f64> {
        let pairs = plain.len() as f64;
        let original = self.original_max_position_embeddings as f64;
        // The pair that makes this many turns in the original context.
        let pair_of = |turns: f64| pairs * (original / (turns * TAU)).ln() / theta.ln();
        let (first, last) = (pair_of(self.beta_fast.unwrap_or(32.0)), pair_of(self.beta_slow.unwrap_or(1.0)));
        let (first, last) = if self.truncate { (first.floor(), last.ceil()) } else { (first, last) };
        let (first, last) = (first.max(0.0), last.min(2.0 * pairs - 1.0));
        let last = if first == last { last + 0.001 } else { last };
        let scaled = |(pair, angle): (usize, f64)| {
            let divided = ((pair as f64 - first) / (last - first)).clamp(0.0, 1.0);
            angle * (1.0 - divided) + angle / self.factor * divided
        };
        plain.into_iter().enumerate().map(scaled).collect()
    }

    fn attention_factor(self) -> f64 {
        let of = |scale: f64| if self.factor <= 1.0 { 1.0 } else { 0.1 * scale * self.factor.ln() + 1.0 };
        match (self.attention_factor, self.mscale, self.mscale_all_dim) {
            (Some(factor), ..) => factor,
            (None, Some(scale), Some(all)) if scale != 0.0 && all != 0.0 => of(scale) / of(all),
            _ => of(1.0),
        }
    }
}
