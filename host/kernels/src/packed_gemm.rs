//! The product of rows with a weight that was packed beforehand, `x (m, k) · w (n, k)ᵀ`: decoding.
//!
//! The columns of the result are grouped into panels of [`PANEL`]. A panel holds, for each index of the sum, the weights of
//! its columns side by side, so that the weight is read once and in order, and a tile of the result stays in registers.
//!
//! Each element of the result is one sum in the order of the inner dimension. The bits of a row therefore depend neither
//! on the other rows nor on the number of threads, and AVX2 and AVX-512 give the same bits.

use std::ops::Range;

use half::f16;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    glu::{Activation, gated, gelu_logit},
    huge_array::HugeArray,
    simd::{self, Level, vectorised},
};

/// The storage of packed weights. Products are computed in `f32` in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightFormat {
    /// 32 bits: the weights that are trained.
    #[default]
    F32,
    /// 16 bits, IEEE 754 `binary16`: half as many bytes are read for each token. A weight is rounded to 11 significant bits,
    /// and below 6e-5 to a multiple of 6e-8. Weights of 65,520 and more overflow.
    F16,
}

impl WeightFormat {
    /// Returns the number of bytes of a weight.
    pub fn bytes(self) -> usize {
        match self {
            WeightFormat::F32 => 4,
            WeightFormat::F16 => 2,
        }
    }
}

/// Number of columns of a panel: two vectors of AVX-512, four of AVX2. A wider panel would have to be read from memory in
/// strips for as many rows as this one serves at once, and that is slower.
const PANEL: usize = 32;

/// Most rows of a tile. With two vectors of AVX-512 for each, a tile and its factors fill the registers.
const TILE_ROWS: usize = 14;

/// Number of rows that are multiplied with all panels of a task before the next rows are. They stay in the second-level
/// cache beside a panel.
const BLOCK_ROWS: usize = 98;

/// Bytes of a cache line.
const LINE: usize = 64;

/// Number of elements of a panel that lie between those that are read and those that are prefetched for the same tile: far
/// enough for memory to answer.
const DISTANCE: usize = 64;

/// Numbers of weights and of multiplications from which a product is divided among threads. Smaller ones take a thread less
/// time than waking another.
const PARALLEL_WEIGHTS: usize = 1 << 17;
const PARALLEL_PRODUCTS: usize = 1 << 23;

/// One number for each column of a panel, aligned to cache lines.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Columns<T>([T; PANEL]);

/// Some rows and all columns of a panel of the result.
type Tile = [Columns<f32>; TILE_ROWS];

/// The panels of a weight, one after the other. A panel has an element for each index of the sum.
enum Panels {
    F32(HugeArray<Columns<f32>>),
    F16(HugeArray<Columns<f16>>),
}

/// The place of a panel in the result.
#[derive(Clone, Copy)]
struct Place {
    /// Index of the matrix that the panel belongs to.
    part: usize,
    /// First column of the panel in that matrix.
    column: usize,
    /// Number of columns that are in use.
    width: usize,
}

/// One or more weights with the same inner dimension, packed.
pub struct PackedWeight {
    inner: usize,
    /// Number of rows of each weight, that is, of columns of its result.
    parts: Vec<usize>,
    places: Vec<Place>,
    panels: Panels,
}

impl PackedWeight {
    /// Packs weights (rows, inner). Panels of the weights alternate, so that panels with the same columns of two weights
    /// are neighbours, as [`Self::glu`] needs them.
    pub fn new(weights: &[&[f32]], inner: usize, format: WeightFormat) -> Self {
        let parts: Vec<usize> = weights.iter().map(|weight| weight.len() / inner).collect();
        let longest = parts.iter().copied().max().unwrap_or(0);
        let place = |part: usize, column: usize| {
            let width = PANEL.min(parts[part].checked_sub(column)?);
            (width > 0).then_some(Place { part, column, width })
        };
        let places: Vec<Place> = (0..longest)
            .step_by(PANEL)
            .flat_map(|column| (0..parts.len()).filter_map(move |part| place(part, column)))
            .collect();
        let panels = match format {
            WeightFormat::F32 => Panels::F32(fill(&places, weights, inner, |value| value)),
            WeightFormat::F16 => Panels::F16(fill(&places, weights, inner, f16::from_f32)),
        };
        Self { inner, parts, places, panels }
    }

    /// Returns the inner dimension of the products.
    pub fn inner(&self) -> usize {
        self.inner
    }

    /// Returns the number of columns of all products together.
    pub fn columns(&self) -> usize {
        self.parts.iter().sum()
    }

    /// Returns the number of bytes of packed weights with these numbers of rows.
    pub fn bytes_for(parts: &[usize], inner: usize, format: WeightFormat) -> usize {
        let panels: usize = parts.iter().map(|rows| rows.div_ceil(PANEL)).sum();
        panels * inner * PANEL * format.bytes()
    }

    /// Returns the number of bytes of the packed weights.
    pub fn bytes(&self) -> usize {
        match &self.panels {
            Panels::F32(panels) => size_of_val(panels.as_slice()),
            Panels::F16(panels) => size_of_val(panels.as_slice()),
        }
    }

    /// Returns the products of `x` (m, inner) with each weight, (m, rows of the weight).
    pub fn product(&self, x: &[f32]) -> Vec<Vec<f32>> {
        let m = x.len() / self.inner;
        let mut results: Vec<Vec<f32>> = self.parts.iter().map(|n| vec![0f32; m * n]).collect();
        let outs: Vec<Out> = results.iter_mut().zip(&self.parts).map(|(out, n)| Out::new(out, *n)).collect();
        self.tiles::<1>(x, |[panel], row, rows, [tile]| {
            let place = self.places[panel];
            for (index, values) in tile[..rows].iter().enumerate() {
                // SAFETY: the rows and columns of this tile are those of no other.
                let out = unsafe { outs[place.part].columns(row + index, place.column, place.width) };
                out.copy_from_slice(&values.0[..place.width]);
            }
        });
        results
    }

    /// Adds the product of `x` (m, inner) with the only weight to `out` (m, rows of the weight).
    pub fn add_product(&self, x: &[f32], out: &mut [f32]) {
        assert!(self.parts.len() == 1 && x.len() / self.inner * self.columns() == out.len());
        let out = Out::new(out, self.parts[0]);
        self.tiles::<1>(x, |[panel], row, rows, [tile]| {
            let place = self.places[panel];
            for (index, values) in tile[..rows].iter().enumerate() {
                // SAFETY: the rows and columns of this tile are those of no other.
                let out = unsafe { out.columns(row + index, place.column, place.width) };
                out.iter_mut().zip(&values.0).for_each(|(out, value)| *out += value);
            }
        });
    }

    /// Returns `activation(x · gateᵀ) · (x · upᵀ)`, (m, rows of a weight), where the two weights of the same size are `gate`
    /// and `up`.
    pub fn glu(&self, activation: Activation, x: &[f32]) -> Vec<f32> {
        assert!(self.parts.len() == 2 && self.parts[0] == self.parts[1]);
        let mut result = vec![0f32; x.len() / self.inner * self.parts[0]];
        let (out, gated) = (Out::new(&mut result, self.parts[0]), glu_columns(activation));
        self.tiles::<2>(x, |[panel, _], row, rows, [gate, up]| {
            let place = self.places[panel];
            for (index, (gate, up)) in gate.iter().zip(up).take(rows).enumerate() {
                // SAFETY: the rows and columns of this tile are those of no other.
                let out = unsafe { out.columns(row + index, place.column, place.width) };
                gated(out, &gate.0, &up.0);
            }
        });
        result
    }

    /// Computes the tiles of the result, `GROUP` neighbouring panels at a time, on all threads. `finish(panels, first row,
    /// rows, tiles)` is called once for each.
    fn tiles<const GROUP: usize>(
        &self,
        x: &[f32],
        finish: impl Fn([usize; GROUP], usize, usize, &[Tile; GROUP]) + Sync,
    ) {
        let inner = self.inner;
        let (m, groups) = (x.len() / inner, self.places.len() / GROUP);
        let level = simd::level();
        let work = |first: usize, x: &[f32], groups: Range<usize>| {
            let rows = x.len() / inner;
            // Tiles of equal height are faster than full ones and a rest.
            let count = tile_count(level, rows).max(1);
            let tall = rows.div_ceil(count).max(1);
            let mut tiles = [[Columns([0f32; PANEL]); TILE_ROWS]; GROUP];
            for group in groups {
                let panels: [usize; GROUP] = std::array::from_fn(|index| group * GROUP + index);
                for (index, x) in x.chunks(tall * inner).enumerate() {
                    for (tile, panel) in tiles.iter_mut().zip(panels) {
                        let ahead = if count == 1 { Ahead::Itself } else { self.ahead(panel + GROUP, index, count) };
                        match &self.panels {
                            Panels::F32(all) => full(level, &all.as_slice()[panel * inner..][..inner], x, ahead, tile),
                            Panels::F16(all) => half(level, &all.as_slice()[panel * inner..][..inner], x, ahead, tile),
                        }
                    }
                    finish(panels, first + index * tall, x.len() / inner, &tiles);
                }
            }
        };
        let threads = rayon::current_num_threads();
        let weights = self.places.len() * PANEL * inner;
        if threads == 1 || m == 0 || (weights < PARALLEL_WEIGHTS && m * weights < PARALLEL_PRODUCTS) {
            x.chunks(BLOCK_ROWS * inner).enumerate().for_each(|(block, x)| work(block * BLOCK_ROWS, x, 0..groups));
            return;
        }
        let blocks = m.div_ceil(BLOCK_ROWS).max(1);
        // Four tasks for each thread balance the load if other work slows some threads down.
        let step = groups.div_ceil((threads * 4).div_ceil(blocks));
        let steps = groups.div_ceil(step);
        (0..blocks * steps).into_par_iter().for_each(|task| {
            let (block, first) = (task / steps, task % steps * step);
            let rows = block * BLOCK_ROWS..m.min((block + 1) * BLOCK_ROWS);
            work(rows.start, &x[rows.start * inner..rows.end * inner], first..groups.min(first + step));
        });
    }

    /// Returns the part of a panel that is prefetched while tile `index` of `count` is computed with an earlier one.
    fn ahead(&self, panel: usize, index: usize, count: usize) -> Ahead {
        let (start, bytes): (*const i8, _) = match &self.panels {
            Panels::F32(panels) => (panels.as_slice().as_ptr().cast(), size_of::<Columns<f32>>()),
            Panels::F16(panels) => (panels.as_slice().as_ptr().cast(), size_of::<Columns<f16>>()),
        };
        let step = bytes.div_ceil(count);
        Ahead::Next { start: start.wrapping_add(panel * self.inner * bytes + index * self.inner * step), step }
    }
}

/// Returns the number of tiles for some rows of a product: as few as the registers allow.
fn tile_count(level: Level, rows: usize) -> usize {
    rows.div_ceil(match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => TILE_ROWS,
        _ => 6,
    })
}

/// Memory that will be read soon. Only x86-64 has a stable instruction that asks for it.
#[derive(Clone, Copy)]
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
enum Ahead {
    /// The panel that is read, [`DISTANCE`] elements later.
    Itself,
    /// `step` bytes from `start` on for each element of a panel, at most a cache line. They may lie outside of the panels: a
    /// prefetch reads nothing.
    Next { start: *const i8, step: usize },
}

/// Computes the product of up to [`TILE_ROWS`] rows with a panel.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn full(level: Level, panel: &[Columns<f32>], x: &[f32], ahead: Ahead, out: &mut Tile) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx512 => unsafe { avx512::full::run(panel, x, ahead, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx2 => unsafe { avx2::full::run(panel, x, ahead, out) },
        Level::Plain => plain::run(panel, x, |w| *w, out),
    }
}

/// Computes the same with a panel of 16 bits.
#[cfg_attr(not(target_arch = "x86_64"), allow(unused_variables))]
fn half(level: Level, panel: &[Columns<f16>], x: &[f32], ahead: Ahead, out: &mut Tile) {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx512 => unsafe { avx512::half::run(panel, x, ahead, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: this level means that the machine has the features.
        Level::Avx2 => unsafe { avx2::half::run(panel, x, ahead, out) },
        Level::Plain => plain::run(panel, x, plain::wide, out),
    }
}

/// Number of indices of the sum that are packed for all columns of a panel before the next are: a cache line of each row
/// of the weight.
const PACK_BLOCK: usize = 16;

/// Packs weights (rows, inner) on all threads.
fn fill<T: Copy + Default + Send + Sync>(
    places: &[Place],
    weights: &[&[f32]],
    inner: usize,
    number: impl Fn(f32) -> T + Sync,
) -> HugeArray<Columns<T>> {
    let mut panels = HugeArray::new(Columns([T::default(); PANEL]), places.len() * inner);
    panels.as_mut_slice().par_chunks_mut(inner).zip(places).for_each(|(panel, place)| {
        let rows = &weights[place.part][place.column * inner..][..place.width * inner];
        for (block, panel) in panel.chunks_mut(PACK_BLOCK).enumerate() {
            for (column, row) in rows.chunks_exact(inner).enumerate() {
                for (columns, value) in panel.iter_mut().zip(&row[block * PACK_BLOCK..]) {
                    columns.0[column] = number(*value);
                }
            }
        }
    });
    panels
}

/// A matrix whose columns are written by several threads.
struct Out {
    values: *mut f32,
    rows: usize,
    width: usize,
}

// SAFETY: the pointer is used by `columns` alone, whose callers write different elements.
unsafe impl Sync for Out {}

impl Out {
    /// The matrix must outlive the result.
    fn new(values: &mut [f32], width: usize) -> Self {
        Self { values: values.as_mut_ptr(), rows: values.len() / width.max(1), width }
    }

    /// Returns some columns of a row.
    ///
    /// # Safety
    /// The matrix must still be borrowed, and nobody else may access these elements while the result lives.
    #[allow(clippy::mut_from_ref)]
    unsafe fn columns(&self, row: usize, first: usize, width: usize) -> &mut [f32] {
        assert!(row < self.rows && first + width <= self.width);
        // SAFETY: the line above checks that the elements lie within the matrix; the caller guarantees the rest.
        unsafe { std::slice::from_raw_parts_mut(self.values.add(row * self.width + first), width) }
    }
}

/// Returns the loop that writes `activation(gate) · up`, for as many columns as the output has.
fn glu_columns(activation: Activation) -> fn(&mut [f32], &[f32; PANEL], &[f32; PANEL]) {
    match activation {
        Activation::Silu => swiglu_columns,
        Activation::GeluTanh => geglu_columns,
    }
}

vectorised! {
    fn swiglu_columns(out: &mut [f32], gate: &[f32; PANEL], up: &[f32; PANEL]) {
        let mut values = [0f32; PANEL];
        gated::<FMA>(&mut values, gate, up, |x| x);
        out.copy_from_slice(&values[..out.len()]);
    }
}

vectorised! {
    fn geglu_columns(out: &mut [f32], gate: &[f32; PANEL], up: &[f32; PANEL]) {
        let mut values = [0f32; PANEL];
        gated::<FMA>(&mut values, gate, up, gelu_logit);
        out.copy_from_slice(&values[..out.len()]);
    }
}

/// The kernels for any machine.
mod plain {
    use half::f16;

    use super::{
        super::simd::{PLAIN_FMA, fused},
        Columns, PANEL, Tile,
    };

    /// Computes a tile; `wide` gives the numbers of an element.
    pub(super) fn run<T>(panel: &[Columns<T>], x: &[f32], wide: impl Fn(&[T; PANEL]) -> [f32; PANEL], out: &mut Tile) {
        for (x, out) in x.chunks_exact(panel.len()).zip(out) {
            let mut sums = [0f32; PANEL];
            for (x, w) in x.iter().zip(panel) {
                let w = wide(&w.0);
                for column in 0..PANEL {
                    sums[column] = fused::<PLAIN_FMA>(*x, w[column], sums[column]);
                }
            }
            out.0 = sums;
        }
    }

    pub(super) fn wide(numbers: &[f16; PANEL]) -> [f32; PANEL] {
        numbers.map(f16::to_f32)
    }
}

/// Defines a module with the kernels for one instruction set, given its vectors of `$lanes` numbers and the number of
/// vectors of a tile's row. Each of the inner modules is a kernel for one element type of the panels; `$load` loads a
/// vector of it.
#[cfg(target_arch = "x86_64")]
macro_rules! kernels {
    ($name:ident, $features:literal, $lanes:literal, $vectors:literal, $zero:ident, $broadcast:ident, $store:ident,
     $fused:ident, $($kernel:ident: $number:ty => |$at:ident| $load:expr),*) => {
        mod $name {
            $(pub(super) mod $kernel {
                use std::arch::x86_64::*;

                use super::super::{Ahead, Columns, DISTANCE, LINE, PANEL, TILE_ROWS, Tile};

                /// Number of columns of a tile.
                const WIDE: usize = $vectors * $lanes;

                /// Cache lines of a tile's part of a panel's element.
                const LINES: usize = (WIDE * size_of::<$number>()).div_ceil(LINE);

                #[target_feature(enable = $features)]
                pub(in super::super) fn run(panel: &[Columns<$number>], x: &[f32], ahead: Ahead, out: &mut Tile) {
                    for first in (0..PANEL).step_by(WIDE) {
                        match ahead {
                            Ahead::Itself => {
                                let later = panel.as_ptr().wrapping_add(DISTANCE).cast::<$number>().wrapping_add(first);
                                strip::<LINES>(panel, x, first, (later.cast(), size_of::<Columns<$number>>()), out);
                            }
                            Ahead::Next { start, step } => {
                                let step = step * WIDE / PANEL;
                                let start = start.wrapping_add(first / WIDE * panel.len() * step);
                                strip::<1>(panel, x, first, (start, step), out);
                            }
                        }
                    }
                }

                #[target_feature(enable = $features)]
                fn strip<const AHEAD: usize>(
                    panel: &[Columns<$number>],
                    x: &[f32],
                    first: usize,
                    ahead: (*const i8, usize),
                    out: &mut Tile,
                ) {
                    match x.len() / panel.len() {
                        1 => tile::<1, AHEAD>(panel, x, first, ahead, out),
                        2 => tile::<2, AHEAD>(panel, x, first, ahead, out),
                        3 => tile::<3, AHEAD>(panel, x, first, ahead, out),
                        4 => tile::<4, AHEAD>(panel, x, first, ahead, out),
                        5 => tile::<5, AHEAD>(panel, x, first, ahead, out),
                        6 => tile::<6, AHEAD>(panel, x, first, ahead, out),
                        7 => tile::<7, AHEAD>(panel, x, first, ahead, out),
                        8 => tile::<8, AHEAD>(panel, x, first, ahead, out),
                        9 => tile::<9, AHEAD>(panel, x, first, ahead, out),
                        10 => tile::<10, AHEAD>(panel, x, first, ahead, out),
                        11 => tile::<11, AHEAD>(panel, x, first, ahead, out),
                        12 => tile::<12, AHEAD>(panel, x, first, ahead, out),
                        13 => tile::<13, AHEAD>(panel, x, first, ahead, out),
                        _ => tile::<TILE_ROWS, AHEAD>(panel, x, first, ahead, out),
                    }
                }

                /// Computes columns of a tile, and prefetches `AHEAD` cache lines from `ahead` on for the first element of
                /// the panel, from `ahead + stride` on for the next, and so on.
                #[target_feature(enable = $features)]
                fn tile<const R: usize, const AHEAD: usize>(
                    panel: &[Columns<$number>],
                    x: &[f32],
                    first: usize,
                    (mut ahead, stride): (*const i8, usize),
                    out: &mut Tile,
                ) {
                    let inner = panel.len();
                    assert!(x.len() == R * inner && first + WIDE <= PANEL);
                    // Pointers that move along the sum: of indices the compiler computes the addresses of all rows first, and
                    // then has no register left for them and the sums.
                    let mut x = x.as_ptr();
                    let mut sums = [[$zero(); $vectors]; R];
                    for w in panel {
                        for line in 0..AHEAD {
                            _mm_prefetch::<_MM_HINT_T1>(ahead.wrapping_add(line * LINE));
                        }
                        ahead = ahead.wrapping_add(stride);
                        let mut right = [$zero(); $vectors];
                        for v in 0..$vectors {
                            // SAFETY: the vectors end at `first + WIDE`, within the panel's columns.
                            right[v] = unsafe {
                                let $at = w.0.as_ptr().add(first + v * $lanes);
                                $load
                            };
                        }
                        for row in 0..R {
                            // SAFETY: `x` is at the element of the first of R rows for an index below `inner`.
                            let left = $broadcast(unsafe { *x.add(row * inner) });
                            for v in 0..$vectors {
                                sums[row][v] = $fused(left, right[v], sums[row][v]);
                            }
                        }
                        x = x.wrapping_add(1);
                    }
                    for row in 0..R {
                        for v in 0..$vectors {
                            // SAFETY: as for the loads.
                            unsafe { $store(out[row].0.as_mut_ptr().add(first + v * $lanes), sums[row][v]) };
                        }
                    }
                }
            })*
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernels!(
    avx2, "avx2,fma,f16c", 8, 2, _mm256_setzero_ps, _mm256_set1_ps, _mm256_storeu_ps, _mm256_fmadd_ps,
    full: f32 => |at| _mm256_loadu_ps(at),
    half: ::half::f16 => |at| _mm256_cvtph_ps(_mm_loadu_si128(at.cast()))
);
#[cfg(target_arch = "x86_64")]
kernels!(
    avx512, "avx512f", 16, 2, _mm512_setzero_ps, _mm512_set1_ps, _mm512_storeu_ps, _mm512_fmadd_ps,
    full: f32 => |at| _mm512_loadu_ps(at),
    half: ::half::f16 => |at| _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()))
);

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: [(usize, usize, usize); 8] =
        [(1, 1, 1), (1, 7, 5), (4, 64, 16), (5, 129, 19), (9, 64, 33), (12, 33, 7), (32, 1000, 40), (200, 60, 24)];

    fn numbers(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step % 101) as f32 - 50.0) / 50.0).collect()
    }

    fn check(got: &[f32], x: &[f32], w: &[f32], k: usize, shown: &str) {
        let n = w.len() / k;
        assert_eq!(got.len(), x.len() / k * n);
        for (at, got) in got.iter().enumerate() {
            let pairs = x[at / n * k..][..k].iter().zip(&w[at % n * k..][..k]);
            let want: f64 = pairs.map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
            assert!((f64::from(*got) - want).abs() < 1e-4, "{shown}: {got} is not {want}");
        }
    }

    #[test]
    fn every_kernel_agrees_with_the_definition() {
        simd::at_each_level(|level| {
            for (m, n, k) in SHAPES {
                let (x, first, second) = (numbers(m * k, 37), numbers(n * k, 53), numbers((n / 2 + 1) * k, 71));
                let packed = PackedWeight::new(&[&first, &second], k, WeightFormat::F32);
                let results = packed.product(&x);
                check(&results[0], &x, &first, k, &format!("{level:?} {m} {n} {k}"));
                check(&results[1], &x, &second, k, &format!("{level:?} {m} {n} {k}, second"));

                // Weights of 16 bits give the bits of the same numbers in `f32`.
                let rounded: Vec<f32> = first.iter().map(|w| f16::from_f32(*w).to_f32()).collect();
                let half = PackedWeight::new(&[&first], k, WeightFormat::F16).product(&x);
                let full = PackedWeight::new(&[&rounded], k, WeightFormat::F32).product(&x);
                assert_eq!(half, full, "{level:?} {m} {n} {k}");
            }
        });
    }

    #[test]
    fn a_row_has_the_same_bits_in_any_company_and_on_any_vector_unit() {
        let (n, k) = (1000, 577);
        let (x, w) = (numbers(200 * k, 37), numbers(n * k, 53));
        for format in [WeightFormat::F32, WeightFormat::F16] {
            let packed = PackedWeight::new(&[&w], k, format);
            let all = packed.product(&x).remove(0);
            simd::at_each_level(|level| {
                for (first, rows) in [(0, 1), (3, 9), (77, 64), (199, 1)] {
                    let some = packed.product(&x[first * k..(first + rows) * k]).remove(0);
                    if level != Level::Plain || simd::PLAIN_FMA {
                        assert!(some == all[first * n..(first + rows) * n], "{level:?} {first} {rows}");
                    }
                }
            });
        }
    }

    #[test]
    fn sums_and_gates_are_those_of_the_products() {
        let (m, n, k) = (5, 100, 33);
        let (x, gate, up) = (numbers(m * k, 37), numbers(n * k, 53), numbers(n * k, 71));
        simd::at_each_level(|_| {
            let packed = PackedWeight::new(&[&gate, &up], k, WeightFormat::F32);
            let products = packed.product(&x);
            for activation in [Activation::Silu, Activation::GeluTanh] {
                let want = super::super::glu(activation, &products[0], &products[1]);
                assert_eq!(packed.glu(activation, &x), want);
            }
            let mut sum = products[1].clone();
            PackedWeight::new(&[&gate], k, WeightFormat::F32).add_product(&x, &mut sum);
            let added: Vec<f32> = products[1].iter().zip(&products[0]).map(|(a, b)| a + b).collect();
            assert_eq!(sum, added);
        });
    }
}
