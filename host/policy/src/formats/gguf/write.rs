//! Writes a file.

use std::{fs::File, io::BufWriter, path::Path};

use candle_core::{
    Device, Tensor,
    quantized::{
        GgmlDType, QTensor,
        gguf_file::{self, Value},
    },
};

use super::{
    architecture::{self, FREQUENCY_FACTORS, GgufArchitecture},
    config, rope, tokenizer,
};
use crate::{
    error::{Error, Result},
    formats::export::GgufType,
    model::{config::Architecture, transformer::Transformer},
    policy::Policy,
};

/// The largest number in `f16`.
const LARGEST: f32 = 65504.0;

/// Fails for a policy that the format has no names for.
pub(in crate::formats) fn check(policy: &Policy) -> Result<()> {
    metadata(policy).map(drop)
}

/// Writes the weights `model` of a policy, with its tokenizer and chat template.
pub(in crate::formats) fn write(policy: &Policy, model: &Transformer, path: &Path, format: GgufType) -> Result<()> {
    let (architecture, mut values) = metadata(policy)?;
    values.push(("general.file_type".to_owned(), Value::U32(file_type(format))));
    values.push(("general.quantization_version".to_owned(), Value::U32(2)));
    let config = &policy.config;
    let mut tensors = Vec::new();
    for (name, weight) in model.weights() {
        let stored = architecture.stored_name(&name).ok_or_else(|| unnamed(&format!("`{name}` is a weight of it")))?;
        let mut weight = weight.detach().to_device(&Device::Cpu)?;
        if let Some(heads) = architecture.reordered_heads(&name, config.heads, config.kv_heads) {
            weight = neighbours(&weight, heads)?;
        }
        if config.variant.norms_from_one && architecture::is_norm(&name) {
            weight = (weight + 1.0)?;
        }
        tensors.push((stored, quantised(&name, &weight, format)?));
    }
    if let Some(factors) = rope::frequency_factors(config) {
        let factors = Tensor::new(factors.as_slice(), &Device::Cpu)?;
        tensors.push((FREQUENCY_FACTORS.to_owned(), QTensor::quantize(&factors, GgmlDType::F32)?));
    }
    let values: Vec<(&str, &Value)> = values.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let file = File::create(path).map_err(|source| alft_fs::Error { path: path.to_owned(), source })?;
    let mut writer = BufWriter::new(file);
    let failed = |source: crate::BoxError| Error::WriteTensors { path: path.to_owned(), source };
    gguf_file::write(&mut writer, &values, &tensors).map_err(|source| failed(source.into()))?;
    writer.into_inner().map_err(|source| failed(source.into_error().into()))?;
    Ok(())
}

/// Returns the metadata of a policy with its architecture.
fn metadata(policy: &Policy) -> Result<(&'static GgufArchitecture, Vec<(String, Value)>)> {
    let family = policy.config.architecture;
    let architecture = architecture::of(family).ok_or_else(|| unnamed(&format!("its family is {family:?}")))?;
    // llama.cpp attends to all tokens in the other architectures.
    if policy.config.variant.window.is_some() && family != Architecture::Gemma3 {
        return Err(unnamed("it has layers with a sliding window"));
    }
    let mut values = config::write(&policy.config, architecture).map_err(|reason| unnamed(&reason))?;
    values.extend(tokenizer::write(policy).map_err(|reason| unnamed(&reason))?);
    Ok((architecture, values))
}

fn unnamed(reason: &str) -> Error {
    Error::setting("gguf", format!("asks for a GGUF file, and the model cannot be written as one: {reason}"))
}

/// Returns the format's number of the type that most weights have.
fn file_type(format: GgufType) -> u32 {
    match format {
        GgufType::F32 => 0,
        GgufType::F16 => 1,
        GgufType::Q8_0 => 7,
    }
}

/// Converts a weight. Vectors stay in `f32`, and rows that blocks do not fill become `f16`.
fn quantised(name: &str, weight: &Tensor, format: GgufType) -> Result<QTensor> {
    let width = weight.dims().last().copied().unwrap_or(0);
    let dtype = match format.dtype() {
        _ if weight.rank() < 2 => GgmlDType::F32,
        dtype if width.is_multiple_of(dtype.block_size()) => dtype,
        _ => GgmlDType::F16,
    };
    if dtype == GgmlDType::F16 && weight.abs()?.max_all()?.to_scalar::<f32>()? > LARGEST {
        return Err(unnamed(&format!("`{name}` has a weight beyond {LARGEST}, the largest in f16; use f32")));
    }
    Ok(QTensor::quantize(weight, dtype)?)
}

/// Makes neighbours of the two rows of each rotary pair, which are half a head apart.
fn neighbours(weight: &Tensor, heads: usize) -> Result<Tensor> {
    let rows = weight.dim(0)?;
    let width = weight.elem_count() / rows;
    let pairs = weight.reshape((heads, 2, rows / heads / 2, width))?;
    Ok(pairs.transpose(1, 2)?.contiguous()?.reshape(weight.shape())?)
}
