//! A step of AdamW; see [`crate::train::adamw`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, Number, count};
use crate::kernels::AdamWStep;

const THREADS: usize = 256;

/// Changes a weight and its moments, all `f32`, in place.
pub(crate) fn apply(weight: &Tensor, m: &Tensor, v: &Tensor, grad: &Tensor, step: &AdamWStep) -> Result<()> {
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
