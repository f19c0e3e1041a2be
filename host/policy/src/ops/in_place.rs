//! Sums that grow in place: of residual streams, and of the gradients of weights.
//!
//! Where there is a kernel the first argument is changed and returned, so it must be a fresh value that nobody else holds;
//! elsewhere the sum is a new tensor. Nothing is tracked, except that [`add`] of a tracked tensor is candle's.

use alft_kernels::{self as kernels, Transpose};
use candle_core::{Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats, with_floats_mut},
    gather::Gather,
    linear::matmul,
    path::{Op, Path},
};
use crate::{cuda, profile};

/// Computes `sum + x`.
pub(crate) fn add(sum: Tensor, x: &Tensor) -> Result<Tensor> {
    let _time = profile::time("add");
    if !kernels_apply(&sum) || sum.track_op() || x.track_op() || sum.dims() != x.dims() {
        return sum + x;
    }
    with_floats([x], |[x]| {
        with_floats_mut(&sum, |sum| {
            kernels::add(sum, x);
            Ok(())
        })
    })??;
    Ok(sum)
}

/// Computes `sum + lhs · rhs`, with one factor stored transposed if `transpose` says so. The product has the element type
/// of its factors, and the sum its own.
pub(crate) fn add_product(sum: Tensor, transpose: Transpose, lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    let _time = profile::time("linear backward");
    let (left, right) = (lhs.dims2()?, rhs.dims2()?);
    let (m, n, k, inner) = match transpose {
        Transpose::Neither => (left.0, right.1, left.1, right.0),
        Transpose::Rhs => (left.0, right.0, left.1, right.1),
        Transpose::Lhs => (left.1, right.1, left.0, right.0),
    };
    let kernel = [&sum, lhs, rhs].into_iter().all(kernels_apply) && k == inner && sum.dims() == [m, n];
    if !kernel {
        return sum.detach() + matmul(transpose, lhs, rhs)?.to_dtype(sum.dtype())?;
    }
    with_floats([lhs, rhs], |[lhs, rhs]| {
        with_floats_mut(&sum, |sum| {
            kernels::gemm_add(transpose, (m, n, k), sum, lhs, rhs);
            Ok(())
        })
    })??;
    Ok(sum)
}

/// Adds row `i` of `rows` (ids, width) to row `ids[i]` of `sum`.
pub(crate) fn add_rows(sum: Tensor, ids: &[u32], rows: &Tensor) -> Result<Tensor> {
    let _time = profile::time("embedding backward");
    if Path::of(Op::AddRows, &sum) == Path::CudaKernel {
        cuda::add_rows::add(&sum, ids, rows)?;
        return Ok(sum);
    }
    if !kernels_apply(&sum) || !kernels_apply(rows) {
        // candle's `index_add` is slow on devices.
        let rows = Gather::new(ids, sum.dim(0)?, sum.device())?.reverse(rows)?;
        return sum.detach() + rows.to_dtype(sum.dtype())?;
    }
    let width = sum.dim(1)?;
    with_floats([rows], |[rows]| {
        with_floats_mut(&sum, |sum| {
            kernels::add_rows(sum, ids, rows, width);
            Ok(())
        })
    })??;
    Ok(sum)
}
