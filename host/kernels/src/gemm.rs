//! Matrix products. Large ones on machines with AVX2 or AVX-512 are this crate's own; the others are those of the crate `gemm`,
//! to which this is a safe interface.

use ::gemm::Parallelism;

use super::{
    blocked_gemm::{self, Factors},
    simd::{self, Level},
};

/// The strides of a matrix within a slice: the element of row `i` and column `j` is at `i · row + j · col`.
#[derive(Clone, Copy)]
struct Strides {
    row: usize,
    col: usize,
}

/// Returns true if a (rows, cols) matrix with these strides lies within `len` elements.
fn fits(len: usize, rows: usize, cols: usize, strides: Strides) -> bool {
    rows == 0 || cols == 0 || (rows - 1) * strides.row + (cols - 1) * strides.col < len
}

/// Computes `out = lhs (m, k) · rhs (k, n)`, or `out += …` if `accumulate`.
///
/// # Safety
/// Every element of the (m, n) matrix at `out` with the given strides must be valid for writes, and if `accumulate` for
/// reads.
unsafe fn gemm_raw(
    (m, n, k): (usize, usize, usize),
    out: (*mut f32, Strides),
    lhs: (&[f32], Strides),
    rhs: (&[f32], Strides),
    accumulate: bool,
    threads: Parallelism,
) {
    assert!(fits(lhs.0.len(), m, k, lhs.1) && fits(rhs.0.len(), k, n, rhs.1));
    // SAFETY: the line above checks that both factors lie within their slices; the caller guarantees that `out` is valid.
    unsafe {
        ::gemm::gemm(
            m,
            n,
            k,
            out.0,
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
            threads,
        );
    }
}

/// The factor of a matrix product that is stored transposed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Transpose {
    /// Neither: the factors are (m, k) and (k, n).
    Neither,
    /// The left one: the factors are (k, m) and (k, n).
    Lhs,
    /// The right one: the factors are (m, k) and (n, k).
    Rhs,
}

/// Number of multiplications from which several threads are faster than one.
const PARALLEL_PRODUCTS: usize = 1 << 23;

/// Numbers of multiplications, and of rows and of columns of the result, from which this crate's own product is the faster one.
const OWN_PRODUCTS: usize = 1 << 21;
const OWN_SIDE: usize = 64;

/// Returns the product (m, n) of two contiguous matrices.
pub fn gemm(transpose: Transpose, mnk: (usize, usize, usize), lhs: &[f32], rhs: &[f32]) -> Vec<f32> {
    let len = mnk.0 * mnk.1;
    let mut out = Vec::with_capacity(len);
    // SAFETY: the vector has room for m · n numbers. The product does not accumulate, so it reads none of them and writes
    // all of them; they are initialised when the length is set.
    unsafe {
        gemm_contiguous(transpose, mnk, out.as_mut_ptr(), lhs, rhs, false);
        out.set_len(len);
    }
    out
}

/// Adds the product (m, n) of two contiguous matrices to `sum`.
pub fn gemm_add(transpose: Transpose, mnk: (usize, usize, usize), sum: &mut [f32], lhs: &[f32], rhs: &[f32]) {
    assert!(sum.len() == mnk.0 * mnk.1);
    // SAFETY: the line above checks that the slice has the product's m · n numbers, which are borrowed exclusively.
    unsafe { gemm_contiguous(transpose, mnk, sum.as_mut_ptr(), lhs, rhs, true) }
}

/// Computes a product of contiguous matrices on as many threads as pay.
///
/// # Safety
/// As [`gemm_raw`], for m · n consecutive numbers at `out`.
unsafe fn gemm_contiguous(
    transpose: Transpose,
    (m, n, k): (usize, usize, usize),
    out: *mut f32,
    lhs: &[f32],
    rhs: &[f32],
    accumulate: bool,
) {
    let level = simd::level();
    if level != Level::Plain && m.min(n) >= OWN_SIDE && m * n * k >= OWN_PRODUCTS {
        let factors = Factors { transpose, mnk: (m, n, k), lhs, rhs };
        // SAFETY: the caller's promise.
        return unsafe { blocked_gemm::product(level, factors, out, accumulate) };
    }
    let row_major = |row| Strides { row, col: 1 };
    let col_major = |col| Strides { row: 1, col };
    let (left, right) = match transpose {
        Transpose::Neither => (row_major(k), row_major(n)),
        Transpose::Rhs => (row_major(k), col_major(k)),
        Transpose::Lhs => (col_major(m), row_major(n)),
    };
    // The number of threads comes from rayon, because candle's function reads /proc/cpuinfo at each call.
    let threads = match rayon::current_num_threads() {
        threads if threads > 1 && m * n * k >= PARALLEL_PRODUCTS => Parallelism::Rayon(threads),
        _ => Parallelism::None,
    };
    // SAFETY: the caller guarantees that `out` has room for m · n numbers, initialised if they are added to.
    unsafe { gemm_raw((m, n, k), (out, row_major(n)), (lhs, left), (rhs, right), accumulate, threads) }
}

/// Computes a product into a part of `out`, on this thread.
fn gemm_into(
    mnk: (usize, usize, usize),
    out: (&mut [f32], Strides),
    lhs: (&[f32], Strides),
    rhs: (&[f32], Strides),
    accumulate: bool,
) {
    assert!(fits(out.0.len(), mnk.0, mnk.1, out.1));
    // SAFETY: the line above checks that the result lies within its slice, which is borrowed exclusively.
    unsafe { gemm_raw(mnk, (out.0.as_mut_ptr(), out.1), lhs, rhs, accumulate, Parallelism::None) }
}

/// Computes `out (m, n) = lhs (m, k) · rhs (k, n)`, or `out += …` if `accumulate`, on this thread. Each matrix comes with
/// its row stride and begins at its slice's first element.
pub(super) fn gemm_nn(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    gemm_into(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: lhs.1, col: 1 }),
        (rhs.0, Strides { row: rhs.1, col: 1 }),
        accumulate,
    );
}

/// Computes `out (m, n) = lhs (m, k) · rhs (n, k)ᵀ`, as [`gemm_nn`].
pub(super) fn gemm_nt(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    gemm_into(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: lhs.1, col: 1 }),
        (rhs.0, Strides { row: 1, col: rhs.1 }),
        accumulate,
    );
}

/// Computes `out (m, n) = lhs (k, m)ᵀ · rhs (k, n)`, as [`gemm_nn`].
pub(super) fn gemm_tn(
    mnk: (usize, usize, usize),
    out: (&mut [f32], usize),
    lhs: (&[f32], usize),
    rhs: (&[f32], usize),
    accumulate: bool,
) {
    gemm_into(
        mnk,
        (out.0, Strides { row: out.1, col: 1 }),
        (lhs.0, Strides { row: 1, col: lhs.1 }),
        (rhs.0, Strides { row: rhs.1, col: 1 }),
        accumulate,
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_product_agrees_with_the_definition() {
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
            let mut out = vec![1f32; m * n];
            gemm_nt((m, n, k), (&mut out, n), (&x, k), (&w, k), false);
            check(&out);
            let transposed: Vec<f32> = (0..k * n).map(|at| w[at % n * k + at / n]).collect();
            gemm_nn((m, n, k), (&mut out, n), (&x, k), (&transposed, n), false);
            check(&out);
            let x_transposed: Vec<f32> = (0..k * m).map(|at| x[at % m * k + at / m]).collect();
            out.fill(0.0);
            gemm_tn((m, n, k), (&mut out, n), (&x_transposed, m), (&transposed, n), true);
            check(&out);
            check(&gemm(Transpose::Neither, (m, n, k), &x, &transposed));
            check(&gemm(Transpose::Rhs, (m, n, k), &x, &w));
            check(&gemm(Transpose::Lhs, (m, n, k), &x_transposed, &transposed));
            out.fill(0.0);
            gemm_add(Transpose::Rhs, (m, n, k), &mut out, &x, &w);
            gemm_add(Transpose::Rhs, (m, n, k), &mut out, &x, &w);
            out.iter_mut().for_each(|value| *value /= 2.0);
            check(&out);
        }
    }
}
