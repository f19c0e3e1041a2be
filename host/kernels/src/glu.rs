//! Gated linear units: the product of one projection with the activation of another, forward and backward.

use super::{
    parallel::{new_pair, new_rows},
    simd::{exp, fused, vectorised},
};

/// The activation of the gate in a feed-forward layer. Both are x · σ(z) with σ the logistic function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Activation {
    /// SiLU, with z = x: SwiGLU.
    #[default]
    Silu,
    /// GELU by the hyperbolic tangent, with z = √(8/π) · (x + 0.044715 x³): GeGLU.
    GeluTanh,
}

/// √(8/π), the factor of x in z of [`Activation::GeluTanh`].
pub const GELU_LINEAR: f64 = 1.595_769_121_605_730_8;
/// The factor of x³.
pub const GELU_CUBIC: f64 = GELU_LINEAR * 0.044_715;

/// Returns z of [`Activation::GeluTanh`].
#[inline(always)]
pub(super) fn gelu_logit(x: f32) -> f32 {
    x * (GELU_LINEAR as f32 + GELU_CUBIC as f32 * x * x)
}

#[inline(always)]
fn gelu_logit_slope(x: f32) -> f32 {
    GELU_LINEAR as f32 + 3.0 * GELU_CUBIC as f32 * x * x
}

/// Computes `activation(gate) · up`.
pub fn glu(activation: Activation, gate: &[f32], up: &[f32]) -> Vec<f32> {
    let block = match activation {
        Activation::Silu => swiglu_block,
        Activation::GeluTanh => geglu_block,
    };
    new_rows(gate.len(), 1, |first, out| {
        let range = first..first + out.len();
        block(out, &gate[range.clone()], &up[range]);
    })
}

vectorised! {
    fn swiglu_block(out: &mut [f32], gate: &[f32], up: &[f32]) {
        gated::<FMA>(out, gate, up, |x| x);
    }
}

vectorised! {
    fn geglu_block(out: &mut [f32], gate: &[f32], up: &[f32]) {
        gated::<FMA>(out, gate, up, gelu_logit);
    }
}

/// Writes x · σ(z) · `up` for each x of `gate`, with z = `logit(x)`.
#[inline(always)]
pub(super) fn gated<const FMA: bool>(out: &mut [f32], gate: &[f32], up: &[f32], logit: impl Fn(f32) -> f32) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp::<FMA>(-logit(*gate))) * up;
    }
}

/// Returns the gradients of [`glu`] for `gate` and `up`.
pub fn glu_backward(activation: Activation, gate: &[f32], up: &[f32], grad: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let block = match activation {
        Activation::Silu => swiglu_backward_block,
        Activation::GeluTanh => geglu_backward_block,
    };
    new_pair(gate.len(), |first, for_gate, for_up| {
        let range = first..first + for_gate.len();
        block(for_gate, for_up, &gate[range.clone()], &up[range.clone()], &grad[range]);
    })
}

vectorised! {
    fn swiglu_backward_block(for_gate: &mut [f32], for_up: &mut [f32], gate: &[f32], up: &[f32], grad: &[f32]) {
        gated_backward::<FMA>(for_gate, for_up, [gate, up, grad], |x| x, |_| 1.0);
    }
}

vectorised! {
    fn geglu_backward_block(for_gate: &mut [f32], for_up: &mut [f32], gate: &[f32], up: &[f32], grad: &[f32]) {
        gated_backward::<FMA>(for_gate, for_up, [gate, up, grad], gelu_logit, gelu_logit_slope);
    }
}

/// The derivative of x · σ(z) is σ · (1 + x · z′ · (1 − σ)).
#[inline(always)]
fn gated_backward<const FMA: bool>(
    for_gate: &mut [f32],
    for_up: &mut [f32],
    [gate, up, grad]: [&[f32]; 3],
    logit: impl Fn(f32) -> f32,
    slope: impl Fn(f32) -> f32,
) {
    let out = for_gate.iter_mut().zip(for_up);
    for ((for_gate, for_up), ((gate, up), grad)) in out.zip(gate.iter().zip(up).zip(grad)) {
        let below = 1.0 + exp::<FMA>(-logit(*gate));
        let sigmoid = 1.0 / below;
        *for_gate = grad * up * sigmoid * fused::<FMA>(gate * slope(*gate), 1.0 - sigmoid, 1.0);
        *for_up = gate / below * grad;
    }
}
