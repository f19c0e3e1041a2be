//! A step of AdamW; see [`crate::train::adamw`].

use candle_core::{DType, Result, Tensor};

use super::launch::{Launch, Number, count, require};
use crate::kernels::AdamWStep;

const THREADS: usize = 256;
/// Numbers whose squares a block adds up.
const RUN: usize = 1 << 15;

/// Returns the sums of squares of runs of `x`, `f32`: (runs,).
pub(crate) fn squares(x: &Tensor) -> Result<Tensor> {
    require(&[x], DType::F32)?;
    let runs = x.elem_count().div_ceil(RUN);
    let [sums] = Launch {
        module: "adamw",
        kernel: "squares".to_owned(),
        grid: [runs, 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&x.contiguous()?],
        updates: &[],
        outputs: &[(&[runs], DType::F32)],
        numbers: &[count(x.elem_count())?, count(RUN)?],
    }
    .run()?;
    Ok(sums)
}

/// Changes a weight and its moments, all `f32`, in place.
pub(crate) fn apply(weight: &Tensor, m: &Tensor, v: &Tensor, grad: &Tensor, step: &AdamWStep) -> Result<()> {
    require(&[weight, m, v, grad], DType::F32)?;
    let elements = weight.elem_count();
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
    let mut parameters = vec![count(elements)?];
    parameters.extend(numbers.map(Number::F32));
    let [] = Launch {
        module: "adamw",
        kernel: "adamw".to_owned(),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&grad.contiguous()?],
        updates: &[weight, m, v],
        outputs: &[],
        numbers: &parameters,
    }
    .run()?;
    Ok(())
}
