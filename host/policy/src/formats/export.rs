//! The formats of an export: a Hugging Face folder, and on request a GGUF file in it.

use candle_core::{DType, quantized::GgmlDType};
use serde::{Deserialize, Serialize};

/// The formats of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Export {
    /// The number format of the folder's weights.
    pub dtype: ExportType,
    /// The number format of the weights of a GGUF file beside them; none for no such file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gguf: Option<GgufType>,
}

/// The number format of an exported folder's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportType {
    /// 32 bits: the trained weights to the bit.
    #[default]
    F32,
    /// 16 bits, with 7 bits of mantissa: half the size.
    Bf16,
}

/// The number format of the matrices in a GGUF file. Vectors are in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GgufType {
    /// 32 bits: the trained weights to the bit.
    #[serde(rename = "f32")]
    F32,
    /// 16 bits, with 10 bits of mantissa.
    #[serde(rename = "f16")]
    F16,
    /// 8 bits, with a scale for each 32 weights.
    #[serde(rename = "q8_0")]
    Q8_0,
}

impl ExportType {
    pub(super) fn dtype(self) -> DType {
        match self {
            ExportType::F32 => DType::F32,
            ExportType::Bf16 => DType::BF16,
        }
    }
}

impl GgufType {
    pub(super) fn dtype(self) -> GgmlDType {
        match self {
            GgufType::F32 => GgmlDType::F32,
            GgufType::F16 => GgmlDType::F16,
            GgufType::Q8_0 => GgmlDType::Q8_0,
        }
    }
}
