//! The split of a kernel's output over threads.

use std::mem::MaybeUninit;

use rayon::prelude::*;

/// Number of elements from which several threads are faster than one: below, waking them costs more than they save.
pub const PARALLEL_ELEMENTS: usize = 1 << 18;

/// Calls `work(first_row, rows)` on consecutive blocks of rows of `out`, on several threads if `out` is large enough.
/// One thread computes each row in one order, so the result does not depend on the number of threads.
pub(super) fn by_rows(out: &mut [f32], width: usize, work: impl Fn(usize, &mut [f32]) + Sync) {
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

/// Number of elements of a block that stays in a core's first cache from clearing it to filling it.
const CACHED_ELEMENTS: usize = 1 << 13;

/// Returns `len` numbers in rows of `width`, computed by `work(first_row, rows)` on consecutive blocks of rows, which are
/// 0 before. As `by_rows`, but a block is cleared just before it is filled: clearing all of a large output first would
/// write it to memory twice.
pub fn new_rows(len: usize, width: usize, work: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = Vec::with_capacity(len);
    let rows = (CACHED_ELEMENTS / width.max(1)).max(1);
    let fill = |(index, block): (usize, &mut [MaybeUninit<f32>])| {
        block.fill(MaybeUninit::new(0.0));
        // SAFETY: the line above wrote every element.
        work(index * rows, unsafe { block.assume_init_mut() });
    };
    let room = &mut out.spare_capacity_mut()[..len];
    if len < PARALLEL_ELEMENTS {
        room.chunks_mut(rows * width.max(1)).enumerate().for_each(fill);
    } else {
        room.par_chunks_mut(rows * width.max(1)).enumerate().for_each(fill);
    }
    // SAFETY: `fill` has written every element of every block, and the blocks cover the first `len` elements.
    unsafe { out.set_len(len) };
    out
}

/// As [`new_rows`] with rows of one element, for two outputs that are computed together.
pub(super) fn new_pair(len: usize, work: impl Fn(usize, &mut [f32], &mut [f32]) + Sync) -> (Vec<f32>, Vec<f32>) {
    let (mut first, mut second) = (Vec::with_capacity(len), Vec::with_capacity(len));
    type Block<'a> = &'a mut [MaybeUninit<f32>];
    let fill = |(index, (first, second)): (usize, (Block<'_>, Block<'_>))| {
        first.fill(MaybeUninit::new(0.0));
        second.fill(MaybeUninit::new(0.0));
        // SAFETY: the lines above wrote every element.
        let (first, second) = unsafe { (first.assume_init_mut(), second.assume_init_mut()) };
        work(index * CACHED_ELEMENTS, first, second);
    };
    let rooms = (&mut first.spare_capacity_mut()[..len], &mut second.spare_capacity_mut()[..len]);
    if len < PARALLEL_ELEMENTS {
        rooms.0.chunks_mut(CACHED_ELEMENTS).zip(rooms.1.chunks_mut(CACHED_ELEMENTS)).enumerate().for_each(fill);
    } else {
        let blocks = rooms.0.par_chunks_mut(CACHED_ELEMENTS).zip(rooms.1.par_chunks_mut(CACHED_ELEMENTS));
        blocks.enumerate().for_each(fill);
    }
    // SAFETY: `fill` has written every element of every block, and the blocks cover the first `len` elements of both.
    unsafe {
        first.set_len(len);
        second.set_len(len);
    }
    (first, second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_cleared_and_computed_once() {
        for len in [0, 3, 3 * CACHED_ELEMENTS, PARALLEL_ELEMENTS + 3 - PARALLEL_ELEMENTS % 3] {
            let number = |first: usize, out: &mut [f32]| {
                out.iter_mut().zip(first..).for_each(|(out, at)| *out += at as f32);
            };
            let want: Vec<f32> = (0..len).map(|at| at as f32).collect();
            assert_eq!(new_rows(len, 3, |row, out| number(row * 3, out)), want);
            let (first, second) = new_pair(len, |at, first, second| {
                number(at, first);
                number(at, second);
            });
            assert_eq!((&first, &second), (&want, &want));
        }
    }
}
