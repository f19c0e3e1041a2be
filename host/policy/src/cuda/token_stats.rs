//! Statistics of rows of logits; see [`crate::ops::predict`].

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, require, row_threads, suffix};

/// Threads of a block at most.
const THREADS: usize = 512;

/// Returns the log-probability of each row's target, (rows,), and the entropy of each row in nats, (rows,), both `f32`.
/// `logits` (rows, vocabulary) is overwritten with the gradient of the log-probabilities for it if `slopes` is true.
/// `targets` is (rows,), `u32`.
pub(crate) fn in_place(logits: &Tensor, targets: &Tensor, slopes: bool) -> Result<(Tensor, Tensor)> {
    let (rows, width) = logits.dims2()?;
    require(&[targets], DType::U32)?;
    let [log_probs, entropies] = Launch {
        module: "token_stats",
        kernel: format!("token_stats_{}", suffix(&[logits])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        shared: 0,
        inputs: &[targets],
        updates: &[logits],
        outputs: &[(&[rows], DType::F32), (&[rows], DType::F32)],
        lists: &[],
        numbers: &[count(width)?, Number::U32(slopes.into())],
    }
    .run()?;
    Ok((log_probs, entropies))
}

/// Returns the gradient of the entropy of each row of `logits` (rows, vocabulary) for them.
pub(crate) fn entropy_slopes(logits: &Tensor) -> Result<Tensor> {
    let (rows, width) = logits.dims2()?;
    let [slopes] = Launch {
        module: "token_stats",
        kernel: format!("entropy_slopes_{}", suffix(&[logits])?),
        grid: [rows, 1],
        threads: row_threads(width, THREADS),
        shared: 0,
        inputs: &[logits],
        updates: &[],
        outputs: &[(&[rows, width], logits.dtype())],
        lists: &[],
        numbers: &[count(width)?],
    }
    .run()?;
    Ok(slopes)
}
