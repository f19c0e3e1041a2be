//! SwiGLU; see [`crate::ops::swiglu`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, count, suffix};

const THREADS: usize = 256;

/// Computes `silu(gate) · up`.
pub(crate) fn forward(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gate, up) = (gate.contiguous()?, up.contiguous()?);
    let elements = gate.elem_count();
    let [y] = Launch {
        module: "swiglu",
        kernel: format!("swiglu_{}", suffix(gate.dtype())?),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&gate, &up],
        updates: &[],
        outputs: &[(gate.dims(), gate.dtype())],
        numbers: &[count(elements)?],
    }
    .run()?;
    Ok(y)
}

/// Returns the gradients for `gate` and `up`.
pub(crate) fn backward(gate: &Tensor, up: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor)> {
    let (gate, up, grad) = (gate.contiguous()?, up.contiguous()?, grad.contiguous()?);
    let elements = gate.elem_count();
    let [for_gate, for_up] = Launch {
        module: "swiglu",
        kernel: format!("swiglu_backward_{}", suffix(gate.dtype())?),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&gate, &up, &grad],
        updates: &[],
        outputs: &[(gate.dims(), gate.dtype()), (gate.dims(), gate.dtype())],
        numbers: &[count(elements)?],
    }
    .run()?;
    Ok((for_gate, for_up))
}
