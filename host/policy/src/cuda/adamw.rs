//! A step of AdamW over all weights, and the norm of their gradients; see [`crate::train::adamw`].

use candle_core::{DType, Result, Tensor};

use super::{
    launch::{Launch, Number, count, require},
    runs::{RUN, Runs, THREADS},
};
use alft_kernels::AdamWStep;

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
