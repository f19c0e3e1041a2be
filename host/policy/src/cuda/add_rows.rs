//! Sums of rows into rows; see [`crate::ops::add_rows`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, count, row_threads, suffix};

/// Adds row `i` of `rows` (ids, width) to row `ids[i]` of `sum` (any, width), in place.
pub(crate) fn add(sum: &Tensor, ids: &[u32], rows: &Tensor) -> Result<()> {
    let (width, rows) = (sum.dim(1)?, rows.contiguous()?);
    // Rows of one place follow each other, in their own order, so that the bits of a sum are always the same.
    let mut order: Vec<u32> = (0..ids.len() as u32).collect();
    order.sort_by_key(|row| ids[*row as usize]);
    let (mut starts, mut places) = (Vec::new(), Vec::new());
    for (at, row) in order.iter().enumerate() {
        let place = ids[*row as usize];
        if places.last() != Some(&place) {
            starts.push(at as u32);
            places.push(place);
        }
    }
    if places.is_empty() {
        // No device accepts a launch of no blocks.
        return Ok(());
    }
    starts.push(order.len() as u32);
    let blocks = places.len();
    let tensor = |values: Vec<u32>| Tensor::new(values, sum.device());
    let [] = Launch {
        module: "add_rows",
        kernel: format!("add_rows_{}_{}", suffix(&[sum])?, suffix(&[&rows])?),
        grid: [blocks, 1],
        threads: row_threads(width, 256),
        shared: 0,
        inputs: &[&rows, &tensor(order)?, &tensor(starts)?, &tensor(places)?],
        updates: &[sum],
        outputs: &[],
        lists: &[],
        numbers: &[count(width)?],
    }
    .run()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::{super::can_emulate, *};
    use crate::ops::noise;

    #[test]
    fn rows_of_one_place_are_added_up() {
        if !can_emulate() {
            return;
        }
        for (sums, dtype) in [(DType::F32, DType::F32), (DType::F32, DType::BF16), (DType::BF16, DType::BF16)] {
            let (sum, rows) = (noise(&[5, 37], 1).to_dtype(sums).unwrap(), noise(&[6, 37], 2).to_dtype(dtype).unwrap());
            let ids = [3u32, 1, 3, 0, 3, 1];
            let wide = |x: &Tensor| x.to_dtype(DType::F32).unwrap();
            let index = Tensor::new(&ids, &Device::Cpu).unwrap();
            let want = wide(&sum).index_add(&index, &wide(&rows), 0).unwrap();
            add(&sum, &ids, &rows).unwrap();
            let error = (wide(&sum) - want).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(error < if sums == DType::BF16 { 2e-2 } else { 1e-6 }, "{sums:?} and {dtype:?}: {error}");
        }
        let sum = noise(&[2, 3], 1);
        add(&sum, &[], &noise(&[0, 3], 1)).unwrap();
    }
}
