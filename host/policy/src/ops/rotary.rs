//! Rotary position embedding, in Hugging Face's layout: element `i` of a head is rotated with element `i + dim / 2`.
//!
//! Source: Su et al., *RoFormer*, arXiv 2104.09864.

use candle_core::{DType, Device, Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    path::{Op, Path},
};
use crate::{cuda, profile};
use alft_kernels as kernels;

/// The angles of a batch's rows.
#[derive(Debug, Clone)]
pub(crate) struct Rotary {
    cos: Tensor,
    sin: Tensor,
}

impl Rotary {
    /// Computes the angles (rows, dim / 2) of rows at these positions, in `f32` or for a model in `f64` in that.
    /// `frequencies` are the angles per position of the pairs of a head, (dim / 2,). Rotated heads are multiplied by `scale`.
    pub(crate) fn at(
        positions: &[usize],
        frequencies: &[f64],
        scale: f64,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        // Positions come many times in a batch of many sequences, and to compute an angle takes longer than to copy it.
        let distinct = positions.iter().max().map_or(0, |last| last + 1);
        let repeated = distinct < positions.len();
        let positions: Vec<u32> = positions.iter().map(|position| *position as u32).collect();
        let table: Vec<u32> = if repeated { (0..distinct as u32).collect() } else { positions.clone() };
        let index = repeated.then(|| Tensor::new(positions, device)).transpose()?;
        let wide = if dtype == DType::F64 { DType::F64 } else { DType::F32 };
        let tensor = |of: fn(f64) -> f64| {
            let angles = table.iter().flat_map(|p| frequencies.iter().map(move |f| f64::from(*p) * f));
            let values: Vec<f32> = angles.map(|angle| (scale * of(angle)) as f32).collect();
            let values = Tensor::from_vec(values, (table.len(), frequencies.len()), &Device::Cpu)?;
            let values = values.to_dtype(wide)?.to_device(device)?;
            index.as_ref().map_or_else(|| Ok(values.clone()), |index| values.index_select(index, 0))
        };
        Ok(Self { cos: tensor(f64::cos)?, sin: tensor(f64::sin)? })
    }

    /// Returns the cosines and sines of the angles, (rows, dim / 2).
    pub(super) fn angles(&self) -> [&Tensor; 2] {
        [&self.cos, &self.sin]
    }

    /// Rotates every head of `x` (rows, heads · dim) by the angles of its row.
    pub(crate) fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let _time = profile::time("rotary");
        if Path::of(Op::Rotary, x) == Path::Composed {
            return self.composed(x);
        }
        let this = self.clone();
        function([x], self.turn(x, 1.0)?, move |[_], grad| Ok([Some(this.rotate_back(grad)?)]))
    }

    /// Returns the gradient of [`Self::rotate`], the rotation back, given the gradient of its value.
    pub(crate) fn rotate_back(&self, grad: &Tensor) -> Result<Tensor> {
        let _time = profile::time("rotary backward");
        match self.turn(grad, -1.0)? {
            Value::Floats(values, shape) => Tensor::from_vec(values, shape, grad.device()),
            Value::Tensor(tensor) => Ok(tensor),
        }
    }

    /// Rotates by `sign` times the angles, outside of the graph.
    fn turn(&self, x: &Tensor, sign: f32) -> Result<Value> {
        let (rows, half) = self.cos.dims2()?;
        let x = x.detach();
        Ok(match Path::of(Op::Rotary, &x) {
            Path::CpuKernel => {
                let width = x.dim(1)?;
                let values = with_floats([&x, &self.cos, &self.sin], |[x, cos, sin]| {
                    kernels::rotate(x, width, cos, sin, half, sign)
                })?;
                Value::Floats(values, x.shape().clone())
            }
            Path::CudaKernel => Value::Tensor(cuda::rotary::turn(&x, &self.cos, &self.sin, sign)?),
            Path::Fused => {
                let heads = x.contiguous()?.reshape((1, rows, (), 2 * half))?;
                let (cos, sin) = (self.cos.to_dtype(x.dtype())?, (&self.sin * f64::from(sign))?.to_dtype(x.dtype())?);
                Value::Tensor(candle_nn::rotary_emb::rope_thd(&heads, &cos, &sin)?.reshape(x.shape())?)
            }
            Path::Composed => {
                let turned = Self { cos: self.cos.clone(), sin: (&self.sin * f64::from(sign))? };
                Value::Tensor(turned.composed(&x)?)
            }
        })
    }

    fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, half) = self.cos.dims2()?;
        let heads = x.reshape((rows, (), 2 * half))?;
        let (low, high) = (heads.narrow(2, 0, half)?, heads.narrow(2, half, half)?);
        let (cos, sin) = (self.cos.to_dtype(x.dtype())?.unsqueeze(1)?, self.sin.to_dtype(x.dtype())?.unsqueeze(1)?);
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
    fn every_implementation_agrees_with_the_twin() {
        let frequencies = [1.0, 0.3, 0.01];
        compare(&[noise(&[4, 18], 1)], |args| {
            Rotary::at(&[0, 1, 7, 500], &frequencies, 1.2, args[0].dtype(), &Device::Cpu)?.rotate(&args[0])
        });
    }
}
