//! The update of AdamW.

use rayon::prelude::*;

use super::{parallel::PARALLEL_ELEMENTS, simd::vectorised};

/// The numbers of one step of AdamW; alft-policy's optimiser has the formula.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Factors of the mean and of the gradient in the next mean.
    pub mean: [f32; 2],
    /// Factors of the mean square and of the squared gradient in the next mean square.
    pub square: [f32; 2],
    /// Factor of the weight, 1 − rate · decay.
    pub decay: f32,
    /// Learning rate, divided by the bias of the mean.
    pub rate: f32,
    /// Factor of the root of the mean square that corrects its bias.
    pub root_bias: f32,
    /// Constant ε.
    pub epsilon: f32,
}

/// Number of weights that one thread updates at a time.
const BLOCK: usize = 1 << 16;

/// Updates weights `w` and their moments `m` and `v` by the gradient `g`, in one pass over memory.
pub fn adamw(step: &AdamWStep, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
    if w.len() < PARALLEL_ELEMENTS {
        return update(step, w, m, v, g);
    }
    let blocks = w.par_chunks_mut(BLOCK).zip(m.par_chunks_mut(BLOCK)).zip(v.par_chunks_mut(BLOCK));
    blocks.zip(g.par_chunks(BLOCK)).for_each(|(((w, m), v), g)| update(step, w, m, v, g));
}

vectorised! {
    fn update(step: &AdamWStep, w: &mut [f32], m: &mut [f32], v: &mut [f32], g: &[f32]) {
        let _ = FMA;
        let AdamWStep { mean, square, decay, rate, root_bias, epsilon } = *step;
        for (((w, m), v), g) in w.iter_mut().zip(m).zip(v).zip(g) {
            *m = mean[0] * *m + mean[1] * g;
            *v = square[0] * *v + square[1] * (g * g);
            *w = decay * *w - rate * *m / (v.sqrt() * root_bias + epsilon);
        }
    }
}
