//! Rows of a matrix as columns of a panel.

use super::{
    simd::{self, Level},
    tile::{Columns, PANEL},
};

/// Side of the squares that are transposed in registers.
const SQUARE: usize = 8;

/// Number of indices that are written for all columns of a panel before the next are: a cache line of each row.
const BLOCK: usize = 16;

/// Writes `width` rows of a matrix, which begin `stride` elements after one another, to the columns of a panel, and zeros to the
/// columns that remain. The panel has the rows' first elements.
pub(super) fn transpose(rows: &[f32], stride: usize, width: usize, panel: &mut [Columns<f32>]) {
    let fits = width == 0 || panel.is_empty() || (width - 1) * stride + panel.len() <= rows.len();
    assert!(width <= PANEL && fits);
    let squares = simd::level() != Level::Plain;
    for (block, panel) in panel.chunks_mut(BLOCK).enumerate() {
        let length = panel.len();
        let rows = |column: usize| &rows[column * stride + block * BLOCK..][..length];
        let whole = if squares { width / SQUARE * SQUARE } else { 0 };
        #[cfg(target_arch = "x86_64")]
        for column in (0..whole).step_by(SQUARE) {
            for (index, panel) in panel.as_chunks_mut::<SQUARE>().0.iter_mut().enumerate() {
                let from =
                    std::array::from_fn(|row| rows(column + row)[index * SQUARE..].first_chunk().expect("a square"));
                // SAFETY: every level but the plain one means that the machine has AVX2.
                unsafe { square(from, column, panel) };
            }
        }
        let rest = if whole > 0 { length / SQUARE * SQUARE } else { 0 };
        for column in 0..width {
            let done = if column < whole { rest } else { 0 };
            for (packed, value) in panel[done..].iter_mut().zip(&rows(column)[done..]) {
                packed.0[column] = *value;
            }
        }
        if width < PANEL {
            panel.iter_mut().for_each(|packed| packed.0[width..].fill(0.0));
        }
    }
}

/// Writes eight numbers of each of eight rows to the columns of a panel from `column` on.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn square(from: [&[f32; SQUARE]; SQUARE], column: usize, panel: &mut [Columns<f32>; SQUARE]) {
    use std::arch::x86_64::*;

    // SAFETY: each pointer is to eight numbers.
    let rows: [__m256; SQUARE] = std::array::from_fn(|row| unsafe { _mm256_loadu_ps(from[row].as_ptr()) });
    // In each half of a vector: two neighbours of two rows, then of four rows; then the halves are exchanged.
    let two = |a: usize| [_mm256_unpacklo_ps(rows[a], rows[a + 1]), _mm256_unpackhi_ps(rows[a], rows[a + 1])];
    let four = |a: usize| {
        let ([low, high], [next_low, next_high]) = (two(a), two(a + 2));
        [
            _mm256_shuffle_ps::<0x44>(low, next_low),
            _mm256_shuffle_ps::<0xEE>(low, next_low),
            _mm256_shuffle_ps::<0x44>(high, next_high),
            _mm256_shuffle_ps::<0xEE>(high, next_high),
        ]
    };
    let (upper, lower) = (four(0), four(4));
    for index in 0..SQUARE / 2 {
        let halves = [
            _mm256_permute2f128_ps::<0x20>(upper[index], lower[index]),
            _mm256_permute2f128_ps::<0x31>(upper[index], lower[index]),
        ];
        for (half, values) in halves.into_iter().enumerate() {
            let to = &mut panel[index + half * SQUARE / 2].0[column..column + SQUARE];
            // SAFETY: the pointer is to eight numbers.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), values) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_columns() {
        simd::at_each_level(|level| {
            for (width, length, stride) in [(0, 5, 5), (1, 1, 3), (7, 40, 41), (8, 8, 8), (19, 37, 40), (32, 100, 100)]
            {
                let rows: Vec<f32> = (0..width * stride).map(|value| value as f32).collect();
                let mut panel = vec![Columns([-1.0; PANEL]); length];
                transpose(&rows, stride, width, &mut panel);
                for (index, packed) in panel.iter().enumerate() {
                    for (column, value) in packed.0.iter().enumerate() {
                        let want = if column < width { (column * stride + index) as f32 } else { 0.0 };
                        assert_eq!(*value, want, "{level:?}, {width} rows of {length}, {index}, {column}");
                    }
                }
            }
        });
    }
}
