//! Quantised weights as tensors.

use std::{borrow::Cow, sync::OnceLock};

use alft_kernels::new_rows;
use candle_core::{CpuStorage, DType, Device, Error, Result, Tensor, quantized::QTensor};

use crate::profile;

/// Dequantises a weight (out, in), as a tensor of this type on this device. [`QTensor::dequantize`] is its twin, which
/// leaves all but one core of a CPU waiting.
pub(crate) fn dequantise(weight: &QTensor, dtype: DType, device: &Device) -> Result<Tensor> {
    let _time = profile::time("dequantise");
    if !weight.device().is_cpu() {
        return weight.dequantize(device)?.to_dtype(dtype);
    }
    let (rows, width) = weight.shape().dims2()?;
    let bytes = weight.data()?;
    let row_bytes = bytes.len() / rows.max(1);
    let failed: OnceLock<Error> = OnceLock::new();
    let values = new_rows(rows * width, width, |first, out| {
        let bytes = &bytes[first * row_bytes..(first + out.len() / width) * row_bytes];
        match weight.dtype().from_data(Cow::Borrowed(bytes)).dequantize(out.len()) {
            Ok(CpuStorage::F32(values)) => out.copy_from_slice(&values),
            Ok(_) => _ = failed.set(Error::Msg("a weight was dequantised to another type than f32".to_owned())),
            Err(error) => _ = failed.set(error),
        }
    });
    match failed.into_inner() {
        Some(error) => Err(error),
        None => Tensor::from_vec(values, (rows, width), &Device::Cpu)?.to_device(device)?.to_dtype(dtype),
    }
}

#[cfg(test)]
mod tests {
    use candle_core::quantized::GgmlDType;

    use super::{super::noise, *};

    #[test]
    fn parallel_and_twin_have_the_same_bits() {
        // Small, and large enough for several threads.
        for rows in [3, 1030] {
            let weight = noise(&[rows, 256], 1);
            for dtype in
                [GgmlDType::Q4_0, GgmlDType::Q4_1, GgmlDType::Q5_0, GgmlDType::Q4K, GgmlDType::Q6K, GgmlDType::Q8_0]
            {
                let quantised = QTensor::quantize(&weight, dtype).unwrap();
                let got = dequantise(&quantised, DType::F32, &Device::Cpu).unwrap().to_vec2::<f32>().unwrap();
                assert_eq!(got, quantised.dequantize(&Device::Cpu).unwrap().to_vec2::<f32>().unwrap(), "{dtype:?}");
            }
        }
    }
}
