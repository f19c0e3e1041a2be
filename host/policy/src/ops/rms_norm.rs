//! Root-mean-square normalisation.

use alft_kernels::{self as kernels, NormConstants};
use candle_core::{D, DType, Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    path::{Op, Path},
};
use crate::{cuda, profile};

/// Computes `(offset + w) · x / √(mean x² + ε)` over the rows of `x` (rows, width); `w` is (width,). The result has the type
/// of `x`, and sums are at least `f32`.
///
/// Source: Zhang and Sennrich, *Root Mean Square Layer Normalization*, arXiv 1910.07467.
pub(crate) fn rms_norm(x: &Tensor, w: &Tensor, constants: NormConstants) -> Result<Tensor> {
    let _time = profile::time("norm");
    let floor = constants.epsilon as f32;
    let value = match Path::of(Op::RmsNorm, x) {
        Path::CpuKernel => {
            let w = factors(&w.detach(), constants)?;
            Value::Floats(with_floats([x, &w], |[x, w]| kernels::rms_norm(x, w, floor))?, x.shape().clone())
        }
        Path::CudaKernel => Value::Tensor(cuda::rms_norm::forward(x, w, constants)?),
        Path::Fused => {
            let w = factors(&w.detach(), constants)?.to_dtype(x.dtype())?;
            Value::Tensor(candle_nn::ops::rms_norm(&x.detach().contiguous()?, &w, floor)?)
        }
        Path::Composed => return composed(x, &factors(w, constants)?, constants.epsilon),
    };
    function([x, w], value, move |[x, w], grad| {
        let (for_x, for_w) = rms_norm_backward(x, w, grad, constants, w.track_op())?;
        Ok([Some(for_x), for_w])
    })
}

/// Returns the gradients of [`rms_norm`] for `x` and, if asked for, for `w`, given the gradient of its value. With x̂ the
/// normalised row and g the gradient times `offset + w`, that for `x` is `(g − x̂ · mean(g · x̂)) / √(mean x² + ε)`; that for `w`
/// is the sum over rows of the gradient times x̂.
pub(crate) fn rms_norm_backward(
    x: &Tensor,
    w: &Tensor,
    grad: &Tensor,
    constants: NormConstants,
    for_weight: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let _time = profile::time("norm backward");
    let (x, w, grad) = (x.detach(), w.detach(), grad.detach());
    let (epsilon, floor) = (constants.epsilon, constants.epsilon as f32);
    match Path::of(Op::RmsNorm, &x) {
        Path::CpuKernel => {
            let factors = factors(&w, constants)?;
            let for_x =
                with_floats([&x, &factors, &grad], |[x, w, grad]| kernels::rms_norm_backward(x, w, grad, floor))?;
            let for_w = || {
                let width = w.elem_count();
                let sums =
                    with_floats([&x, &grad], |[x, grad]| kernels::rms_norm_weight_gradient(x, grad, width, floor))?;
                Tensor::from_vec(sums, w.shape(), x.device())
            };
            let for_w = for_weight.then(for_w).transpose()?;
            Ok((Tensor::from_vec(for_x, x.shape(), x.device())?, for_w))
        }
        Path::CudaKernel => {
            let (for_x, for_w) = cuda::rms_norm::backward(&x, &w, &grad, constants, for_weight)?;
            Ok((for_x, for_w.map(|for_w| for_w.to_dtype(w.dtype())).transpose()?))
        }
        Path::Fused | Path::Composed => {
            let wide = if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let factors = factors(&w, constants)?;
            let [wide_x, wide_w, wide_grad] = [&x, &factors, &grad].map(|tensor| tensor.to_dtype(wide));
            let (wide_x, wide_grad) = (wide_x?, wide_grad?);
            let inverse = (wide_x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?.recip()?;
            let normal = wide_x.broadcast_mul(&inverse)?;
            let g = wide_grad.broadcast_mul(&wide_w?)?;
            let mean = (&g * &normal)?.mean_keepdim(D::Minus1)?;
            let for_x = (g - normal.broadcast_mul(&mean)?)?.broadcast_mul(&inverse)?.to_dtype(x.dtype())?;
            let for_w = for_weight.then(|| (normal * wide_grad)?.sum(0)?.to_dtype(w.dtype())).transpose()?;
            Ok((for_x, for_w))
        }
    }
}

/// Returns `offset + w`, in the type of `w` or at least `f32`.
fn factors(w: &Tensor, constants: NormConstants) -> Result<Tensor> {
    if constants.offset == 0.0 {
        return Ok(w.clone());
    }
    let wide = if w.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    w.to_dtype(wide)? + constants.offset
}

fn composed(x: &Tensor, w: &Tensor, epsilon: f64) -> Result<Tensor> {
    let rms = (x.sqr()?.mean_keepdim(D::Minus1)? + epsilon)?.sqrt()?;
    x.broadcast_div(&rms)?.broadcast_mul(w)
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn every_implementation_agrees_with_the_twin() {
        for offset in [0.0, 1.0] {
            let constants = NormConstants { epsilon: 1e-5, offset };
            compare(&[noise(&[7, 37], 1), noise(&[37], 2)], |args| rms_norm(&args[0], &args[1], constants));
        }
    }
}
