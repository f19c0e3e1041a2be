//! Matrix products: a safe door to `gemm`, and a product for few rows that does not pack the weight.

use gemm::Parallelism;
use rayon::prelude::*;

use super::simd::{fold, fused, vectorised};

/// A matrix within a slice, row `i` and column `j` at `i · row_stride + j · col_stride`.
#[derive(Clone, Copy)]
struct Strides {
    row: usize,
    col: usize,
}

/// Whether a (rows, cols) matrix with these strides lies within `len` elements.
fn fits(len: usize, rows: usize, cols: usize, strides: Strides) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * strides.row + (cols - 1) * strides.col < len
}

#[allow(clippy::too_many_arguments)]
fn product(
    (m, n, k): (usize, usize, usize),
    out: (&mut [f32], Strides),
    lhs: (&[f32], Strides),
    rhs: (&[f32], Strides),
    accumulate: bool,
) {
    assert!(fits(out.0.len(), m, n, out.1) && fits(lhs.0.len(), m, k, lhs.1) && fits(rhs.0.len(), k, n, rhs.1));
    // SAFETY: the line above has checked that each matrix lies within its slice; `out` is borrowed exclusively.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.0.as_mut_ptr(),
            out.1.col as isize,
            out.1.row as isize,
            accumulate,
            lhs.0.as_ptr(),
            lhs.1.col as isize,
            lhs.1.row as isize,
            rhs.0.as_ptr(),
            rhs.1.col as isize,
            rhs.1.row as isize,
            1f32,
            1f32,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

/// `out (m, n) (+)= lhs (m, k) · rhs (k, n)`. Each slice begins at its matrix, whose rows lie `stride` apart. One
/// thread.
pub(super) fn product_nn(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    product(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: lhs.1, col: 1 }),
        (rhs.0, Strides { row: rhs.1, col: 1 }),
        accumulate,
    );
}

/// `out (m, n) (+)= lhs (m, k) · rhs (n, k)ᵀ`, as [`product_nn`].
pub(super) fn product_nt(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    product(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: lhs.1, col: 1 }),
        (rhs.0, Strides { row: 1, col: rhs.1 }),
        accumulate,
    );
}

/// `out (m, n) (+)= lhs (k, m)ᵀ · rhs (k, n)`, as [`product_nn`].
pub(super) fn product_tn(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    product(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: 1, col: lhs.1 }),
        (rhs.0, Strides { row: rhs.1, col: 1 }),
        accumulate,
    );
}

/// Rows of `x` and of `w` that are multiplied together while in registers.
const TILE_X: usize = 4;
const TILE_W: usize = 3;

/// `x (m, k) · w (n, k)ᵀ` for small `m` (a decoding step): both are read along their rows, as they lie, so the weight
/// streams through once without being packed. All threads.
pub(crate) fn small_product_nt(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Vec<f32> {
    assert!(x.len() == m * k && w.len() == n * k);
    // Threads share out the rows of `w`; each fills a (rows of w, m) piece of the transpose.
    let threads = rayon::current_num_threads();
    let block = if m * n * k < (1 << 19) { n } else { n.div_ceil(threads * 4).next_multiple_of(TILE_W) };
    let mut transposed = vec![0f32; n * m];
    if block >= n {
        small_block(&mut transposed, x, w, m, k);
    } else {
        transposed
            .par_chunks_mut(block * m)
            .zip(w.par_chunks(block * k))
            .for_each(|(out, w)| small_block(out, x, w, m, k));
    }
    let mut out = vec![0f32; m * n];
    for (j, column) in transposed.chunks_exact(m).enumerate() {
        for (i, value) in column.iter().enumerate() {
            out[i * n + j] = *value;
        }
    }
    out
}

vectorised! {
    /// `out (n, m) = w (n, k) · x (m, k)ᵀ`.
    fn small_block(out: &mut [f32], x: &[f32], w: &[f32], m: usize, k: usize) {
        let n = w.len() / k;
        let mut j = 0;
        while j < n {
            let wide = if n - j >= TILE_W { TILE_W } else { 1 };
            let mut i = 0;
            while i < m {
                let tall = if m - i >= TILE_X { TILE_X } else { 1 };
                let x = &x[i * k..(i + tall) * k];
                let w = &w[j * k..(j + wide) * k];
                let out = &mut out[j * m + i..];
                match (tall, wide) {
                    (TILE_X, TILE_W) => tile::<FMA, TILE_X, TILE_W>(out, x, w, m, k),
                    (TILE_X, _) => tile::<FMA, TILE_X, 1>(out, x, w, m, k),
                    (_, TILE_W) => tile::<FMA, 1, TILE_W>(out, x, w, m, k),
                    _ => tile::<FMA, 1, 1>(out, x, w, m, k),
                }
                i += tall;
            }
            j += wide;
        }
    }
}

/// Width of the tile's vectors: 12 sums of 8 lanes fill the registers of AVX2.
const TILE_LANES: usize = 8;

#[inline(always)]
fn tile<const FMA: bool, const X: usize, const W: usize>(out: &mut [f32], x: &[f32], w: &[f32], m: usize, k: usize) {
    // Slices of arrays, all of one length: the compiler keeps the sums in registers and the loop free of checks.
    let x: [_; X] = std::array::from_fn(|i| x[i * k..(i + 1) * k].as_chunks::<TILE_LANES>());
    let w: [_; W] = std::array::from_fn(|j| w[j * k..(j + 1) * k].as_chunks::<TILE_LANES>());
    let mut sums = [[[0f32; TILE_LANES]; W]; X];
    for chunk in 0..k / TILE_LANES {
        let x: [&[f32; TILE_LANES]; X] = std::array::from_fn(|i| &x[i].0[chunk]);
        let w: [&[f32; TILE_LANES]; W] = std::array::from_fn(|j| &w[j].0[chunk]);
        for i in 0..X {
            for j in 0..W {
                for lane in 0..TILE_LANES {
                    sums[i][j][lane] = fused::<FMA>(x[i][lane], w[j][lane], sums[i][j][lane]);
                }
            }
        }
    }
    for i in 0..X {
        for j in 0..W {
            for (lane, (x, w)) in x[i].1.iter().zip(w[j].1).enumerate() {
                sums[i][j][lane] = fused::<FMA>(*x, *w, sums[i][j][lane]);
            }
            out[j * m + i] = fold(sums[i][j]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_agree_with_the_definition() {
        for (m, n, k) in [(1, 1, 1), (1, 7, 5), (4, 3, 8), (5, 7, 19), (9, 64, 33), (32, 1000, 40)] {
            let x: Vec<f32> = (0..m * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
            let w: Vec<f32> = (0..n * k).map(|i| ((i * 53 % 97) as f32 - 48.0) / 48.0).collect();
            let want: Vec<f64> = (0..m * n)
                .map(|at| (0..k).map(|l| f64::from(x[at / n * k + l]) * f64::from(w[at % n * k + l])).sum())
                .collect();
            let check = |got: &[f32]| {
                for (got, want) in got.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() < 1e-4, "{m} {n} {k}: {got} is not {want}");
                }
            };
            check(&small_product_nt(&x, &w, m, n, k));
            let mut out = vec![1f32; m * n];
            product_nt((m, n, k), (&mut out, n), (&x, k), (&w, k), false);
            check(&out);
            let transposed: Vec<f32> = (0..k * n).map(|at| w[at % n * k + at / n]).collect();
            product_nn((m, n, k), (&mut out, n), (&x, k), (&transposed, n), false);
            check(&out);
            let x_transposed: Vec<f32> = (0..k * m).map(|at| x[at % m * k + at / m]).collect();
            out.fill(0.0);
            product_tn((m, n, k), (&mut out, n), (&x_transposed, m), (&transposed, n), true);
            check(&out);
        }
    }
}
