//! SwiGLU, the gate of the feed-forward layer.

use candle_core::{Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
};
use crate::kernels;

/// Computes `silu(gate) · up`, element by element.
///
/// Source: Shazeer, *GLU Variants Improve Transformer*, arXiv 2002.05202.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let _time = crate::profile::time("swiglu");
    if !kernels_apply(gate) {
        return gate.silu()? * up;
    }
    let value = with_floats([gate, up], |[gate, up]| kernels::swiglu(gate, up))?;
    function([gate, up], Value::Floats(value, gate.shape().clone()), |[gate, up], grad| {
        let _time = crate::profile::time("swiglu backward");
        let (for_gate, for_up) =
            with_floats([gate, up, grad], |[gate, up, grad]| kernels::swiglu_backward(gate, up, grad))?;
        let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
        Ok([Some(tensor(for_gate)?), Some(tensor(for_up)?)])
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        let gate = (noise(&[9, 33], 1) * 8.0).unwrap();
        compare(&[gate, noise(&[9, 33], 2)], |args| swiglu(&args[0], &args[1]));
    }
}
