//! The limits of the machine, measured in the same run as the model.

use std::{hint::black_box, time::Instant};

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde::Serialize;

use super::config::BenchConfig;
use crate::{error::Result, ops::linear};

/// The speed of the machine at nothing but reading memory, and at nothing but a large product.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// Bytes read from memory in a second. On the CPU all threads add up a buffer larger than the caches; on CUDA a tensor
    /// is copied, and read and written bytes both count.
    pub bytes_per_second: f64,
    /// Floating-point operations in a second of a product of square matrices by the kernel that the model uses.
    pub flops_per_second: f64,
}

impl Limits {
    /// Measures the machine.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub(super) fn measure(device: &Device, dtype: DType, config: &BenchConfig) -> Result<Self> {
        // A GPU needs a larger product to be busy.
        let side = if device.is_cpu() { config.side } else { 4 * config.side };
        Ok(Self {
            bytes_per_second: bandwidth(device, config.buffer)?,
            flops_per_second: arithmetic(device, dtype, side)?,
        })
    }
}

fn bandwidth(device: &Device, bytes: usize) -> Result<f64> {
    if device.is_cpu() {
        let buffer = vec![1u64; bytes / 8];
        let read = || {
            // Integers, because their sum may be split over vector registers and that of floats may not.
            let part = |part: &[u64]| part.iter().fold(0u64, |sum, value| sum.wrapping_add(*value));
            black_box(buffer.par_chunks(1 << 17).map(part).reduce(|| 0, u64::wrapping_add));
            Ok(())
        };
        return Ok(bytes as f64 / fastest(device, read)?);
    }
    let tensor = Tensor::zeros(bytes / 4, DType::F32, device)?;
    let copy = || {
        tensor.copy()?;
        Ok(())
    };
    Ok(2.0 * bytes as f64 / fastest(device, copy)?)
}

fn arithmetic(device: &Device, dtype: DType, side: usize) -> Result<f64> {
    let x = Tensor::ones((side, side), dtype, device)?;
    let product = || {
        linear(&x, &x)?;
        Ok(())
    };
    Ok(2.0 * (side as f64).powi(3) / fastest(device, product)?)
}

/// Returns the shortest time of five, in seconds, after one to warm up.
fn fastest(device: &Device, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut shortest = f64::INFINITY;
    for round in 0..6 {
        device.synchronize()?;
        let started = Instant::now();
        work()?;
        device.synchronize()?;
        if round > 0 {
            shortest = shortest.min(started.elapsed().as_secs_f64());
        }
    }
    Ok(shortest)
}
