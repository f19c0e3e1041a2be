//! Root-mean-square normalisation; see [`crate::ops::rms_norm`].

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, row_threads, suffix};
use alft_kernels::{Heads, NormConstants};

/// Threads of a block at most, and those of a block of the weight's gradient, as in `rms_norm.cu`.
const THREADS: usize = 256;
/// Rows that a block of the weight's gradient sums.
const CHUNK: usize = 128;

/// Returns the numbers that all kernels of rows take.
fn numbers(width: usize, constants: NormConstants) -> Result<[Number; 3]> {
    Ok([count(width)?, Number::F32(constants.epsilon as f32), Number::F32(constants.offset as f32)])
}

/// Computes the normalised rows of `x` times `offset + w`, in the type of `x`.
pub(crate) fn forward(x: &Tensor, w: &Tensor, constants: NormConstants) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let (x, w) = (x.contiguous()?, w.contiguous()?);
    let [y] = Launch {
        module: "rms_norm",
        kernel: format!("rms_norm_{}_{}", suffix(&[&x])?, suffix(&[&w])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        shared: 0,
        inputs: &[&x, &w],
        updates: &[],
        outputs: &[(x.dims(), x.dtype())],
        lists: &[],
        numbers: &numbers(width, constants)?,
    }
    .run()?;
    Ok(y)
}

/// Adds `y` to the stream `x` in place, both (rows, width), and returns the normalised rows of the sum times `offset + w`.
pub(crate) fn add_and_norm(x: &Tensor, y: &Tensor, w: &Tensor, constants: NormConstants) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    let [normal] = Launch {
        module: "rms_norm",
        kernel: format!("add_rms_norm_{}_{}", suffix(&[x, y])?, suffix(&[w])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        shared: 0,
        inputs: &[y, w],
        updates: &[x],
        outputs: &[(x.dims(), x.dtype())],
        lists: &[],
        numbers: &numbers(width, constants)?,
    }
    .run()?;
    Ok(normal)
}

/// Normalises the heads of queries and keys of `qkv` (rows, query + 2 · kv heads · dim) in place, by weights (dim,).
pub(crate) fn heads(
    heads: Heads,
    qkv: &Tensor,
    query_w: &Tensor,
    key_w: &Tensor,
    constants: NormConstants,
) -> Result<()> {
    let [width, epsilon, offset] = numbers(heads.dim, constants)?;
    let [] = Launch {
        module: "rms_norm",
        kernel: format!("head_rms_norm_{}_{}", suffix(&[qkv])?, suffix(&[query_w, key_w])?),
        grid: [qkv.dim(0)?, heads.query + heads.kv],
        threads: 32,
        shared: 0,
        inputs: &[query_w, key_w],
        updates: &[qkv],
        outputs: &[],
        lists: &[],
        numbers: &[count(heads.query)?, count(heads.kv)?, width, epsilon, offset],
    }
    .run()?;
    Ok(())
}

/// Returns the gradient for `x` and, if asked for, that for `w` in `f32`.
pub(crate) fn backward(
    x: &Tensor,
    w: &Tensor,
    grad: &Tensor,
    constants: NormConstants,
    for_weight: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let (rows, width) = x.dims2()?;
    let (x, w, grad) = (x.contiguous()?, w.contiguous()?, grad.contiguous()?);
    let [for_x, inverses] = Launch {
        module: "rms_norm",
        kernel: format!("rms_norm_backward_{}_{}", suffix(&[&x, &grad])?, suffix(&[&w])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        shared: 0,
        inputs: &[&x, &w, &grad],
        updates: &[],
        outputs: &[(x.dims(), x.dtype()), (&[rows], DType::F32)],
        lists: &[],
        numbers: &numbers(width, constants)?,
    }
    .run()?;
    if !for_weight {
        return Ok((for_x, None));
    }
    let chunks = rows.div_ceil(CHUNK);
    let [partial] = Launch {
        module: "rms_norm",
        kernel: format!("rms_norm_weight_{}", suffix(&[&x, &grad])?),
        grid: [width.div_ceil(32), chunks],
        threads: THREADS,
        shared: 0,
        inputs: &[&x, &grad, &inverses],
        updates: &[],
        outputs: &[(&[chunks, width], DType::F32)],
        lists: &[],
        numbers: &[count(rows)?, count(width)?, count(CHUNK)?],
    }
    .run()?;
    let [for_weight] = Launch {
        module: "rms_norm",
        kernel: "rms_norm_columns".to_owned(),
        grid: [width.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&partial],
        updates: &[],
        outputs: &[(&[width], DType::F32)],
        lists: &[],
        numbers: &[count(chunks)?, count(width)?],
    }
    .run()?;
    Ok((for_x, Some(for_weight)))
}
