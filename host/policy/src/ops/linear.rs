//! The linear layer: the product with a weight.

use alft_kernels::{self as kernels, Transpose};
use candle_core::{Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
};
use crate::profile;

/// Largest number of rows for which the product reads the weight without packing it; above, packing pays. Up to this
/// number, the bits of a row do not depend on the other rows.
const SKINNY_ROWS: usize = 64;

/// Computes `x (rows, in) · w (out, in)ᵀ`, (rows, out).
///
/// A weight of another type than `x`, a master in `f32` for activations in `bf16`, is read in that of `x`, and its gradient
/// is returned in its own. The gradient for `w` is computed only if `w` is tracked. candle's matrix product also computes and keeps the gradients
/// of frozen weights, which costs a LoRA run most of its memory and a third of its time.
pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    let _time = profile::time("linear");
    let read = w.detach().to_dtype(x.dtype())?;
    function([x, w], product(x, &read)?, |[x, w], grad| {
        let read = w.detach().to_dtype(x.dtype())?;
        let for_x = x.track_op().then(|| matmul(Transpose::Neither, grad, &read)).transpose()?;
        let for_w = w.track_op().then(|| matmul(Transpose::Lhs, grad, x)?.to_dtype(w.dtype())).transpose()?;
        Ok([for_x, for_w])
    })
}

fn product(x: &Tensor, w: &Tensor) -> Result<Value> {
    let ((rows, width), (out, _)) = (x.dims2()?, w.dims2()?);
    if kernels_apply(x) && rows <= SKINNY_ROWS && width == w.dim(1)? {
        let values = with_floats([x, w], |[x, w]| kernels::skinny_gemm(x, w, rows, out, width))?;
        if let Some(values) = values {
            return Ok(Value::Floats(values, (rows, out).into()));
        }
    }
    matmul_value(Transpose::Rhs, x, w)
}

/// Computes the product of two matrices outside of the graph.
pub(crate) fn matmul(transpose: Transpose, lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    let _time = profile::time("linear");
    match matmul_value(transpose, lhs, rhs)? {
        Value::Floats(values, shape) => Tensor::from_vec(values, shape, lhs.device()),
        Value::Tensor(tensor) => Ok(tensor),
    }
}

fn matmul_value(transpose: Transpose, lhs: &Tensor, rhs: &Tensor) -> Result<Value> {
    let flip = |(a, b)| (b, a);
    let (left, right) = (lhs.dims2()?, rhs.dims2()?);
    let ((m, k), (inner, n)) = match transpose {
        Transpose::Neither => (left, right),
        Transpose::Rhs => (left, flip(right)),
        Transpose::Lhs => (flip(left), right),
    };
    if kernels_apply(lhs) && kernels_apply(rhs) && k == inner {
        let values = with_floats([lhs, rhs], |[lhs, rhs]| kernels::gemm(transpose, (m, n, k), lhs, rhs))?;
        return Ok(Value::Floats(values, (m, n).into()));
    }
    let (lhs, rhs) = (lhs.detach(), rhs.detach());
    Ok(Value::Tensor(match transpose {
        Transpose::Neither => lhs.matmul(&rhs)?,
        Transpose::Rhs => lhs.matmul(&rhs.t()?)?,
        Transpose::Lhs => lhs.t()?.matmul(&rhs)?,
    }))
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        for rows in [5, 80] {
            compare(&[noise(&[rows, 24], 1), noise(&[10, 24], 2)], |args| linear(&args[0], &args[1]));
        }
    }

    #[test]
    fn a_frozen_weight_gets_no_gradient() {
        let x = candle_core::Var::from_tensor(&noise(&[5, 24], 1)).unwrap();
        let w = noise(&[10, 24], 2);
        let grads = linear(&x, &w).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(grads.get(&x).is_some());
        assert!(grads.get(&w).is_none());
    }

    #[test]
    fn wrong_shapes_are_an_error() {
        assert!(linear(&noise(&[5, 24], 1), &noise(&[10, 23], 2)).is_err());
    }
}
