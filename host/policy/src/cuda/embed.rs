//! The rows of the embedding for tokens that are on the device.

use candle_core::{DType, Result, Tensor};
use half::bf16;

use super::launch::{Launch, Number, count, require, row_threads, suffix};

/// The bit of a token that makes it the number of a row of the step before.
pub(crate) const DRAWN: u32 = 1 << 31;

/// Returns the rows of `table` (vocabulary, width) times `scale`, for `tokens` (rows,), all below the vocabulary or the number
/// of a row of `drawn` (rows, 2) with the bit [`DRAWN`]. Both are `u32`.
pub(crate) fn rows(table: &Tensor, tokens: &Tensor, drawn: &Tensor, scale: f64) -> Result<Tensor> {
    let (rows, (vocabulary, width)) = (tokens.dim(0)?, table.dims2()?);
    require(&[tokens, drawn], DType::U32)?;
    // The factor has the type of the rows.
    let scale = if table.dtype() == DType::BF16 { bf16::from_f64(scale).to_f32() } else { scale as f32 };
    let [x] = Launch {
        module: "embed",
        kernel: format!("embed_{}", suffix(&[table])?),
        grid: [rows, 1],
        threads: row_threads(width, 256),
        shared: 0,
        inputs: &[table, tokens, drawn],
        updates: &[],
        outputs: &[(&[rows, width], table.dtype())],
        lists: &[],
        numbers: &[count(width)?, count(vocabulary)?, Number::F32(scale)],
    }
    .run()?;
    Ok(x)
}
