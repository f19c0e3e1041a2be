//! The model's operations, each differentiable, on one of the implementations in [`path`]: on the CPU in `f32` the loops
//! of [`alft_kernels`], on CUDA the kernels of [`crate::cuda`], with a rule for the gradient; where there is no kernel,
//! candle's fused operations with the same rule. The twin of all is composed of candle's tracked operations. Tests, and
//! on a card `alft doctor --gpu`, hold each against it.

mod attention;
mod cache;
mod dequantise;
mod dropout;
mod floats;
mod function;
mod gather;
mod glu;
mod head;
mod in_place;
mod linear;
mod packed;
pub(crate) mod path;
mod rms_norm;
mod rotary;
#[cfg(test)]
mod twins;

#[cfg(test)]
pub(crate) use self::twins::noise;
pub(crate) use self::{
    attention::{Packed, attend, attend_backward},
    cache::{BLOCK, Cache, Places, Reads, StepRows, Writes},
    dequantise::dequantise,
    dropout::Dropout,
    floats::{kernels_apply, with_floats, with_floats_mut},
    glu::{glu, glu_backward},
    head::{Prediction, PredictionGradient, Tracked, head_rows, predict, predict_for_gradient},
    in_place::{add, add_product, add_rows},
    linear::{linear, matmul},
    packed::PackedLinear,
    rms_norm::{rms_norm, rms_norm_backward},
    rotary::Rotary,
};
