//! SwiGLU, the gate of the feed-forward layer.

use candle_core::{DType, Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    path::{Op, Path},
};
use crate::{cuda, kernels, profile};

/// Computes `silu(gate) · up`, element by element.
///
/// Source: Shazeer, *GLU Variants Improve Transformer*, arXiv 2002.05202.
pub(crate) fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let _time = profile::time("swiglu");
    let value = match Path::of(Op::SwiGlu, gate) {
        Path::CpuKernel => {
            Value::Floats(with_floats([gate, up], |[gate, up]| kernels::swiglu(gate, up))?, gate.shape().clone())
        }
        Path::CudaKernel => Value::Tensor(cuda::swiglu::forward(gate, up)?),
        Path::Fused => Value::Tensor((gate.detach().silu()? * up.detach())?),
        Path::Composed => return gate.silu()? * up,
    };
    function([gate, up], value, |[gate, up], grad| {
        let (for_gate, for_up) = swiglu_backward(gate, up, grad)?;
        Ok([Some(for_gate), Some(for_up)])
    })
}

/// Returns the gradients of [`swiglu`] for `gate` and `up`, given the gradient of its value. With σ the logistic function
/// of the gate, the derivative of silu is `σ · (1 + gate · (1 − σ))`.
pub(crate) fn swiglu_backward(gate: &Tensor, up: &Tensor, grad: &Tensor) -> Result<(Tensor, Tensor)> {
    let _time = profile::time("swiglu backward");
    let (gate, up, grad) = (gate.detach(), up.detach(), grad.detach());
    match Path::of(Op::SwiGlu, &gate) {
        Path::CpuKernel => {
            let (for_gate, for_up) =
                with_floats([&gate, &up, &grad], |[gate, up, grad]| kernels::swiglu_backward(gate, up, grad))?;
            let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
            Ok((tensor(for_gate)?, tensor(for_up)?))
        }
        Path::CudaKernel => cuda::swiglu::backward(&gate, &up, &grad),
        Path::Fused | Path::Composed => {
            let wide = if gate.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
            let (g, u, d) = (gate.to_dtype(wide)?, up.to_dtype(wide)?, grad.to_dtype(wide)?);
            let sigma = (g.neg()?.exp()? + 1.0)?.recip()?;
            let silu = (&g * &sigma)?;
            let slope = ((&sigma + &silu)? - (&silu * &sigma)?)?;
            Ok((((&d * u)? * slope)?.to_dtype(gate.dtype())?, (d * silu)?.to_dtype(up.dtype())?))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn every_implementation_agrees_with_the_twin() {
        let gate = (noise(&[9, 33], 1) * 8.0).unwrap();
        compare(&[gate, noise(&[9, 33], 2)], |args| swiglu(&args[0], &args[1]));
    }
}
