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
    simd::{self, vectorised},
    tile::{Ahead, Columns, EMPTY, Order, PANEL, Rows, Stored, Tile, tile_rows},
    transpose::transpose,
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

/// Number of rows that are multiplied with all panels of a task before the next rows are. They stay in the second-level
/// cache beside a panel.
const BLOCK_ROWS: usize = 98;

/// Numbers of weights and of multiplications from which a product is divided among threads. Smaller ones take a thread less
/// time than waking another.
const PARALLEL_WEIGHTS: usize = 1 << 17;
const PARALLEL_PRODUCTS: usize = 1 << 23;

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
            let count = rows.div_ceil(tile_rows(level)).max(1);
            let tall = rows.div_ceil(count).max(1);
            let mut tiles = [EMPTY; GROUP];
            for group in groups {
                let panels: [usize; GROUP] = std::array::from_fn(|index| group * GROUP + index);
                for (index, x) in x.chunks(tall * inner).enumerate() {
                    let rows = Rows { values: x, count: x.len() / inner, order: Order::Apart(inner) };
                    for (tile, panel) in tiles.iter_mut().zip(panels) {
                        let ahead = if count == 1 { Ahead::Far } else { self.ahead(panel + GROUP, index, count) };
                        match &self.panels {
                            Panels::F32(all) => {
                                Stored::tile(level, &all.as_slice()[panel * inner..][..inner], rows, ahead, tile)
                            }
                            Panels::F16(all) => {
                                Stored::tile(level, &all.as_slice()[panel * inner..][..inner], rows, ahead, tile)
                            }
                        }
                    }
                    finish(panels, first + index * tall, rows.count, &tiles);
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

/// Number of indices of the sum that are packed at once.
const PACK_BLOCK: usize = 64;

/// Packs weights (rows, inner) on all threads.
fn fill<T: Copy + Default + Send + Sync>(
    places: &[Place],
    weights: &[&[f32]],
    inner: usize,
    number: impl Fn(f32) -> T + Sync,
) -> HugeArray<Columns<T>> {
    let mut panels = HugeArray::new(Columns([T::default(); PANEL]), places.len() * inner);
    panels.as_mut_slice().par_chunks_mut(inner).zip(places).for_each(|(panel, place)| {
        let rows = &weights[place.part][place.column * inner..];
        let mut block = [Columns([0f32; PANEL]); PACK_BLOCK];
        for (number_of_block, panel) in panel.chunks_mut(PACK_BLOCK).enumerate() {
            let block = &mut block[..panel.len()];
            transpose(&rows[number_of_block * PACK_BLOCK..], inner, place.width, block);
            for (packed, values) in panel.iter_mut().zip(block) {
                packed.0 = values.0.map(&number);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::Level;

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
