//! The product with a weight.

use candle_core::{Result, Tensor};

use super::{
    function::{Value, function},
    kernels_apply, with_floats,
};
use crate::kernels::{self, Factors};

/// Up to this many rows a product streams the weight as it lies; above, packing it pays.
const FEW_ROWS: usize = 64;

/// `x (rows, in) · w (out, in)ᵀ`, (rows, out).
///
/// Its gradient for `w` is computed only when `w` is a variable: candle's own product computes, and keeps, the gradients
/// of frozen weights, which for an adapter run is most of the memory and a third of the time.
pub(crate) fn linear(x: &Tensor, w: &Tensor) -> Result<Tensor> {
    function([x, w], product(x, w)?, |[x, w], grad| {
        let for_x = x.track_op().then(|| matrix_product(Factors::Plain, grad, w)).transpose()?;
        let for_w = w.track_op().then(|| matrix_product(Factors::FirstTransposed, grad, x)).transpose()?;
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
    matrix_value(Factors::SecondTransposed, x, w)
}

/// The product of two matrices, without graph.
pub(super) fn matrix_product(factors: Factors, lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    match matrix_value(factors, lhs, rhs)? {
        Value::Floats(values, shape) => Tensor::from_vec(values, shape, lhs.device()),
        Value::Tensor(tensor) => Ok(tensor),
    }
}

fn matrix_value(factors: Factors, lhs: &Tensor, rhs: &Tensor) -> Result<Value> {
    let turn = |(a, b)| (b, a);
    let (left, right) = (lhs.dims2()?, rhs.dims2()?);
    let ((m, k), (inner, n)) = match factors {
        Factors::Plain => (left, right),
        Factors::SecondTransposed => (left, turn(right)),
        Factors::FirstTransposed => (turn(left), right),
    };
    if kernels_apply(lhs) && kernels_apply(rhs) && k == inner {
        let values = with_floats([lhs, rhs], |[lhs, rhs]| kernels::matrix_product(factors, (m, n, k), lhs, rhs))?;
        return Ok(Value::Floats(values, (m, n).into()));
    }
    let (lhs, rhs) = (lhs.detach(), rhs.detach());
    Ok(Value::Tensor(match factors {
        Factors::Plain => lhs.matmul(&rhs)?,
        Factors::SecondTransposed => lhs.matmul(&rhs.t()?)?,
        Factors::FirstTransposed => lhs.t()?.matmul(&rhs)?,
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
