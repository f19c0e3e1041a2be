//! The split of a kernel's output over threads.

use rayon::prelude::*;

/// Number of elements from which several threads are faster than one: below, waking them costs more than they save.
pub(crate) const PARALLEL_ELEMENTS: usize = 1 << 18;

/// Calls `work(first_row, rows)` on consecutive blocks of rows of `out`, on several threads if `out` is large enough.
/// One thread computes each row in one order, so the result does not depend on the number of threads.
pub(crate) fn by_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
    let rows = out.len() / width.max(1);
    let threads = rayon::current_num_threads();
    if threads == 1 || out.len() < PARALLEL_ELEMENTS {
        work(0, out);
        return;
    }
    // Two blocks for each thread balance the load if other work slows some threads down.
    let block = rows.div_ceil(threads * 2).max(1);
    out.par_chunks_mut(block * width).enumerate().for_each(|(index, out)| work(index * block, out));
}
