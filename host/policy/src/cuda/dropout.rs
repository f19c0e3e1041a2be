//! Dropout; see [`crate::ops::Dropout`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, Number, count, suffix};
use alft_kernels::DropoutMask;

const THREADS: usize = 256;

/// Sets elements to 0, and multiplies the others by the mask's scale.
pub(crate) fn apply(x: &Tensor, mask: DropoutMask) -> Result<Tensor> {
    let x = x.contiguous()?;
    let elements = x.elem_count();
    let [low, high] = mask.key;
    let [y] = Launch {
        module: "dropout",
        kernel: format!("dropout_{}", suffix(&[&x])?),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&x],
        updates: &[],
        outputs: &[(x.dims(), x.dtype())],
        lists: &[],
        numbers: &[
            Number::U32(low),
            Number::U32(high),
            Number::U32(mask.threshold),
            Number::F32(mask.scale),
            count(elements)?,
        ],
    }
    .run()?;
    Ok(y)
}
