//! Rotary position embedding, in Hugging Face's layout: element `i` of a head turns with element `i + dim / 2`.
//!
//! Source: Su et al., *RoFormer*, arXiv 2104.09864; the stretching of Llama 3.1 as in its reference code.

use candle_core::{DType, Device, Result, Tensor};

use super::{
    function::{Value, function},
    kernels_apply, with_floats,
};
use crate::{config::ModelConfig, kernels};

/// The angle per position of each pair of a head, (dim / 2,).
pub(crate) fn frequencies(config: &ModelConfig) -> Vec<f64> {
    let plain = (0..config.head_dim / 2).map(|i| config.rope_theta.powf(-2.0 * i as f64 / config.head_dim as f64));
    let Some(scaling) = config.rope_scaling else { return plain.collect() };
    let stretch = |frequency: f64| {
        let turns = scaling.original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
        let span = scaling.high_freq_factor - scaling.low_freq_factor;
        let kept = ((turns - scaling.low_freq_factor) / span).clamp(0.0, 1.0);
        frequency * (kept + (1.0 - kept) / scaling.factor)
    };
    plain.map(stretch).collect()
}

/// The angles of a batch's rows.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Angles (rows, dim / 2) for rows at these positions.
    pub(crate) fn at(positions: &[usize], frequencies: &[f64], dtype: DType, device: &Device) -> Result<Self> {
        let angles = || positions.iter().flat_map(|p| frequencies.iter().map(move |f| *p as f64 * f));
        let tensor = |values: Vec<f32>| {
            Tensor::from_vec(values, (positions.len(), frequencies.len()), &Device::Cpu)?
                .to_device(device)?
                .to_dtype(dtype)
        };
        Ok(Self {
            cos: tensor(angles().map(|angle| angle.cos() as f32).collect())?,
            sin: tensor(angles().map(|angle| angle.sin() as f32).collect())?,
        })
    }

    /// Turns every head of `x` (rows, heads · dim) by its row's angles.
    pub(crate) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        if !kernels_apply(x) {
            return self.composed(x);
        }
        let turn = |this: &Self, x: &Tensor, sign| {
            let (width, half) = (x.dim(1)?, this.cos.dim(1)?);
            with_floats([x, &this.cos, &this.sin], |[x, cos, sin]| kernels::rotate(x, width, cos, sin, half, sign))
        };
        let this = self.clone();
        function([x], Value::Floats(turn(self, x, 1.0)?, x.shape().clone()), move |[x], grad| {
            // The gradient of a rotation is the rotation back.
            Ok([Some(Tensor::from_vec(turn(&this, grad, -1.0)?, x.shape(), x.device())?)])
        })
    }

    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, half) = self.cos.dims2()?;
        let heads = x.reshape((rows, (), 2 * half))?;
        let (low, high) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let (cos, sin) = (self.cos.unsqueeze(1)?, self.sin.unsqueeze(1)?);
        let out_low = (low.broadcast_mul(&cos)? - high.broadcast_mul(&sin)?)?;
        let out_high = (high.broadcast_mul(&cos)? + low.broadcast_mul(&sin)?)?;
        Tensor::cat(&[out_low, out_high], 2)?.reshape(x.shape())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        let frequencies = [1.0, 0.3, 0.01];
        compare(&[noise(&[4, 18], 1)], |args| {
            Rotary::at(&[0, 1, 7, 500], &frequencies, args[0].dtype(), &Device::Cpu)?.rotate(&args[0])
        });
    }
}
