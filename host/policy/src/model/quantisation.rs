//! Quantisation: a few bits for each weight, and a scale for each block of neighbours in a row.
//!
//! The types are those of GGML, which GGUF files have, and the tensor library computes them.

use std::{fmt, sync::Arc};

use candle_core::{
    DType, Device, Tensor,
    quantized::{GgmlDType, QTensor},
};
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    model::{transformer::Transformer, weight::Weight},
};

/// The type that the frozen weights of the projections are kept in while adapters are trained: QLoRA (Dettmers et al., arXiv
/// 2305.14314).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantisation {
    /// 4 bits, and a scale for each 32 weights: 4.5 bits a weight.
    #[serde(rename = "q4_0")]
    Q4_0,
    /// 4 bits, a scale and a least value for each 32 weights: 5 bits a weight.
    #[serde(rename = "q4_1")]
    Q4_1,
    /// 4 bits, a scale and a least value of 6 bits for each 32 weights, and two factors of these for each 256: 4.5 bits a
    /// weight.
    #[serde(rename = "q4_k")]
    Q4K,
    /// 8 bits, and a scale for each 32 weights: 8.5 bits a weight.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl Quantisation {
    fn dtype(self) -> GgmlDType {
        match self {
            Quantisation::Q4_0 => GgmlDType::Q4_0,
            Quantisation::Q4_1 => GgmlDType::Q4_1,
            Quantisation::Q4K => GgmlDType::Q4K,
            Quantisation::Q8_0 => GgmlDType::Q8_0,
        }
    }

    /// Returns true if a weight that a file has in `stored` is kept as it is: in as many bits as this type, or fewer.
    pub(crate) fn keeps(self, stored: GgmlDType) -> bool {
        bits(stored) <= bits(self.dtype())
    }

    /// Quantises the weights of a model's projections. Its embedding, head, norms and biases stay as they are.
    ///
    /// # Errors
    /// As [`Self::quantise`].
    pub(crate) fn quantise_projections(self, model: &mut Transformer) -> Result<()> {
        let device = model.device().clone();
        model.visit_projections(&mut |name, projection| {
            if let Weight::Plain(weight) = &projection.weight {
                projection.weight = self.quantise(&format!("{name}.weight"), weight, &device)?;
            }
            Ok(())
        })
    }

    /// Quantises the weight (out, in) of this name, for a device. The CPU does it, so that every device gets the same bits.
    ///
    /// # Errors
    /// [`Error::Setting`] for a weight whose rows blocks do not fill.
    pub(crate) fn quantise(self, name: &str, weight: &Tensor, device: &Device) -> Result<Weight> {
        let (width, block) = (weight.dims().last().copied().unwrap_or(0), self.dtype().block_size());
        if !width.is_multiple_of(block) {
            let remedy = match self {
                Quantisation::Q4K => "take `q4_0`, `q4_1` or `q8_0`, whose blocks have 32",
                _ => "this model cannot be quantised; leave `quantisation` out",
            };
            let reason = format!(
                "cannot be `{self}`: `{name}` has rows of {width} weights, which blocks of {block} do not fill; {remedy}"
            );
            return Err(Error::setting("quantisation", reason));
        }
        let weight = weight.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?;
        Ok(Weight::Quantised(Arc::new(QTensor::quantize_onto(&weight, self.dtype(), device)?)))
    }
}

impl fmt::Display for Quantisation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Quantisation::Q4_0 => "q4_0",
            Quantisation::Q4_1 => "q4_1",
            Quantisation::Q4K => "q4_k",
            Quantisation::Q8_0 => "q8_0",
        })
    }
}

/// Returns the bits of a weight, without its part of the scales.
fn bits(dtype: GgmlDType) -> u32 {
    match dtype {
        GgmlDType::Q2K => 2,
        GgmlDType::Q3K => 3,
        GgmlDType::Q4_0 | GgmlDType::Q4_1 | GgmlDType::Q4K => 4,
        GgmlDType::Q5_0 | GgmlDType::Q5_1 | GgmlDType::Q5K => 5,
        GgmlDType::Q6K => 6,
        GgmlDType::Q8_0 | GgmlDType::Q8_1 | GgmlDType::Q8K => 8,
        GgmlDType::F16 | GgmlDType::BF16 => 16,
        GgmlDType::F32 => 32,
    }
}
