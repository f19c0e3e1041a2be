//! Matrix products: a safe door to the crate `gemm`.

use gemm::Parallelism;

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

/// `out (+)= lhs (m, k) · rhs (k, n)`.
///
/// # Safety
/// `out` must be valid for writes, and for reads if `accumulate`, wherever a (m, n) matrix of its strides lies.
unsafe fn product(
    (m, n, k): (usize, usize, usize),
    out: (*mut f32, Strides),
    lhs: (&[f32], Strides),
    rhs: (&[f32], Strides),
    accumulate: bool,
    threads: Parallelism,
) {
    assert!(fits(lhs.0.len(), m, k, lhs.1) && fits(rhs.0.len(), k, n, rhs.1));
    // SAFETY: the line above has checked that both factors lie within their slices; the caller answers for `out`.
    unsafe {
        gemm::gemm(
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

/// How the two factors of a product of whole matrices lie.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Factors {
    /// (m, k) and (k, n).
    Plain,
    /// (m, k) and (n, k): the second is transposed.
    SecondTransposed,
    /// (k, m) and (k, n): the first is transposed.
    FirstTransposed,
}

/// Multiplications that are worth a second thread: waking one takes as long as this many.
const PARALLEL_PRODUCTS: usize = 1 << 23;

/// The product (m, n) of two contiguous matrices.
pub(crate) fn matrix_product(factors: Factors, (m, n, k): (usize, usize, usize), lhs: &[f32], rhs: &[f32]) -> Vec<f32> {
    let wide = |row| Strides { row, col: 1 };
    let turned = |col| Strides { row: 1, col };
    let (left, right) = match factors {
        Factors::Plain => (wide(k), wide(n)),
        Factors::SecondTransposed => (wide(k), turned(k)),
        Factors::FirstTransposed => (turned(m), wide(n)),
    };
    // candle reads /proc/cpuinfo at every product to learn the number of threads; rayon knows it.
    let threads = match rayon::current_num_threads() {
        threads if threads > 1 && m * n * k >= PARALLEL_PRODUCTS => Parallelism::Rayon(threads),
        _ => Parallelism::None,
    };
    let mut out = Vec::with_capacity(m * n);
    // SAFETY: the vector has room for m · n numbers, all of which the product writes and, not accumulating, none of
    // which it reads; so they are initialised when the length is set.
    unsafe {
        product((m, n, k), (out.as_mut_ptr(), wide(n)), (lhs, left), (rhs, right), false, threads);
        out.set_len(m * n);
    }
    out
}

/// The product into a part of `out`, on this thread.
fn product_into(
    mnk: (usize, usize, usize),
    out: (&mut [f32], Strides),
    lhs: (&[f32], Strides),
    rhs: (&[f32], Strides),
    accumulate: bool,
) {
    assert!(fits(out.0.len(), mnk.0, mnk.1, out.1));
    // SAFETY: the line above has checked that the result lies within its slice, which is borrowed exclusively.
    unsafe { product(mnk, (out.0.as_mut_ptr(), out.1), lhs, rhs, accumulate, Parallelism::None) }
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
    product_into(
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
    product_into(
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
    product_into(
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
            check(&matrix_product(Factors::Plain, (m, n, k), &x, &transposed));
            check(&matrix_product(Factors::SecondTransposed, (m, n, k), &x, &w));
            check(&matrix_product(Factors::FirstTransposed, (m, n, k), &x_transposed, &transposed));
        }
    }
}
