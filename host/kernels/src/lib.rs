//! The policy's CPU kernels: loops over `f32` slices. candle's operations run one at a time, with a pass over memory each
//! and many of them on one thread; a kernel does the same work in one pass on all threads. Every kernel has a twin of plain
//! tensor operations in alft-policy's `ops`, which runs on other devices and element types and is the kernel's oracle in
//! tests.
//!
//! A kernel is compiled for AVX2, for AVX-512 and for any machine of the architecture, and the widest that the machine has is
//! chosen at run time. This crate knows neither tensors nor models: it is the part of the program whose speed depends on the
//! compiler's optimisation, so it is optimised in every profile, unlike the rest of the policy.

mod adamw;
mod attention;
mod blocked_gemm;
mod dropout;
mod elementwise;
mod gemm;
mod glu;
mod huge_array;
mod packed_gemm;
mod parallel;
pub mod simd;
mod skinny_gemm;
mod softmax;
mod tile;
mod transpose;

pub use self::{
    adamw::{AdamWStep, adamw},
    attention::{CachedGroup, Group, Heads, attend_cached, packed_attention, packed_attention_backward},
    dropout::{DropoutMask, dropout},
    elementwise::{
        NormConstants, add, add_rows, rms_norm, rms_norm_backward, rms_norm_weight_gradient, rotate, sum_of_squares,
    },
    gemm::{Transpose, gemm, gemm_add},
    glu::{Activation, GELU_CUBIC, GELU_LINEAR, glu, glu_backward},
    packed_gemm::{PackedWeight, WeightFormat},
    parallel::{PARALLEL_ELEMENTS, new_rows},
    skinny_gemm::skinny_gemm,
    softmax::{TokenStats, entropy_slopes, softmax_in_place, token_stats},
};
