//! Rotary position embedding, in Hugging Face's layout: element `i` of a head is rotated with element `i + dim / 2`.
//!
//! Source: Su et al., *RoFormer*, arXiv 2104.09864.

use candle_core::{DType, Device, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
};
use crate::kernels;

/// The angles of a batch's rows.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Computes the angles (rows, dim / 2) of rows at these positions. `frequencies` are the angles per position of the pairs
    /// of a head, (dim / 2,).
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

    /// Rotates every head of `x` (rows, heads · dim) by the angles of its row.
    pub(crate) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let _time = crate::profile::time("rotary");
        if !kernels_apply(x) {
            return self.composed(x);
        }
        let turn = |this: &Self, x: &Tensor, sign| {
            let (width, half) = (x.dim(1)?, this.cos.dim(1)?);
            with_floats([x, &this.cos, &this.sin], |[x, cos, sin]| kernels::rotate(x, width, cos, sin, half, sign))
        };
        let this = self.clone();
        function([x], Value::Floats(turn(self, x, 1.0)?, x.shape().clone()), move |[x], grad| {
            let _time = crate::profile::time("rotary backward");
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
