//! The product of some rows with a panel of columns, in registers.
//!
//! A panel holds, for each index of the sum, the elements of [`PANEL`] columns side by side, so that they are read once and in
//! order. A tile is the product of up to [`TILE_ROWS`] rows with a panel. Each of its elements is one sum in the order of the
//! index: its bits do not depend on the other rows, and AVX2 and AVX-512 give the same bits. The kernels use intrinsics, because
//! the compiler does not keep a tile of this form in registers.

use half::f16;

use super::simd::Level;

/// Number of columns of a panel: two vectors of AVX-512, four of AVX2. A wider panel would have to be read from memory in
/// strips for as many rows as this one serves at once, and that is slower.
pub(super) const PANEL: usize = 32;

/// Most rows of a tile. With two vectors of AVX-512 for each, a tile and its factors fill the registers.
pub(super) const TILE_ROWS: usize = 14;

/// Most indices of the sum of packed rows: a tile of them is about as large as the first-level cache.
pub(super) const DEPTH: usize = 640;

/// Elements from an index of the sum to the next in [`Order::Indices`]: a cache line.
pub(super) const SIDE: usize = 16;

/// Bytes of a cache line.
#[cfg(target_arch = "x86_64")]
const LINE: usize = 64;

/// Number of elements of a panel that lie between those that are read and those that are fetched: from memory far enough for it
/// to answer, and from the second-level cache into the first-level one.
#[cfg(target_arch = "x86_64")]
const FAR: usize = 64;
#[cfg(target_arch = "x86_64")]
const NEAR: usize = 8;

/// One number for each column of a panel, aligned to cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Columns<T>(pub(super) [T; PANEL]);

/// Some rows and all columns of a panel of the result.
pub(super) type Tile = [Columns<f32>; TILE_ROWS];

/// A tile to be written to.
pub(super) const EMPTY: Tile = [Columns([0.0; PANEL]); TILE_ROWS];

/// Returns the most rows of a tile at a level.
pub(super) fn tile_rows(level: Level) -> usize {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => TILE_ROWS,
        _ => 6,
    }
}

/// Rows of the left factor, at most [`tile_rows`].
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) values: &'a [f32],
    pub(super) count: usize,
    pub(super) order: Order,
}

/// The order of the rows' elements. A kernel that knows the distances between them computes one address for all rows.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Order {
    /// A row begins as many elements after the one before.
    Apart(usize),
    /// A row begins [`DEPTH`] elements after the one before.
    Rows,
    /// The elements of all rows for an index of the sum begin [`SIDE`] elements after those of the index before.
    Indices,
}

/// Memory that will be read soon. Only x86-64 has a stable instruction that asks for it.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
pub(super) enum Ahead {
    /// The panel, which is in the second-level cache.
    Near,
    /// The panel, which is in memory.
    Far,
    /// `step` bytes from `start` on for each element of a panel, at most a cache line. They may lie outside of the panels: a
    /// prefetch reads nothing.
    Next { start: *const i8, step: usize },
}

/// The place of a tile in a result: row `row` has [`PANEL`] numbers from `row · stride` on.
#[derive(Clone, Copy)]
pub(super) struct Target {
    pub(super) values: *mut f32,
    pub(super) stride: usize,
    /// True if the tile is added to the numbers, which it replaces otherwise.
    pub(super) add: bool,
}

/// A number as it is stored in a panel.
pub(super) trait Stored: Copy {
    /// Computes the product of rows with a panel.
    ///
    /// # Safety
    /// The numbers of the target must be valid for writes, and initialised if they are added to; nobody else may access them
    /// meanwhile.
    unsafe fn tile_into(level: Level, panel: &[Columns<Self>], rows: Rows, ahead: Ahead, target: Target);

    /// Computes the product of rows with a panel.
    fn tile(level: Level, panel: &[Columns<Self>], rows: Rows, ahead: Ahead, out: &mut Tile) {
        assert!(rows.count <= TILE_ROWS);
        let target = Target { values: out.as_mut_ptr().cast(), stride: PANEL, add: false };
        // SAFETY: the tile is borrowed exclusively, and has as many rows as the line above checks.
        unsafe { Self::tile_into(level, panel, rows, ahead, target) }
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
impl Stored for f32 {
    unsafe fn tile_into(level: Level, panel: &[Columns<f32>], rows: Rows, ahead: Ahead, target: Target) {
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level means that the machine has the features; the caller promises the rest.
            Level::Avx512 => unsafe { avx512::full::run(panel, rows, ahead, target) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level means that the machine has the features; the caller promises the rest.
            Level::Avx2 => unsafe { avx2::full::run(panel, rows, ahead, target) },
            // SAFETY: the caller's promise.
            Level::Plain => unsafe { plain::run(panel, rows, |w| *w, target) },
        }
    }
}

#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
impl Stored for f16 {
    unsafe fn tile_into(level: Level, panel: &[Columns<f16>], rows: Rows, ahead: Ahead, target: Target) {
        match level {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level means that the machine has the features; the caller promises the rest.
            Level::Avx512 => unsafe { avx512::half::run(panel, rows, ahead, target) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: this level means that the machine has the features; the caller promises the rest.
            Level::Avx2 => unsafe { avx2::half::run(panel, rows, ahead, target) },
            // SAFETY: the caller's promise.
            Level::Plain => unsafe { plain::run(panel, rows, |w| w.map(f16::to_f32), target) },
        }
    }
}

/// The kernels for any machine.
mod plain {
    use super::{
        super::simd::{PLAIN_FMA, fused},
        Columns, DEPTH, Order, PANEL, Rows, SIDE, Target,
    };

    /// Computes a tile; `wide` gives the numbers of an element.
    ///
    /// # Safety
    /// As `Stored::tile_into`.
    pub(super) unsafe fn run<T>(
        panel: &[Columns<T>],
        rows: Rows,
        wide: impl Fn(&[T; PANEL]) -> [f32; PANEL],
        target: Target,
    ) {
        let (stride, step) = match rows.order {
            Order::Apart(stride) => (stride, 1),
            Order::Rows => (DEPTH, 1),
            Order::Indices => (1, SIDE),
        };
        for row in 0..rows.count {
            let mut sums = [0f32; PANEL];
            for (x, w) in rows.values[row * stride..].iter().step_by(step).zip(panel) {
                let w = wide(&w.0);
                for column in 0..PANEL {
                    sums[column] = fused::<PLAIN_FMA>(*x, w[column], sums[column]);
                }
            }
            for (column, sum) in sums.into_iter().enumerate() {
                // SAFETY: the caller's promise.
                unsafe {
                    let to = target.values.add(row * target.stride + column);
                    *to = if target.add { *to + sum } else { sum };
                }
            }
        }
    }
}

/// Defines a module with the kernels for one instruction set, given its vectors of `$lanes` numbers and the number of
/// vectors of a tile's row. Each of the inner modules is a kernel for one element type of the panels; `$wide` loads a vector
/// of it.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($name:ident, $features:literal, $lanes:literal, $vectors:literal, $zero:ident, $broadcast:ident, $load:ident, $store:ident,
     $plus:ident, $fused:ident, $($kernel:ident: $number:ty => |$at:ident| $wide:expr),*) => {
        mod $name {
            $(pub(super) mod $kernel {
                use std::arch::x86_64::*;

                use super::super::{Ahead, Columns, DEPTH, FAR, LINE, NEAR, Order, PANEL, Rows, SIDE, TILE_ROWS, Target};

                /// Number of columns of a strip, as many as a tile has registers for.
                const WIDE: usize = $vectors * $lanes;
                /// Cache lines of a strip's part of a panel's element.
                const LINES: usize = (WIDE * size_of::<$number>()).div_ceil(LINE);
                /// The value of `STRIDE` for rows that lie a number of elements apart.
                const APART: usize = 0;

                /// The memory that a kernel fetches: some lines for the first element of the panel, `step` bytes further on for
                /// the next, and so on.
                #[derive(Clone, Copy)]
                struct Fetch {
                    start: *const i8,
                    step: usize,
                }

                #[target_feature(enable = $features)]
                pub(in super::super) unsafe fn run(panel: &[Columns<$number>], rows: Rows, ahead: Ahead, target: Target) {
                    for first in (0..PANEL).step_by(WIDE) {
                        let target = Target { values: target.values.wrapping_add(first), ..target };
                        let later = |distance| Fetch {
                            start: panel.as_ptr().wrapping_add(distance).cast::<$number>().wrapping_add(first).cast(),
                            step: size_of::<Columns<$number>>(),
                        };
                        // SAFETY: the caller's promise.
                        unsafe {
                            match (ahead, rows.order) {
                                (Ahead::Near, Order::Rows) => {
                                    strip::<DEPTH, 1, { _MM_HINT_T0 }, LINES>(panel, rows, first, later(NEAR), target);
                                }
                                (Ahead::Near, Order::Indices) => {
                                    strip::<1, SIDE, { _MM_HINT_T0 }, LINES>(panel, rows, first, later(NEAR), target);
                                }
                                (Ahead::Next { start, step }, _) => {
                                    let step = step * WIDE / PANEL;
                                    let start = start.wrapping_add(first / WIDE * panel.len() * step);
                                    strip::<APART, 1, { _MM_HINT_T1 }, 1>(panel, rows, first, Fetch { start, step }, target);
                                }
                                _ => strip::<APART, 1, { _MM_HINT_T1 }, LINES>(panel, rows, first, later(FAR), target),
                            }
                        }
                    }
                }

                #[target_feature(enable = $features)]
                unsafe fn strip<const STRIDE: usize, const STEP: usize, const HINT: i32, const FETCHED: usize>(
                    panel: &[Columns<$number>],
                    rows: Rows,
                    first: usize,
                    fetch: Fetch,
                    target: Target,
                ) {
                    macro_rules! of_height {
                        ($height:expr) => {
                            tile::<STRIDE, STEP, HINT, FETCHED, { $height }>(panel, rows, first, fetch, target)
                        };
                    }
                    // SAFETY: the caller's promise.
                    unsafe {
                        match rows.count {
                            1 => of_height!(1),
                            2 => of_height!(2),
                            3 => of_height!(3),
                            4 => of_height!(4),
                            5 => of_height!(5),
                            6 => of_height!(6),
                            7 => of_height!(7),
                            8 => of_height!(8),
                            9 => of_height!(9),
                            10 => of_height!(10),
                            11 => of_height!(11),
                            12 => of_height!(12),
                            13 => of_height!(13),
                            _ => of_height!(TILE_ROWS),
                        }
                    }
                }

                /// Computes the columns of a tile from `first` on.
                #[target_feature(enable = $features)]
                unsafe fn tile<
                    const STRIDE: usize,
                    const STEP: usize,
                    const HINT: i32,
                    const FETCHED: usize,
                    const R: usize,
                >(
                    panel: &[Columns<$number>],
                    rows: Rows,
                    first: usize,
                    mut fetch: Fetch,
                    target: Target,
                ) {
                    let stride = match (STRIDE, rows.order) {
                        (APART, Order::Apart(stride)) => stride,
                        (APART, Order::Rows) => DEPTH,
                        _ => STRIDE,
                    };
                    let last = (R - 1) * stride + panel.len().saturating_sub(1) * STEP;
                    assert!(rows.count == R && last < rows.values.len() && first + WIDE <= PANEL);
                    // The result is fetched while the sums are computed.
                    for row in 0..R {
                        for column in (0..WIDE).step_by(LINE / 4) {
                            _mm_prefetch::<_MM_HINT_T0>(target.values.wrapping_add(row * target.stride + column).cast());
                        }
                    }
                    // A pointer that moves along the sum: of indices the compiler computes the addresses of all rows first, and
                    // then has no register left for them and the sums.
                    let mut x = rows.values.as_ptr();
                    let mut sums = [[$zero(); $vectors]; R];
                    for w in panel {
                        for line in 0..FETCHED {
                            _mm_prefetch::<HINT>(fetch.start.wrapping_add(line * LINE));
                        }
                        fetch.start = fetch.start.wrapping_add(fetch.step);
                        let mut right = [$zero(); $vectors];
                        for v in 0..$vectors {
                            // SAFETY: the vectors end at `first + WIDE`, within the panel's columns.
                            right[v] = unsafe {
                                let $at = w.0.as_ptr().add(first + v * $lanes);
                                $wide
                            };
                        }
                        for row in 0..R {
                            // SAFETY: the element of the last row for the last index lies within the slice.
                            let left = $broadcast(unsafe { *x.add(row * stride) });
                            for v in 0..$vectors {
                                sums[row][v] = $fused(left, right[v], sums[row][v]);
                            }
                        }
                        x = x.wrapping_add(STEP);
                    }
                    for row in 0..R {
                        for v in 0..$vectors {
                            // SAFETY: the caller's promise.
                            unsafe {
                                let to = target.values.add(row * target.stride + v * $lanes);
                                let sum = sums[row][v];
                                $store(to, if target.add { $plus($load(to), sum) } else { sum });
                            }
                        }
                    }
                }
            })*
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx2, "avx2,fma,f16c", 8, 2, _mm256_setzero_ps, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_add_ps,
    _mm256_fmadd_ps,
    full: f32 => |at| _mm256_loadu_ps(at),
    half: ::half::f16 => |at| _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512, "avx512f", 16, 2, _mm512_setzero_ps, _mm512_set1_ps, _mm512_loadu_ps, _mm512_storeu_ps, _mm512_add_ps,
    _mm512_fmadd_ps,
    full: f32 => |at| _mm512_loadu_ps(at),
    half: ::half::f16 => |at| _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))
);
