//! Decoding over a cache: attention of one query for each row, and the writing of the cache.

use candle_core::{DType, Result, Tensor, bail};

use super::launch::{Launch, Number, count, require, suffix};
use alft_kernels::Heads;

/// Threads of a block, as in `decoding.cu`.
const THREADS: usize = 128;
/// Widths of a head that the kernels are compiled for; a narrower head leaves lanes idle.
const WIDTHS: [usize; 3] = [64, 128, 256];

/// Returns true if the kernel can compute heads of this width.
pub(crate) fn supports(heads: Heads) -> bool {
    heads.dim <= WIDTHS[2]
}

/// Computes the attention of `q` (rows, query heads · dim) over the pools `keys` and `values` (places, kv heads · dim).
/// `spans` (rows, spans, 2), `u32`, has the first place and the number of places of each span of a row; a row has at least one
/// place, and unused spans have none. A row attends to the last places, as many as the window has.
pub(crate) fn attend(heads: Heads, q: &Tensor, keys: &Tensor, values: &Tensor, spans: &Tensor) -> Result<Tensor> {
    let Some(width) = WIDTHS.into_iter().find(|width| *width >= heads.dim) else {
        bail!("the decoding kernel has heads of at most {} elements, not {}", WIDTHS[2], heads.dim);
    };
    let (rows, row_spans, _) = spans.dims3()?;
    let q = q.contiguous()?;
    require(&[spans], DType::U32)?;
    let windowed = if heads.slide() { "windowed_" } else { "" };
    let [out] = Launch {
        module: "decoding",
        kernel: format!("{windowed}decoding_attention_{width}_{}", suffix(&[&q, keys, values])?),
        grid: [rows, heads.query],
        threads: THREADS,
        shared: 0,
        inputs: &[&q, keys, values, spans],
        updates: &[],
        outputs: &[(q.dims(), q.dtype())],
        lists: &[],
        numbers: &[
            count(heads.query)?,
            count(heads.repeats())?,
            count(heads.dim)?,
            count(row_spans)?,
            Number::F32(heads.scale as f32),
            Number::U32(u32::try_from(heads.window).unwrap_or(u32::MAX)),
        ],
    }
    .run()?;
    Ok(out)
}

/// Writes `k` and `v` (rows, kv heads · dim) to the pools at `places` (rows,), `u32`.
pub(crate) fn write(places: &Tensor, k: &Tensor, v: &Tensor, keys: &Tensor, values: &Tensor) -> Result<()> {
    let (rows, width) = k.dims2()?;
    if rows == 0 {
        // No device accepts a launch of no blocks.
        return Ok(());
    }
    require(&[places], DType::U32)?;
    let [] = Launch {
        module: "decoding",
        kernel: format!("cache_write_{}", suffix(&[k, v, keys, values])?),
        grid: [rows, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[places, &k.contiguous()?, &v.contiguous()?],
        updates: &[keys, values],
        outputs: &[],
        lists: &[],
        numbers: &[count(width)?],
    }
    .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::{super::can_emulate, *};
    use crate::ops::noise;

    #[test]
    fn rows_are_written_to_their_places_and_nowhere_else() {
        if !can_emulate() {
            return;
        }
        let pools = [1, 2].map(|seed| noise(&[9, 5], seed));
        let before = pools.each_ref().map(|pool| pool.to_vec2::<f32>().unwrap());
        let rows = [3, 4].map(|seed| noise(&[2, 5], seed));
        write(&Tensor::new(&[7u32, 2], &Device::Cpu).unwrap(), &rows[0], &rows[1], &pools[0], &pools[1]).unwrap();
        for ((pool, mut want), rows) in pools.iter().zip(before).zip(&rows) {
            let rows = rows.to_vec2::<f32>().unwrap();
            (want[7], want[2]) = (rows[0].clone(), rows[1].clone());
            assert_eq!(pool.to_vec2::<f32>().unwrap(), want);
        }
    }
}
