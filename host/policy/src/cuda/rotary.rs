//! Rotary position embedding; see [`crate::ops::Rotary`].

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, require, suffix};
use alft_kernels::Heads;

const THREADS: usize = 256;

/// Rotates the heads of `x` (rows, heads · dim) by `sign` times the angles whose `cos` and `sin` are (rows, dim / 2), `f32`.
pub(crate) fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor, sign: f32) -> Result<Tensor> {
    let ((rows, width), (_, half)) = (x.dims2()?, cos.dims2()?);
    let x = x.contiguous()?;
    require(&[cos, sin], DType::F32)?;
    let pairs = rows * width / 2;
    let [y] = Launch {
        module: "rotary",
        kernel: format!("rotary_{}", suffix(&[&x])?),
        grid: [pairs.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&x, cos, sin],
        updates: &[],
        outputs: &[(x.dims(), x.dtype())],
        lists: &[],
        numbers: &[count(pairs)?, count(width / 2)?, count(half)?, Number::F32(sign)],
    }
    .run()?;
    Ok(y)
}

/// Rotates the queries and keys of `qkv` (rows, query + kv + kv heads · dim), to which `bias` is added if there is one, and
/// writes keys and values to the pools `keys` and `values` (places, kv heads · dim). `positions` and `places` are (rows,),
/// `u32`; `cos` and `sin` are (positions, dim / 2), `f32`. Returns the queries, (rows, query heads · dim).
#[expect(clippy::too_many_arguments, reason = "they are those of the kernel")]
pub(crate) fn turn_and_write(
    heads: Heads,
    qkv: &Tensor,
    bias: Option<&Tensor>,
    [cos, sin]: [&Tensor; 2],
    positions: &Tensor,
    places: &Tensor,
    keys: &Tensor,
    values: &Tensor,
) -> Result<Tensor> {
    let rows = qkv.dim(0)?;
    require(&[cos, sin], DType::F32)?;
    require(&[positions, places], DType::U32)?;
    let [q] = Launch {
        module: "rotary",
        kernel: format!("rotary_write_{}", suffix(&[qkv, bias.unwrap_or(qkv), keys, values])?),
        grid: [rows, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[qkv, bias.unwrap_or(qkv), cos, sin, positions, places],
        updates: &[keys, values],
        outputs: &[(&[rows, heads.query * heads.dim], qkv.dtype())],
        lists: &[],
        numbers: &[count(heads.query)?, count(heads.kv)?, count(heads.dim / 2)?, Number::U32(bias.is_some().into())],
    }
    .run()?;
    Ok(q)
}
