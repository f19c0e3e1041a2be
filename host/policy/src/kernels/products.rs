//! Matrix products: a safe door to `gemm`.

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
        }
    }
}
