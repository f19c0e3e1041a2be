//! The model's operations, each differentiable. On the CPU in `f32` an operation is one of [`crate::kernels`] with a
//! rule for its gradient; elsewhere it is composed of candle's operations, all of them tracked. Tests hold one against
//! the other.

mod attention;
mod cache;
mod floats;
mod function;
mod head;
mod linear;
mod packed;
mod rms_norm;
mod rotary;
mod swiglu;
#[cfg(test)]
mod twins;

#[cfg(test)]
pub(crate) use self::twins::noise;
pub(crate) use self::{
    attention::attend,
    cache::{BLOCK, Cache, Places, Reads, Writes},
    floats::{floats, kernels_apply, with_floats},
    head::{Prediction, predict},
    linear::linear,
    packed::PackedLinear,
    rms_norm::rms_norm,
    rotary::Rotary,
    swiglu::swiglu,
};
