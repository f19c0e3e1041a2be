//! The product of two large matrices, neither of which was packed before: training.
//!
//! All threads pack the right factor into panels. Then each takes some tiles of rows, packs them, and multiplies panel after
//! panel with all of them: they stay in the second-level cache.
//!
//! An element of the result is a sum of sums over blocks of indices. The blocks depend on the right factor's shape alone, so
//! the bits of a row depend neither on the other rows nor on the number of threads.

use std::{
    cell::{Cell, RefCell},
    ops::Range,
};

use rayon::prelude::*;

use super::{
    gemm::Transpose,
    huge_array::HugeArray,
    simd::Level,
    tile::{Ahead, Columns, DEPTH, EMPTY, Order, PANEL, Rows, SIDE, Stored, TILE_ROWS, Target, tile_rows},
    transpose::transpose,
};

/// Most elements of the right factor that are packed at once, 16 MiB, and most indices of them.
const PACKED: usize = 1 << 22;
const PACKED_DEPTH: usize = 2048;

/// Number of indices that a task packs for all of its panels before the next are, so that it reads a page of the matrix once.
const PACK_BLOCK: usize = 8;

/// Number of tiles of rows that are packed at once. With [`DEPTH`] indices they fill a quarter of a second-level cache.
const PACK_TILES: usize = 7;

/// Elements of a packed tile of rows.
const TILE_SIZE: usize = DEPTH * SIDE;

/// The factors (m, k) and (k, n) of a product, one of which may be stored transposed.
#[derive(Clone, Copy)]
pub(super) struct Factors<'a> {
    pub(super) transpose: Transpose,
    pub(super) mnk: (usize, usize, usize),
    pub(super) lhs: &'a [f32],
    pub(super) rhs: &'a [f32],
}

thread_local! {
    /// The memory of this thread's latest panels and rows, for the next product. Panels are taken out of it meanwhile: a thread
    /// that waits for the others may begin another product.
    static PANELS: Cell<Option<HugeArray<Columns<f32>>>> = const { Cell::new(None) };
    static ROWS: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Writes the product to the m · n numbers at `out`, or adds it to them if `accumulate`, on all threads.
///
/// # Safety
/// The numbers must be valid for writes, and initialised if they are added to; nobody else may access them meanwhile.
pub(super) unsafe fn product(level: Level, factors: Factors, out: *mut f32, accumulate: bool) {
    let (m, n, k) = factors.mnk;
    assert!(k > 0 && factors.lhs.len() == m * k && factors.rhs.len() == k * n);
    let product = Product { level, factors, threads: rayon::current_num_threads(), out };
    let deep = k.min(PACKED_DEPTH);
    let mut scratch = PANELS.take();
    for columns in parts(0..n, PACKED / deep) {
        for indices in parts(0..k, PACKED_DEPTH) {
            let length = columns.len().div_ceil(PANEL) * indices.len();
            let large_enough = scratch.take().filter(|panels| panels.as_slice().len() >= length);
            let panels = scratch.insert(large_enough.unwrap_or_else(|| HugeArray::new(Columns([0.0; PANEL]), length)));
            product.pack(&mut panels.as_mut_slice()[..length], &columns, &indices);
            let add = accumulate || indices.start > 0;
            let packed = Packed { panels: &panels.as_slice()[..length], columns: columns.clone(), indices };
            // SAFETY: the caller's promise.
            unsafe { product.multiply(&packed, add) };
        }
    }
    PANELS.set(scratch);
}

/// Splits a range into parts of nearly the same length, at most `most`.
fn parts(range: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let (start, length) = (range.start, range.len());
    let count = length.div_ceil(most.max(1));
    (0..count).map(move |part| start + length * part / count..start + length * (part + 1) / count)
}

/// The panels of some columns of the right factor, for some indices of the sum.
struct Packed<'a> {
    panels: &'a [Columns<f32>],
    columns: Range<usize>,
    indices: Range<usize>,
}

struct Product<'a> {
    level: Level,
    factors: Factors<'a>,
    threads: usize,
    /// The result (m, n).
    out: *mut f32,
}

// SAFETY: the pointer is used by `multiply` alone, whose tasks write different elements.
unsafe impl Sync for Product<'_> {}

impl Product<'_> {
    /// Copies columns of the right factor, for some indices of the sum, into panels.
    fn pack(&self, panels: &mut [Columns<f32>], columns: &Range<usize>, indices: &Range<usize>) {
        let (_, n, k) = self.factors.mnk;
        let (deep, rhs) = (indices.len(), self.factors.rhs);
        let task = columns.len().div_ceil(PANEL).div_ceil(2 * self.threads);
        let work = |(number, panels): (usize, &mut [Columns<f32>])| {
            let start = columns.start + number * task * PANEL;
            let columns_of = |panel: usize| start + panel * PANEL..columns.end.min(start + (panel + 1) * PANEL);
            if self.factors.transpose == Transpose::Rhs {
                for (panel, packed) in panels.chunks_exact_mut(deep).enumerate() {
                    let columns = columns_of(panel);
                    transpose(&rhs[columns.start * k + indices.start..], k, columns.len(), packed);
                }
                return;
            }
            for block in parts(0..deep, PACK_BLOCK) {
                for (panel, packed) in panels.chunks_exact_mut(deep).enumerate() {
                    let columns = columns_of(panel);
                    for index in block.clone() {
                        let row = &rhs[(indices.start + index) * n + columns.start..][..columns.len()];
                        match row.first_chunk() {
                            Some(whole) => packed[index].0 = *whole,
                            None => {
                                packed[index].0 = [0.0; PANEL];
                                packed[index].0[..row.len()].copy_from_slice(row);
                            }
                        }
                    }
                }
            }
        };
        panels.par_chunks_mut(deep * task).enumerate().for_each(work);
    }

    /// Multiplies all rows with packed panels.
    ///
    /// # Safety
    /// As [`product`].
    unsafe fn multiply(&self, packed: &Packed, add: bool) {
        let groups: Vec<Range<usize>> = parts(0..self.factors.mnk.0, PACK_TILES * tile_rows(self.level)).collect();
        let panels = packed.columns.len().div_ceil(PANEL);
        // Four tasks for each thread balance the load if other work slows some threads down.
        let splits = (4 * self.threads).div_ceil(groups.len()).min(panels);
        let of_panels: Vec<Range<usize>> = parts(0..panels, panels.div_ceil(splits)).collect();
        let work = |task: usize| {
            let (rows, panels) = (&groups[task / of_panels.len()], &of_panels[task % of_panels.len()]);
            // SAFETY: the caller's promise; no other task has these rows and panels.
            ROWS.with_borrow_mut(|scratch| unsafe { self.multiply_rows(scratch, packed, rows, panels, add) });
        };
        (0..groups.len() * of_panels.len()).into_par_iter().with_max_len(1).for_each(work);
    }

    /// Multiplies some rows, of up to [`PACK_TILES`] tiles, with some panels, on this thread.
    ///
    /// # Safety
    /// As [`product`], for the elements of these rows and panels.
    unsafe fn multiply_rows(
        &self,
        scratch: &mut Vec<f32>,
        packed: &Packed,
        rows: &Range<usize>,
        panels: &Range<usize>,
        add: bool,
    ) {
        scratch.resize(PACK_TILES * TILE_SIZE, 0.0);
        let (Packed { columns, indices, .. }, n) = (packed, self.factors.mnk.1);
        let tiles: Vec<Range<usize>> = parts(rows.clone(), tile_rows(self.level)).collect();
        for block in parts(0..indices.len(), DEPTH) {
            let add = add || block.start > 0;
            let order = self.pack_rows(&tiles, indices.start + block.start, block.len(), scratch);
            for panel in panels.clone() {
                let first = columns.start + panel * PANEL;
                let panel = &packed.panels[panel * indices.len()..][block.clone()];
                for (tile, values) in tiles.iter().zip(scratch.chunks_exact(TILE_SIZE)) {
                    let x = Rows { values, count: tile.len(), order };
                    let values = self.out.wrapping_add(tile.start * n + first);
                    let target = Target { values, stride: n, add };
                    // SAFETY: the caller's promise.
                    unsafe {
                        match columns.end - first {
                            PANEL.. => f32::tile_into(self.level, panel, x, Ahead::Near, target),
                            width => self.narrow_tile(panel, x, width, target),
                        }
                    }
                }
            }
        }
    }

    /// Computes a tile of a panel of which `width` columns are in use.
    ///
    /// # Safety
    /// As [`Stored::tile_into`], for as many columns.
    unsafe fn narrow_tile(&self, panel: &[Columns<f32>], rows: Rows, width: usize, target: Target) {
        let mut tile = EMPTY;
        f32::tile(self.level, panel, rows, Ahead::Near, &mut tile);
        for (row, values) in tile[..rows.count].iter().enumerate() {
            for (column, value) in values.0[..width].iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = target.values.add(row * target.stride + column);
                    *to = if target.add { *to + value } else { *value };
                }
            }
        }
    }

    /// Copies tiles of the left factor, for some indices of the sum.
    fn pack_rows(&self, tiles: &[Range<usize>], first: usize, deep: usize, packed: &mut [f32]) -> Order {
        let (m, _, k) = self.factors.mnk;
        let lhs = self.factors.lhs;
        if self.factors.transpose != Transpose::Lhs {
            for (rows, packed) in tiles.iter().zip(packed.chunks_exact_mut(TILE_SIZE)) {
                for (row, packed) in rows.clone().zip(packed.chunks_exact_mut(DEPTH)) {
                    packed[..deep].copy_from_slice(&lhs[row * k + first..][..deep]);
                }
            }
            return Order::Rows;
        }
        for index in 0..deep {
            for (rows, packed) in tiles.iter().zip(packed.chunks_exact_mut(TILE_SIZE)) {
                let from = &lhs[(first + index) * m + rows.start..];
                let to = &mut packed[index * SIDE..][..SIDE];
                match from.first_chunk::<SIDE>() {
                    // More than the rows, for that is faster than fewer.
                    Some(whole) => to.copy_from_slice(whole),
                    None => to[..rows.len()].copy_from_slice(&from[..rows.len()]),
                }
            }
        }
        Order::Indices
    }
}

const _: () = assert!(TILE_ROWS <= SIDE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd;

    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step % 101) as f32 - 50.0) / 50.0).collect()
    }

    fn multiply(level: Level, factors: Factors, sum: &mut [f32], accumulate: bool) {
        assert_eq!(sum.len(), factors.mnk.0 * factors.mnk.1);
        // SAFETY: the line above checks that the numbers are those of the slice, which is borrowed exclusively.
        unsafe { product(level, factors, sum.as_mut_ptr(), accumulate) }
    }

    #[test]
    fn every_product_agrees_with_the_definition() {
        // The last shapes have several blocks of indices, several packed parts of them, and several of columns.
        let shapes = [
            (1, 1, 1),
            (5, 7, 19),
            (14, 32, 8),
            (64, 64, 64),
            (133, 70, 33),
            (30, 100, 1300),
            (17, 40, 4500),
            (15, 4300, 2050),
        ];
        for (m, n, k) in shapes {
            let (x, w) = (numbers(m * k, 37), numbers(n * k, 53));
            let want: Vec<f64> = (0..m * n)
                .map(|at| {
                    let pairs = x[at / n * k..][..k].iter().zip(&w[at % n * k..][..k]);
                    pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum()
                })
                .collect();
            let flip = |values: &[f32], rows: usize, columns: usize| -> Vec<f32> {
                (0..rows * columns).map(|at| values[at % rows * columns + at / rows]).collect()
            };
            let (x_flipped, w_flipped) = (flip(&x, m, k), flip(&w, n, k));
            simd::at_each_level(|level| {
                for (transpose, lhs, rhs) in [
                    (Transpose::Neither, &x, &w_flipped),
                    (Transpose::Lhs, &x_flipped, &w_flipped),
                    (Transpose::Rhs, &x, &w),
                ] {
                    let factors = Factors { transpose, mnk: (m, n, k), lhs, rhs };
                    let mut sum = vec![f32::NAN; m * n];
                    multiply(level, factors, &mut sum, false);
                    multiply(level, factors, &mut sum, true);
                    for (got, want) in sum.iter().zip(&want) {
                        let error = (f64::from(*got) - 2.0 * want).abs();
                        assert!(
                            error < 1e-6 * k as f64 + 1e-4,
                            "{level:?} {transpose:?} {m} {n} {k}: {got} is not 2 · {want}"
                        );
                    }
                }
            });
        }
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_on_any_vector_unit_and_any_number_of_threads() {
        let (m, n, k) = (300, 150, 1500);
        let (x, w) = (numbers(m * k, 37), numbers(n * k, 53));
        let of_rows = |level: Level, rows: Range<usize>| {
            let mut out = vec![0f32; rows.len() * n];
            let lhs = &x[rows.start * k..rows.end * k];
            multiply(
                level,
                Factors { transpose: Transpose::Rhs, mnk: (rows.len(), n, k), lhs, rhs: &w },
                &mut out,
                false,
            );
            out
        };
        let all = of_rows(simd::level(), 0..m);
        simd::at_each_level(|level| {
            if level == Level::Plain && !simd::PLAIN_FMA {
                return;
            }
            for threads in [1, 3] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                for rows in [0..m, 0..1, 7..100] {
                    let some = pool.install(|| of_rows(level, rows.clone()));
                    assert!(some == all[rows.start * n..rows.end * n], "{level:?}, {threads} threads, {rows:?}");
                }
            }
        });
    }
}
