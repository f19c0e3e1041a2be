//! Kernels for CUDA devices: a `.cu` file each, with the Rust that launches it beside it. `attention` chooses between two.
//!
//! | module | holds |
//! | --- | --- |
//! | `launch` | a launch, on a device or in tests on the emulation of one |
//! | `rms_norm`, `rotary`, `glu`, `attention`, `token_stats` | a kernel with its backward pass |
//! | `add_rows` | the gradient of the selection of rows |
//! | `dropout` | the dropout of the adapters' inputs |
//! | `adamw` | the optimiser's step, and the norm of a gradient |
//! | `runs` | the division of a list of tensors between blocks |
//! | `merge` | the weights of a model in the form that decoding reads |
//! | `embed`, `decoding`, `draw` | the embedding of tokens, attention over a cache, drawing of tokens |
//! | `graph`, `transfer` | work that is recorded once and launched as a whole; copies that nobody waits for |
//! | `emulation` | tests: the same sources, compiled for the CPU |
//!
//! The build script compiles the sources with nvcc to PTX if the feature `cuda` is on. Every kernel has a twin in
//! [`crate::ops`]. Tests hold one against the other on the CPU, and [`crate::doctor`] does so on a card.

pub(crate) mod adamw;
pub(crate) mod add_rows;
pub(crate) mod attention;
pub(crate) mod decoding;
pub(crate) mod draw;
pub(crate) mod dropout;
pub(crate) mod embed;
#[cfg(test)]
mod emulation;
pub(crate) mod glu;
pub(crate) mod graph;
mod launch;
pub(crate) mod merge;
pub(crate) mod rms_norm;
pub(crate) mod rotary;
mod runs;
pub(crate) mod token_stats;
pub(crate) mod transfer;

#[cfg(test)]
pub(crate) use self::emulation::can_emulate;
pub(crate) use self::launch::fingerprint;
