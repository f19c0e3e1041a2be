//! Gated linear units; see [`crate::ops::glu`].

use candle_core::{Result, Tensor};

use super::launch::{Launch, count, row_threads, suffix};
use alft_kernels::Activation;

const THREADS: usize = 256;

/// Returns the beginning of the kernels' symbols.
fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "swiglu",
        Activation::GeluTanh => "geglu",
    }
}

/// Computes `activation(gate) · up`.
pub(crate) fn forward(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let (gate, up) = (gate.contiguous()?, up.contiguous()?);
    let elements = gate.elem_count();
    let [y] = Launch {
        module: "glu",
        kernel: format!("{}_{}", name(activation), suffix(&[&gate, &up])?),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&gate, &up],
        updates: &[],
        outputs: &[(gate.dims(), gate.dtype())],
        lists: &[],
        numbers: &[count(elements)?],
    }
    .run()?;
    Ok(y)
}

/// Computes `activation(gate) · up` of rows that hold their gates and then their ups, (rows, 2 · width). Returns (rows, width).
pub(crate) fn joined(activation: Activation, gate_up: &Tensor) -> Result<Tensor> {
    let (rows, both) = gate_up.dims2()?;
    let [y] = Launch {
        module: "glu",
        kernel: format!("{}_joined_{}", name(activation), suffix(&[gate_up])?),
        grid: [rows, 1],
        threads: row_threads(both / 2, THREADS),
        shared: 0,
        inputs: &[gate_up],
        updates: &[],
        outputs: &[(&[rows, both / 2], gate_up.dtype())],
        lists: &[],
        numbers: &[count(both / 2)?],
    }
    .run()?;
    Ok(y)
}

/// Returns the gradients for `gate` and `up`.
pub(crate) fn backward(activation: Activation, gate: &Tensor, up: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor)> {
    let (gate, up, grad) = (gate.contiguous()?, up.contiguous()?, grad.contiguous()?);
    let elements = gate.elem_count();
    let [for_gate, for_up] = Launch {
        module: "glu",
        kernel: format!("{}_backward_{}", name(activation), suffix(&[&gate, &up, &grad])?),
        grid: [elements.div_ceil(THREADS), 1],
        threads: THREADS,
        shared: 0,
        inputs: &[&gate, &up, &grad],
        updates: &[],
        outputs: &[(gate.dims(), gate.dtype()), (gate.dims(), gate.dtype())],
        lists: &[],
        numbers: &[count(elements)?],
    }
    .run()?;
    Ok((for_gate, for_up))
}
