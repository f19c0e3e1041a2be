//! A step of AdamW over all weights, and the norm of their gradients; see [`crate::train::adamw`].

use candle_core::{DType, Device, Result, Tensor};

use super::launch::{Launch, Number, count, require};
use crate::kernels::AdamWStep;

const THREADS: usize = 256;
/// Numbers that a block computes.
const RUN: usize = 1 << 14;

/// The division of tensors into runs.
struct Runs {
    blocks: usize,
    /// Tensor and first number of each run, (runs, 2).
    runs: Tensor,
    /// Numbers of each tensor, (tensors,).
    counts: Tensor,
}

impl Runs {
    fn of(tensors: &[&Tensor], device: &Device) -> Result<Self> {
        let (mut runs, mut counts) = (Vec::new(), Vec::new());
        for (index, tensor) in tensors.iter().enumerate() {
            // Fails for a number of elements that the kernel cannot count.
            count(tensor.elem_count())?;
            counts.push(tensor.elem_count() as u32);
            runs.extend((0..tensor.elem_count()).step_by(RUN).flat_map(|first| [index as u32, first as u32]));
        }
        let blocks = runs.len() / 2;
        Ok(Self { blocks, runs: Tensor::from_vec(runs, (blocks, 2), device)?, counts: Tensor::new(counts, device)? })
    }
}

/// Returns the sums of squares of runs of tensors, `f32`: (runs,). At least one tensor has a number.
pub(crate) fn squares(tensors: &[&Tensor]) -> Result<Tensor> {
    require(tensors, DType::F32)?;
    let Runs { blocks, runs, counts } = Runs::of(tensors, tensors[0].device())?;
    let [sums] = Launch {
        module: "adamw",
        kernel: "squares".to_owned(),
        grid: [blocks, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&runs, &counts],
        updates: &[],
        outputs: &[(&[blocks], DType::F32)],
        lists: &[tensors],
        numbers: &[count(RUN)?],
    }
    .run()?;
    Ok(sums)
}

/// Changes weights and their moments, all `f32` and contiguous, in place: the moments m and v of weight i are `means[i]` and
/// `squares[i]`, and its gradient `grads[i]`.
pub(crate) fn apply(
    weights: &[&Tensor],
    means: &[&Tensor],
    squares: &[&Tensor],
    grads: &[&Tensor],
    step: &AdamWStep,
) -> Result<()> {
    for list in [weights, means, squares, grads] {
        require(list, DType::F32)?;
    }
    let Runs { blocks, runs, counts } = Runs::of(weights, weights[0].device())?;
    let numbers = [
        step.mean[0],
        step.mean[1],
        step.square[0],
        step.square[1],
        step.decay,
        step.rate,
        step.root_bias,
        step.epsilon,
    ];
    let mut parameters = vec![count(RUN)?];
    parameters.extend(numbers.map(Number::F32));
    let [] = Launch {
        module: "adamw",
        kernel: "adamw".to_owned(),
        grid: [blocks, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&runs, &counts],
        updates: &[],
        outputs: &[],
        lists: &[grads, weights, means, squares],
        numbers: &parameters,
    }
    .run()?;
    Ok(())
}
