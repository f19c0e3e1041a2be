//! The product with a weight.

use candle_core::{Result, Tensor};

use super::{
    function::{Value, function},
    kernels_apply, with_floats,
};
use crate::kernels;

/// Up to this many rows a product streams the weight as it lies; above, packing it pays.
const FEW_ROWS: usize = 64;

/// `x (rows, in) · w (out, in)ᵀ`, (rows, out).
///
/// Its gradient for `w` is computed only when `w` is a variable: candle's own product computes, and keeps, the gradients
/// of frozen weights, which for an adapter run is most of the memory and a third of the time.
pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    function([x, w], product(x, w)?, |[x, w], grad| {
        let for_x = x.track_op().then(|| grad.matmul(&w.detach())).transpose()?;
        let for_w = w.track_op().then(|| grad.t()?.matmul(&x.detach())).transpose()?;
        Ok([for_x, for_w])
    })
}

fn product(x: &Tensor, w: &Tensor) -> Result<Value> {
    let ((rows, width), (out, _)) = (x.dims2()?, w.dims2()?);
    if kernels_apply(x) && rows <= FEW_ROWS && width == w.dim(1)? {
        let values = with_floats([x, w], |[x, w]| kernels::few_rows_product(x, w, rows, out, width))?;
        if let Some(values) = values {
            return Ok(Value::Floats(values, (rows, out).into()));
        }
    }
    Ok(Value::Tensor(x.detach().matmul(&w.detach().t()?)?))
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
