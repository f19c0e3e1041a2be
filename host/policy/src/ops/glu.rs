//! Gated linear units, the gate of the feed-forward layer.

use alft_kernels::{self as kernels, Activation, GELU_CUBIC, GELU_LINEAR};
use candle_core::{DType, Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    path::{Op, Path},
};
use crate::{cuda, profile};

/// Computes `activation(gate) · up`, element by element.
///
/// Source: Shazeer, *GLU Variants Improve Transformer*, arXiv 2002.05202.
pub(crate) fn glu(activation: Activation, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    let op = Op::of_gate(activation);
    let _time = profile::time(op.name());
    let value = match Path::of(op, gate) {
        Path::CpuKernel => {
            let floats = with_floats([gate, up], |[gate, up]| kernels::glu(activation, gate, up))?;
            Value::Floats(floats, gate.shape().clone())
        }
        Path::CudaKernel => Value::Tensor(cuda::glu::forward(activation, gate, up)?),
        Path::Fused => {
            let gate = gate.detach();
            let gate = match activation {
                Activation::Silu => gate.silu()?,
                // In 16 bits candle's would round every step.
                Activation::GeluTanh => gate.to_dtype(wide_type(&gate))?.gelu()?.to_dtype(gate.dtype())?,
            };
            Value::Tensor((gate * up.detach())?)
        }
        Path::Composed => return (gate * logistic(&logit(activation, gate)?)?)? * up,
    };
    function([gate, up], value, move |[gate, up], grad| {
        let (for_gate, for_up) = glu_backward(activation, gate, up, grad)?;
        Ok([Some(for_gate), Some(for_up)])
    })
}

/// Returns the gradients of [`glu`] for `gate` and `up`, given the gradient of its value. An activation is x · σ(z) with σ the
/// logistic function, and its derivative `σ · (1 + x · z′ · (1 − σ))`.
pub(crate) fn glu_backward(
    activation: Activation,
    gate: &Tensor,
    up: &Tensor,
    grad: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let op = Op::of_gate(activation);
    let _time = profile::time("glu backward");
    let (gate, up, grad) = (gate.detach(), up.detach(), grad.detach());
    match Path::of(op, &gate) {
        Path::CpuKernel => {
            let (for_gate, for_up) =
                with_floats([&gate, &up, &grad], |[gate, up, grad]| kernels::glu_backward(activation, gate, up, grad))?;
            let tensor = |values| Tensor::from_vec(values, gate.shape(), gate.device());
            Ok((tensor(for_gate)?, tensor(for_up)?))
        }
        Path::CudaKernel => cuda::glu::backward(activation, &gate, &up, &grad),
        Path::Fused | Path::Composed => {
            let wide = wide_type(&gate);
            let (g, u, d) = (gate.to_dtype(wide)?, up.to_dtype(wide)?, grad.to_dtype(wide)?);
            let sigma = logistic(&logit(activation, &g)?)?;
            let value = (&g * &sigma)?;
            // The derivative, in which x · σ is the value.
            let steep = match activation {
                Activation::Silu => value.clone(),
                Activation::GeluTanh => (&value * ((g.sqr()? * (3.0 * GELU_CUBIC))? + GELU_LINEAR)?)?,
            };
            let slope = ((&sigma + &steep)? - (steep * &sigma)?)?;
            Ok((((&d * u)? * slope)?.to_dtype(gate.dtype())?, (d * value)?.to_dtype(up.dtype())?))
        }
    }
}

/// Returns z of an [`Activation`], by tracked operations.
fn logit(activation: Activation, x: &Tensor) -> Result<Tensor> {
    match activation {
        Activation::Silu => Ok(x.clone()),
        Activation::GeluTanh => x * ((x.sqr()? * GELU_CUBIC)? + GELU_LINEAR)?,
    }
}

fn wide_type(x: &Tensor) -> DType {
    if x.dtype() == DType::F64 { DType::F64 } else { DType::F32 }
}

fn logistic(x: &Tensor) -> Result<Tensor> {
    (x.neg()?.exp()? + 1.0)?.recip()
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
        for activation in [Activation::Silu, Activation::GeluTanh] {
            compare(&[gate.clone(), noise(&[9, 33], 2)], |args| glu(activation, &args[0], &args[1]));
        }
    }
}
