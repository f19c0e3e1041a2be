//! Causal attention with grouped queries: over a packed batch (training, prompts) and over a cache (decoding).
//!
//! Nothing is kept for the backward pass: it computes the attention weights again, which costs less than storing them.

use rayon::prelude::*;

use super::{
    products::{product_nn, product_nt, product_tn},
    simd::{dot, fused, vectorised},
    softmax::softmax_in_place,
};
use crate::packed::Group;

/// How the width of queries, keys and values is divided.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Heads {
    /// Query heads.
    pub(crate) query: usize,
    /// Key and value heads.
    pub(crate) kv: usize,
    /// Width of a head.
    pub(crate) dim: usize,
}

impl Heads {
    /// Query heads that share a key head.
    pub(crate) fn repeats(self) -> usize {
        self.query / self.kv
    }

    /// What scores are multiplied by: 1 / √dim.
    pub(crate) fn scale(self) -> f64 {
        1.0 / (self.dim as f64).sqrt()
    }
}

/// Query rows whose scores are computed at once: bounds the memory of long sequences, and keys after the block's last
/// row are never touched.
const BLOCK: usize = 64;

/// A block of query rows of one part of a group (its prompt, or a completion), seen by one key head.
struct Block {
    /// First row of the block, within the group.
    row: usize,
    rows: usize,
    /// Keys of the prompt, which all rows of a completion see (none for the prompt itself).
    prompt: usize,
    /// First row of the part, within the group.
    part: usize,
    /// Keys of the part up to the block's last row.
    own: usize,
}

impl Block {
    fn keys(&self) -> usize {
        self.prompt + self.own
    }
}

fn blocks(group: &Group) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (part, len, prompt) in group.parts() {
        for first in (0..len).step_by(BLOCK) {
            let rows = BLOCK.min(len - first);
            blocks.push(Block { row: part + first, rows, prompt, part, own: first + rows });
        }
    }
    blocks
}

/// One group and one key head: all that a thread needs for its share.
struct Share<'a> {
    heads: Heads,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    group: &'a Group,
    kv: usize,
}

impl<'a> Share<'a> {
    fn of(heads: Heads, groups: &'a [Group], q: &'a [f32], k: &'a [f32], v: &'a [f32]) -> Vec<Self> {
        let pairs = groups.iter().flat_map(|group| (0..heads.kv).map(move |kv| (group, kv)));
        pairs.map(|(group, kv)| Share { heads, q, k, v, group, kv }).collect()
    }

    /// Row strides of queries, and of keys and values.
    fn strides(&self) -> (usize, usize) {
        (self.heads.query * self.heads.dim, self.heads.kv * self.heads.dim)
    }

    /// `k` or `v` of this head, from a row of the group on.
    fn rows_of(&self, matrix: &'a [f32], row: usize) -> (&'a [f32], usize) {
        let stride = self.strides().1;
        (&matrix[(self.group.start + row) * stride + self.kv * self.heads.dim..], stride)
    }

    /// Copies a block of rows of the queries (or of their gradient) of this head's repeats, (repeats · rows, dim).
    fn gather(&self, matrix: &[f32], block: &Block, scale: f32, out: &mut Vec<f32>) {
        let (stride, width) = (self.strides().0, self.heads.dim);
        out.clear();
        for repeat in 0..self.heads.repeats() {
            let column = (self.kv * self.heads.repeats() + repeat) * width;
            for row in 0..block.rows {
                let at = (self.group.start + block.row + row) * stride + column;
                out.extend(matrix[at..at + width].iter().map(|value| value * scale));
            }
        }
    }

    /// The attention weights of a block, (repeats · rows, keys); `queries` are scaled.
    fn weights(&self, block: &Block, queries: &[f32], out: &mut Vec<f32>) {
        let (m, keys, dim) = (queries.len() / self.heads.dim, block.keys(), self.heads.dim);
        out.clear();
        out.resize(m * keys, 0.0);
        if block.prompt > 0 {
            product_nt((m, block.prompt, dim), (out, keys), (queries, dim), self.rows_of(self.k, 0), false);
        }
        let own = self.rows_of(self.k, block.part);
        product_nt((m, block.own, dim), (&mut out[block.prompt..], keys), (queries, dim), own, false);
        for (index, row) in out.chunks_exact_mut(keys).enumerate() {
            // The block's rows are the last of the keys: row i sees all but the rows − 1 − i behind it.
            let seen = keys - (block.rows - 1 - index % block.rows);
            softmax_in_place(&mut row[..seen]);
            row[seen..].fill(0.0);
        }
    }

    /// `out (m, dim) = weights (m, keys) · matrix (keys, dim)`, `matrix` being `k` or `v`.
    fn mix(&self, block: &Block, weights: &[f32], matrix: &'a [f32], out: &mut Vec<f32>) {
        let (keys, dim) = (block.keys(), self.heads.dim);
        let m = weights.len() / keys;
        out.clear();
        out.resize(m * dim, 0.0);
        let own = self.rows_of(matrix, block.part);
        product_nn((m, dim, block.own), (out, dim), (&weights[block.prompt..], keys), own, false);
        if block.prompt > 0 {
            product_nn((m, dim, block.prompt), (out, dim), (weights, keys), self.rows_of(matrix, 0), true);
        }
    }

    /// `out (group rows, dim) += weights (m, keys)ᵀ · rows (m, dim)`: gradients of keys or values.
    fn spread(&self, block: &Block, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        let (keys, dim) = (block.keys(), self.heads.dim);
        let m = weights.len() / keys;
        if block.prompt > 0 {
            product_tn((block.prompt, dim, m), (out, dim), (weights, keys), (rows, dim), true);
        }
        let own = (&mut out[block.part * dim..], dim);
        product_tn((block.own, dim, m), own, (&weights[block.prompt..], keys), (rows, dim), true);
    }

    /// The output of this share, (group rows, repeats · dim).
    fn forward(&self) -> Vec<f32> {
        let width = self.heads.repeats() * self.heads.dim;
        let mut out = vec![0f32; self.group.rows() * width];
        let (mut queries, mut weights, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        for block in blocks(self.group) {
            self.gather(self.q, &block, self.heads.scale() as f32, &mut queries);
            self.weights(&block, &queries, &mut weights);
            self.mix(&block, &weights, self.v, &mut mixed);
            self.put(&block, &mixed, &mut out);
        }
        out
    }

    /// Copies a block's (repeats · rows, dim) into (group rows, repeats · dim).
    fn put(&self, block: &Block, from: &[f32], out: &mut [f32]) {
        let (dim, width) = (self.heads.dim, self.heads.repeats() * self.heads.dim);
        for (index, value) in from.chunks_exact(dim).enumerate() {
            let (repeat, row) = (index / block.rows, index % block.rows);
            out[(block.row + row) * width + repeat * dim..][..dim].copy_from_slice(value);
        }
    }

    /// The gradients of this share: queries (group rows, repeats · dim), keys and values (group rows, dim).
    fn backward(&self, grad: &[f32]) -> [Vec<f32>; 3] {
        let (rows, dim) = (self.group.rows(), self.heads.dim);
        let scale = self.heads.scale() as f32;
        let mut for_q = vec![0f32; rows * self.heads.repeats() * dim];
        let (mut for_k, mut for_v) = (vec![0f32; rows * dim], vec![0f32; rows * dim]);
        let (mut queries, mut weights, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut grads, mut for_weights) = (Vec::new(), Vec::new());
        for block in blocks(self.group) {
            self.gather(self.q, &block, scale, &mut queries);
            self.weights(&block, &queries, &mut weights);
            self.gather(grad, &block, 1.0, &mut grads);
            self.spread(&block, &weights, &grads, &mut for_v);

            let (m, keys) = (weights.len() / block.keys(), block.keys());
            for_weights.clear();
            for_weights.resize(m * keys, 0.0);
            if block.prompt > 0 {
                let prompt = self.rows_of(self.v, 0);
                product_nt((m, block.prompt, dim), (&mut for_weights, keys), (&grads, dim), prompt, false);
            }
            let own = self.rows_of(self.v, block.part);
            product_nt((m, block.own, dim), (&mut for_weights[block.prompt..], keys), (&grads, dim), own, false);
            softmax_backward(&weights, &mut for_weights, keys);

            // The queries are scaled, so the keys' gradient already is; the queries' own is not yet.
            self.spread(&block, &for_weights, &queries, &mut for_k);
            self.mix(&block, &for_weights, self.k, &mut mixed);
            mixed.iter_mut().for_each(|value| *value *= scale);
            self.put(&block, &mixed, &mut for_q);
        }
        [for_q, for_k, for_v]
    }
}

vectorised! {
    /// From the gradient of the weights to that of the scores, in place: `p · (g − Σ p·g)`, row by row.
    fn softmax_backward(weights: &[f32], grad: &mut [f32], keys: usize) {
        for (weights, grad) in weights.chunks_exact(keys).zip(grad.chunks_exact_mut(keys)) {
            let mean = dot::<FMA>(weights, grad);
            for (grad, weight) in grad.iter_mut().zip(weights) {
                *grad = weight * (*grad - mean);
            }
        }
    }
}

/// Computes shares in parallel, if there is enough to do.
fn each_share<'a, T: Send>(shares: &[Share<'a>], work: impl Fn(&Share<'a>) -> T + Sync) -> Vec<T> {
    // A row costs some hundred multiplications for each of its numbers.
    if shares.first().is_none_or(|share| share.q.len() < super::PARALLEL_ELEMENTS / 8) {
        return shares.iter().map(work).collect();
    }
    shares.par_iter().map(&work).collect()
}

/// Copies a share's (group rows, width) into its columns of (rows, stride).
fn scatter(share: &Share<'_>, from: &[f32], width: usize, stride: usize, out: &mut [f32]) {
    for (row, value) in from.chunks_exact(width).enumerate() {
        out[(share.group.start + row) * stride + share.kv * width..][..width].copy_from_slice(value);
    }
}

/// Causal attention within the parts of a packed batch, completions seeing their prompt too.
/// `q` is (rows, query heads · dim), `k` and `v` (rows, kv heads · dim); the result has the shape of `q`.
pub(crate) fn packed_attention(heads: Heads, groups: &[Group], q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let shares = Share::of(heads, groups, q, k, v);
    let parts = each_share(&shares, Share::forward);
    let mut out = vec![0f32; q.len()];
    for (share, part) in shares.iter().zip(&parts) {
        scatter(share, part, heads.repeats() * heads.dim, heads.query * heads.dim, &mut out);
    }
    out
}

/// The gradients of [`packed_attention`] for `q`, `k` and `v`.
pub(crate) fn packed_attention_backward(
    heads: Heads,
    groups: &[Group],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    grad: &[f32],
) -> [Vec<f32>; 3] {
    let shares = Share::of(heads, groups, q, k, v);
    let parts = each_share(&shares, |share| share.backward(grad));
    let mut out = [vec![0f32; q.len()], vec![0f32; k.len()], vec![0f32; v.len()]];
    let [for_q, for_k, for_v] = &mut out;
    for (share, [q, k, v]) in shares.iter().zip(&parts) {
        scatter(share, q, heads.repeats() * heads.dim, heads.query * heads.dim, for_q);
        scatter(share, k, heads.dim, heads.kv * heads.dim, for_k);
        scatter(share, v, heads.dim, heads.kv * heads.dim, for_v);
    }
    out
}

/// One decoding step: each row of `q` (rows, query heads · dim) attends to columns `starts[row]..len` of its row of the
/// cache, `k` and `v` (rows, kv heads, capacity, dim). The result has the shape of `q`.
pub(crate) fn attend_cached(heads: Heads, q: &[f32], k: &[f32], v: &[f32], starts: &[usize], len: usize) -> Vec<f32> {
    let width = heads.query * heads.dim;
    let mut out = vec![0f32; q.len()];
    let capacity = k.len() / (starts.len() * heads.kv * heads.dim).max(1);
    let row = |(row, out): (usize, &mut [f32])| {
        let cache = heads.kv * capacity * heads.dim;
        let seen = starts[row]..len;
        attend_row(
            heads,
            out,
            &q[row * width..][..width],
            &k[row * cache..][..cache],
            &v[row * cache..][..cache],
            seen,
        );
    };
    if q.len() * len < super::PARALLEL_ELEMENTS {
        out.chunks_exact_mut(width).enumerate().for_each(row);
    } else {
        out.par_chunks_exact_mut(width).enumerate().for_each(row);
    }
    out
}

vectorised! {
    fn attend_row(heads: Heads, out: &mut [f32], q: &[f32], k: &[f32], v: &[f32], seen: std::ops::Range<usize>) {
        let (dim, cache) = (heads.dim, k.len() / heads.kv);
        let scale = heads.scale() as f32;
        let mut weights = vec![0f32; seen.len()];
        for (head, (out, q)) in out.chunks_exact_mut(dim).zip(q.chunks_exact(dim)).enumerate() {
            let kv = head / heads.repeats();
            let rows = kv * cache + seen.start * dim..kv * cache + seen.end * dim;
            for (weight, k) in weights.iter_mut().zip(k[rows.clone()].chunks_exact(dim)) {
                *weight = dot::<FMA>(q, k) * scale;
            }
            softmax_in_place(&mut weights);
            for (weight, v) in weights.iter().zip(v[rows].chunks_exact(dim)) {
                for (out, v) in out.iter_mut().zip(v) {
                    *out = fused::<FMA>(*weight, *v, *out);
                }
            }
        }
    }
}
