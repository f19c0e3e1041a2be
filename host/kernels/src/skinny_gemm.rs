//! The product of a few rows with a weight, `x (m, k) · w (n, k)ᵀ`: a decoding step.
//!
//! A general matrix product first packs the whole weight into another layout, which pays only if many rows use it. This
//! one reads both factors along their rows without packing: a tile of rows of `x` times rows of `w` stays in registers,
//! and the weight is read once. It uses intrinsics, because the compiler does not keep a tile of this form in registers.

use rayon::prelude::*;

use super::simd::{Level, level};

/// A kernel for one instruction set: `kernel(out, x, w, m, k)` computes `out (n, m) = w (n, k) · x (m, k)ᵀ`.
type Kernel = fn(&mut [f32], &[f32], &[f32], usize, usize);

/// Number of multiplications from which several threads are faster than one.
const PARALLEL_PRODUCTS: usize = 1 << 19;

/// Computes `x (m, k) · w (n, k)ᵀ` on all threads. Returns `None` if there is no kernel for this machine.
pub fn skinny_gemm(x: &[f32], w: &[f32], m: usize, n: usize, k: usize) -> Option<Vec<f32>> {
    let kernel = kernel()?;
    assert!(x.len() == m * k && w.len() == n * k);
    let mut transposed = vec![0f32; n * m];
    let threads = rayon::current_num_threads();
    if m * n * k < PARALLEL_PRODUCTS || threads == 1 {
        kernel(&mut transposed, x, w, m, k);
    } else {
        // The rows of `w` are split over the threads in whole tiles: 12 is a multiple of every kernel's tile width.
        let block = n.div_ceil(threads * 4).next_multiple_of(12);
        let blocks = transposed.par_chunks_mut(block * m).zip(w.par_chunks(block * k));
        blocks.for_each(|(out, w)| kernel(out, x, w, m, k));
    }
    if m == 1 {
        return Some(transposed);
    }
    let mut out = vec![0f32; m * n];
    for (j, column) in transposed.chunks_exact(m).enumerate() {
        for (i, value) in column.iter().enumerate() {
            out[i * n + j] = *value;
        }
    }
    Some(out)
}

fn kernel() -> Option<Kernel> {
    match level() {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx512 => Some(|out, x, w, m, k| unsafe { avx512::block(out, x, w, m, k) }),
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx2 => Some(|out, x, w, m, k| unsafe { avx2::block(out, x, w, m, k) }),
        Level::Plain => None,
    }
}

/// Defines a module with the kernel for one instruction set, given its vectors of `$lanes` numbers and the size of a tile
/// that fills its registers, `$tall` rows of `x` by `$wide` rows of `w`.
#[cfg(target_arch = "x86_64")]
macro_rules! kernel {
    ($name:ident, $features:literal, $vector:ident, $lanes:literal, $tall:literal, $wide:literal,
     $zero:ident, $load:ident, $store:ident, $fused:ident) => {
        mod $name {
            use std::arch::x86_64::{$fused, $load, $store, $vector, $zero};

            #[target_feature(enable = $features)]
            pub(super) fn block(out: &mut [f32], x: &[f32], w: &[f32], m: usize, k: usize) {
                let n = w.len() / k;
                let (mut j, mut i);
                j = 0;
                while j < n {
                    let wide = if n - j >= $wide { $wide } else { 1 };
                    let w = &w[j * k..(j + wide) * k];
                    i = 0;
                    while i < m {
                        let tall = if m - i >= $tall { $tall } else { 1 };
                        let x = &x[i * k..(i + tall) * k];
                        let out = &mut out[j * m + i..];
                        match (tall, wide) {
                            (1, 1) => tile::<1, 1>(out, x, w, m, k),
                            (1, _) => tile::<1, $wide>(out, x, w, m, k),
                            (_, 1) => tile::<$tall, 1>(out, x, w, m, k),
                            _ => tile::<$tall, $wide>(out, x, w, m, k),
                        }
                        i += tall;
                    }
                    j += wide;
                }
            }

            /// Computes `out[j · m + i] = x[i] · w[j]` for `X` rows of `x` and `W` rows of `w`.
            #[target_feature(enable = $features)]
            fn tile<const X: usize, const W: usize>(out: &mut [f32], x: &[f32], w: &[f32], m: usize, k: usize) {
                let x: [_; X] = std::array::from_fn(|i| x[i * k..(i + 1) * k].as_chunks::<$lanes>());
                let w: [_; W] = std::array::from_fn(|j| w[j * k..(j + 1) * k].as_chunks::<$lanes>());
                let mut sums: [[$vector; W]; X] = [[$zero(); W]; X];
                for chunk in 0..k / $lanes {
                    let mut right = [$zero(); W];
                    for j in 0..W {
                        // SAFETY: the pointer is to an array of the `$lanes` numbers that are read.
                        right[j] = unsafe { $load(w[j].0[chunk].as_ptr()) };
                    }
                    for i in 0..X {
                        // SAFETY: the pointer is to an array of the `$lanes` numbers that are read.
                        let left = unsafe { $load(x[i].0[chunk].as_ptr()) };
                        for j in 0..W {
                            sums[i][j] = $fused(left, right[j], sums[i][j]);
                        }
                    }
                }
                for i in 0..X {
                    for j in 0..W {
                        let mut lanes = [0f32; $lanes];
                        // SAFETY: the pointer is to an array of the `$lanes` numbers that are written.
                        unsafe { $store(lanes.as_mut_ptr(), sums[i][j]) };
                        for (lane, (x, w)) in lanes.iter_mut().zip(x[i].1.iter().zip(w[j].1)) {
                            *lane += x * w;
                        }
                        out[j * m + i] = super::super::simd::fold(lanes);
                    }
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel!(avx2, "avx2,fma", __m256, 8, 4, 3, _mm256_setzero_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_fmadd_ps);
#[cfg(target_arch = "x86_64")]
kernel!(avx512, "avx512f", __m512, 16, 4, 6, _mm512_setzero_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_fmadd_ps);

#[cfg(test)]
mod tests {
    use super::*;

    fn check(m: usize, n: usize, k: usize, product: impl Fn(&[f32], &[f32]) -> Vec<f32>) {
        let x: Vec<f32> = (0..m * k).map(|i| ((i * 37 % 101) as f32 - 50.0) / 50.0).collect();
        let w: Vec<f32> = (0..n * k).map(|i| ((i * 53 % 97) as f32 - 48.0) / 48.0).collect();
        for (at, got) in product(&x, &w).iter().enumerate() {
            let pairs = x[at / n * k..][..k].iter().zip(&w[at % n * k..][..k]);
            let want: f64 = pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            assert!((f64::from(*got) - want).abs() < 1e-4, "{m} {n} {k}: {got} is not {want}");
        }
    }

    #[test]
    fn every_kernel_agrees_with_the_definition() {
        super::super::simd::at_each_level(|_| {
            for (m, n, k) in [(1, 1, 1), (1, 7, 5), (4, 6, 16), (5, 7, 19), (9, 64, 33), (32, 1000, 40)] {
                if kernel().is_some() {
                    check(m, n, k, |x, w| skinny_gemm(x, w, m, n, k).unwrap());
                }
            }
        });
    }
}
