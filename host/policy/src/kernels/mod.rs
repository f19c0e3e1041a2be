//! Loops over `f32` slices on the CPU: what candle's own operations do one at a time, on one thread, with a pass over
//! memory each, done in one pass and on all threads. Every kernel has a twin of plain tensor operations in
//! [`crate::ops`], which is its oracle in tests and runs on other devices and element types.

mod attention;
mod elementwise;
mod few_rows;
mod products;
mod simd;
mod softmax;

pub(crate) use self::{
    attention::{Heads, attend_cached, packed_attention, packed_attention_backward},
    elementwise::{rms_norm, rms_norm_backward, rotate, sum_of_squares, swiglu, swiglu_backward},
    few_rows::few_rows_product,
    products::{Factors, matrix_product},
    softmax::{TokenStats, softmax_in_place, token_stats},
};

use rayon::prelude::*;

/// Below this many elements waking threads costs more than they save.
pub(crate) const PARALLEL_ELEMENTS: usize = 1 << 18;

/// Calls `work(first_row, rows)` on consecutive blocks of rows of `out`, on several threads when there is enough to do.
/// Each row is computed by one thread in one order, so the result does not depend on the number of threads.
pub(crate) fn by_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    let threads = rayon::current_num_threads();
    if threads == 1 || out.len() < PARALLEL_ELEMENTS {
        work(0, out);
        return;
    }
    // Two blocks a thread even out threads that others' work slows down.
    let block = rows.div_ceil(threads * 2).max(1);
    out.par_chunks_mut(block * width).enumerate().for_each(|(index, out)| work(index * block, out));
}
