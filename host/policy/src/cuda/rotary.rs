//! Rotary position embedding; see [`crate::ops::Rotary`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, Number, count, suffix};

const THREADS: usize = 256;

/// Rotates the heads of `x` (rows, heads · dim) by `sign` times the angles whose `cos` and `sin` are (rows, dim / 2), `f32`.
pub(crate) fn turn(x: &Tensor, cos: &Tensor, sin: &Tensor, sign: f32) -> Result<Tensor> {
    let ((rows, width), (_, half)) = (x.dims2()?, cos.dims2()?);
    let x = x.contiguous()?;
    let pairs = rows * width / 2;
    let [y] = Launch {
        module: "rotary",
        kernel: format!("rotary_{}", suffix(x.dtype())?),
        grid: [pairs.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&x, cos, sin],
        updates: &[],
        outputs: &[(x.dims(), x.dtype())],
        numbers: &[count(pairs)?, count(width / 2)?, count(half)?, Number::F32(sign)],
    }
    .run()?;
    Ok(y)
}
