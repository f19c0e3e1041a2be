//! The rows of the embedding for tokens that are on the device.

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, count, require, row_threads, suffix};

/// Returns the rows of `table` (vocabulary, width) for `tokens` (rows,), `u32`, all below the vocabulary.
pub(crate) fn rows(table: &Tensor, tokens: &Tensor) -> Result<Tensor> {
    let (rows, width) = (tokens.dim(0)?, table.dim(1)?);
    require(&[tokens], DType::U32)?;
    let [x] = Launch {
        module: "embed",
        kernel: format!("embed_{}", suffix(&[table])?),
        grid: [rows, 1],
        threads: row_threads(width, 256),
        shared: 0,
        inputs: &[table, tokens],
        updates: &[],
        outputs: &[(&[rows, width], table.dtype())],
        lists: &[],
        numbers: &[count(width)?],
    }
    .run()?;
    Ok(x)
}
