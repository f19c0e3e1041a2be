//! Causal attention with grouped queries: over a packed batch (training, prompts) and over a cache (decoding).
//!
//! The backward pass computes the attention weights again, which costs less than storing them.

use std::ops::Range;

use rayon::prelude::*;

use super::{
    gemm::{gemm_nn, gemm_nt, gemm_tn},
    parallel::{PARALLEL_ELEMENTS, new_rows},
    simd::{LANES, dot, fold, fused, vectorised},
    softmax::softmax_in_place,
};

/// A prompt and the completions that share it, in consecutive rows of a packed batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// First row of the prompt.
    pub start: usize,
    /// Number of rows of the prompt.
    pub prompt: usize,
    /// Number of rows of each completion.
    pub completions: Vec<usize>,
}

impl Group {
    /// Returns the number of rows of the prompt and all completions.
    pub fn rows(&self) -> usize {
        self.prompt + self.completions.iter().sum::<usize>()
    }

    /// Returns for the prompt and each completion: its first row within the group, its number of rows, and the number of
    /// prompt rows that it attends to in addition (0 for the prompt). Parts without rows are left out.
    pub fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut next = self.prompt;
        let completions = self.completions.iter().map(move |&rows| {
            next += rows;
            (next - rows, rows, self.prompt)
        });
        std::iter::once((0, self.prompt, 0)).chain(completions).filter(|(_, rows, _)| *rows > 0)
    }
}

/// The attention of a layer: the division of the width of queries, keys and values into heads, and the keys that a query
/// attends to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heads {
    /// Number of query heads.
    pub query: usize,
    /// Number of key and value heads.
    pub kv: usize,
    /// Width of a head.
    pub dim: usize,
    /// Factor of the attention scores.
    pub scale: f64,
    /// Number of keys that a query attends to at most, of which its own is the last; at least 1, and `usize::MAX` for all.
    pub window: usize,
}

impl Heads {
    /// Creates heads that attend to all keys up to their own, with scores divided by √dim.
    pub fn new(query: usize, kv: usize, dim: usize) -> Self {
        Self { query, kv, dim, scale: 1.0 / (dim as f64).sqrt(), window: usize::MAX }
    }

    /// Returns the number of query heads that share a key head.
    pub fn repeats(self) -> usize {
        self.query / self.kv
    }

    /// Returns true if queries attend to a sliding window of keys.
    pub fn slide(self) -> bool {
        self.window != usize::MAX
    }

    /// Returns the first position that a query at `position` attends to.
    pub fn first_seen(self, position: usize) -> usize {
        (position + 1).saturating_sub(self.window)
    }
}

/// Number of query rows whose scores are computed at once. It bounds the memory of long sequences; keys after the
/// block's last row are skipped.
const BLOCK: usize = 64;

/// A block of query rows of one part (the prompt or a completion) of a group, with the keys that some of them attend to.
struct Block {
    /// First row of the block, within the group.
    row: usize,
    rows: usize,
    /// The rows of the prompt that a completion attends to; none for the prompt itself.
    prompt: Range<usize>,
    /// The rows of the part, within the group, up to the block's last.
    part: Range<usize>,
    /// Row `i` of the block does not attend to the first `i + 1 − within` keys, if that is above 0.
    within: usize,
}

impl Block {
    fn keys(&self) -> usize {
        self.prompt.len() + self.part.len()
    }

    /// Returns the keys that row `index` of the block attends to.
    fn seen(&self, index: usize) -> Range<usize> {
        // The block's rows are the last of the keys, so row i attends to none of the last rows − 1 − i.
        (index + 1).saturating_sub(self.within)..self.keys() - (self.rows - 1 - index)
    }
}

fn blocks(heads: Heads, group: &Group) -> Vec<Block> {
    let mut blocks = Vec::new();
    for (part, len, prompt) in group.parts() {
        for first in (0..len).step_by(BLOCK) {
            let rows = BLOCK.min(len - first);
            let seen = heads.first_seen(prompt + first);
            blocks.push(Block {
                row: part + first,
                rows,
                prompt: seen.min(prompt)..prompt,
                part: part + seen.saturating_sub(prompt)..part + first + rows,
                within: heads.window.saturating_sub(prompt + first - seen),
            });
        }
    }
    blocks
}

/// The work of one thread: one group and one key head.
struct Task<'a> {
    heads: Heads,
    q: &'a [f32],
    k: &'a [f32],
    v: &'a [f32],
    group: &'a Group,
    kv: usize,
}

impl<'a> Task<'a> {
    fn all(heads: Heads, groups: &'a [Group], q: &'a [f32], k: &'a [f32], v: &'a [f32]) -> Vec<Self> {
        let pairs = groups.iter().flat_map(|group| (0..heads.kv).map(move |kv| (group, kv)));
        pairs.map(|(group, kv)| Task { heads, q, k, v, group, kv }).collect()
    }

    /// Returns the row strides of queries, and of keys and values.
    fn strides(&self) -> (usize, usize) {
        (self.heads.query * self.heads.dim, self.heads.kv * self.heads.dim)
    }

    /// Returns the part of `matrix` (`k` or `v`) that begins at this head and at the given row of the group, with its row
    /// stride.
    fn rows_of(&self, matrix: &'a [f32], row: usize) -> (&'a [f32], usize) {
        let stride = self.strides().1;
        (&matrix[(self.group.start + row) * stride + self.kv * self.heads.dim..], stride)
    }

    /// Copies a block's rows of the queries, or of the output's gradient, for the query heads that share this key head:
    /// (repeats · rows, dim).
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

    /// Computes the attention weights of a block, (repeats · rows, keys), from scaled `queries`.
    fn weights(&self, block: &Block, queries: &[f32], out: &mut Vec<f32>) {
        let (m, keys, dim) = (queries.len() / self.heads.dim, block.keys(), self.heads.dim);
        out.clear();
        out.resize(m * keys, 0.0);
        if !block.prompt.is_empty() {
            let prompt = self.rows_of(self.k, block.prompt.start);
            gemm_nt((m, block.prompt.len(), dim), (out, keys), (queries, dim), prompt, false);
        }
        let part = self.rows_of(self.k, block.part.start);
        gemm_nt((m, block.part.len(), dim), (&mut out[block.prompt.len()..], keys), (queries, dim), part, false);
        for (index, row) in out.chunks_exact_mut(keys).enumerate() {
            let seen = block.seen(index % block.rows);
            softmax_in_place(&mut row[seen.clone()]);
            row[..seen.start].fill(0.0);
            row[seen.end..].fill(0.0);
        }
    }

    /// Computes `out (m, dim) = weights (m, keys) · matrix (keys, dim)`, where `matrix` is `k` or `v`.
    fn weighted_sum(&self, block: &Block, weights: &[f32], matrix: &'a [f32], out: &mut Vec<f32>) {
        let (keys, dim) = (block.keys(), self.heads.dim);
        let m = weights.len() / keys;
        out.clear();
        out.resize(m * dim, 0.0);
        let part = self.rows_of(matrix, block.part.start);
        gemm_nn((m, dim, block.part.len()), (out, dim), (&weights[block.prompt.len()..], keys), part, false);
        if !block.prompt.is_empty() {
            let prompt = self.rows_of(matrix, block.prompt.start);
            gemm_nn((m, dim, block.prompt.len()), (out, dim), (weights, keys), prompt, true);
        }
    }

    /// Computes `out (group rows, dim) += weights (m, keys)ᵀ · rows (m, dim)`: gradients of keys or values.
    fn accumulate(&self, block: &Block, weights: &[f32], rows: &[f32], out: &mut [f32]) {
        let (keys, dim) = (block.keys(), self.heads.dim);
        let m = weights.len() / keys;
        if !block.prompt.is_empty() {
            let prompt = (&mut out[block.prompt.start * dim..], dim);
            gemm_tn((block.prompt.len(), dim, m), prompt, (weights, keys), (rows, dim), true);
        }
        let part = (&mut out[block.part.start * dim..], dim);
        gemm_tn((block.part.len(), dim, m), part, (&weights[block.prompt.len()..], keys), (rows, dim), true);
    }

    /// Returns the output of this task, (group rows, repeats · dim).
    fn forward(&self) -> Vec<f32> {
        let width = self.heads.repeats() * self.heads.dim;
        let mut out = vec![0f32; self.group.rows() * width];
        let (mut queries, mut weights, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        for block in blocks(self.heads, self.group) {
            self.gather(self.q, &block, self.heads.scale as f32, &mut queries);
            self.weights(&block, &queries, &mut weights);
            self.weighted_sum(&block, &weights, self.v, &mut mixed);
            self.scatter_block(&block, &mixed, &mut out);
        }
        out
    }

    /// Copies a block's rows (repeats · rows, dim) to their places in `out` (group rows, repeats · dim).
    fn scatter_block(&self, block: &Block, from: &[f32], out: &mut [f32]) {
        let (dim, width) = (self.heads.dim, self.heads.repeats() * self.heads.dim);
        for (index, value) in from.chunks_exact(dim).enumerate() {
            let (repeat, row) = (index / block.rows, index % block.rows);
            out[(block.row + row) * width + repeat * dim..][..dim].copy_from_slice(value);
        }
    }

    /// Returns the gradients of this task: for queries (group rows, repeats · dim), for keys and values (group rows, dim).
    fn backward(&self, grad: &[f32]) -> [Vec<f32>; 3] {
        let (rows, dim) = (self.group.rows(), self.heads.dim);
        let scale = self.heads.scale as f32;
        let mut for_q = vec![0f32; rows * self.heads.repeats() * dim];
        let (mut for_k, mut for_v) = (vec![0f32; rows * dim], vec![0f32; rows * dim]);
        let (mut queries, mut weights, mut mixed) = (Vec::new(), Vec::new(), Vec::new());
        let (mut grads, mut for_weights) = (Vec::new(), Vec::new());
        for block in blocks(self.heads, self.group) {
            self.gather(self.q, &block, scale, &mut queries);
            self.weights(&block, &queries, &mut weights);
            self.gather(grad, &block, 1.0, &mut grads);
            self.accumulate(&block, &weights, &grads, &mut for_v);

            let (m, keys) = (weights.len() / block.keys(), block.keys());
            for_weights.clear();
            for_weights.resize(m * keys, 0.0);
            if !block.prompt.is_empty() {
                let prompt = self.rows_of(self.v, block.prompt.start);
                gemm_nt((m, block.prompt.len(), dim), (&mut for_weights, keys), (&grads, dim), prompt, false);
            }
            let part = (&mut for_weights[block.prompt.len()..], keys);
            gemm_nt((m, block.part.len(), dim), part, (&grads, dim), self.rows_of(self.v, block.part.start), false);
            softmax_backward(&weights, &mut for_weights, keys);

            // The gradient of the keys is scaled, because the queries are; that of the queries is scaled here.
            self.accumulate(&block, &for_weights, &queries, &mut for_k);
            self.weighted_sum(&block, &for_weights, self.k, &mut mixed);
            mixed.iter_mut().for_each(|value| *value *= scale);
            self.scatter_block(&block, &mixed, &mut for_q);
        }
        [for_q, for_k, for_v]
    }
}

vectorised! {
    /// Replaces the gradient of the weights by that of the scores: `p · (g − Σ p·g)`, row by row.
    fn softmax_backward(weights: &[f32], grad: &mut [f32], keys: usize) {
        for (weights, grad) in weights.chunks_exact(keys).zip(grad.chunks_exact_mut(keys)) {
            let mean = dot::<FMA>(weights, grad);
            for (grad, weight) in grad.iter_mut().zip(weights) {
                *grad = weight * (*grad - mean);
            }
        }
    }
}

/// Runs tasks in parallel if there is enough to compute.
fn run<'a, T: Send>(tasks: &[Task<'a>], work: impl Fn(&Task<'a>) -> T + Sync) -> Vec<T> {
    // Attention costs on the order of a hundred multiplications for each number of a query.
    if tasks.first().is_none_or(|task| task.q.len() < PARALLEL_ELEMENTS / 8) {
        return tasks.iter().map(work).collect();
    }
    tasks.par_iter().map(&work).collect()
}

/// Puts the results of all tasks, `part(task)` of (group rows, width), together: (rows, kv heads · width).
fn assemble<'a>(heads: Heads, groups: &[Group], width: usize, part: impl Fn(usize) -> &'a [f32] + Sync) -> Vec<f32> {
    let (rows, stride) = (groups.iter().map(Group::rows).sum::<usize>(), heads.kv * width);
    new_rows(rows * stride, stride, |first, out| {
        for (row, out) in (first..).zip(out.chunks_exact_mut(stride)) {
            // The groups lie one after the other, and the tasks of a group are those of its key heads.
            let group = groups.partition_point(|group| group.start <= row) - 1;
            let at = (row - groups[group].start) * width;
            for (kv, out) in out.chunks_exact_mut(width).enumerate() {
                out.copy_from_slice(&part(group * heads.kv + kv)[at..at + width]);
            }
        }
    })
}

/// Computes causal attention within each part of a packed batch, over the window of each query; completions attend to their
/// prompt too. `q` is (rows,
/// query heads · dim), `k` and `v` are (rows, kv heads · dim), and the result has the shape of `q`.
pub fn packed_attention(heads: Heads, groups: &[Group], q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let tasks = Task::all(heads, groups, q, k, v);
    let parts = run(&tasks, Task::forward);
    assemble(heads, groups, heads.repeats() * heads.dim, |task| parts[task].as_slice())
}

/// Returns the gradients of [`packed_attention`] for `q`, `k` and `v`.
pub fn packed_attention_backward(
    heads: Heads,
    groups: &[Group],
    q: &[f32],
    k: &[f32],
    v: &[f32],
    grad: &[f32],
) -> [Vec<f32>; 3] {
    let tasks = Task::all(heads, groups, q, k, v);
    let parts = run(&tasks, |task| task.backward(grad));
    let width = heads.repeats() * heads.dim;
    [(0, width), (1, heads.dim), (2, heads.dim)]
        .map(|(which, width)| assemble(heads, groups, width, |task| parts[task][which].as_slice()))
}

/// Rows of a decoding step that have their prompt in common: the places in the cache that they attend to, a range for each
/// block.
#[derive(Debug, Clone, PartialEq)]
pub struct CachedGroup {
    /// The places of the prompt.
    pub prompt: Vec<Range<usize>>,
    /// The other places of each row.
    pub own: Vec<Vec<Range<usize>>>,
}

/// The work of one thread: some rows of a group, for the query heads that share a key head.
struct CachedTask<'a> {
    /// The first of the rows.
    row: usize,
    kv: usize,
    prompt: &'a [Range<usize>],
    own: &'a [Vec<Range<usize>>],
}

/// Computes the attention of one decoding step over a cache of keys and values, `k` and `v` (places, kv heads · dim). The
/// rows of `q` (rows, query heads · dim) are those of `groups`, one group after another. The result has the shape of `q`,
/// and that of a row depends on nothing but its own query and places.
pub fn attend_cached(heads: Heads, q: &[f32], k: &[f32], v: &[f32], groups: &[CachedGroup]) -> Vec<f32> {
    let (stride, width) = (heads.query * heads.dim, heads.repeats() * heads.dim);
    // Four tasks for each thread balance the load if other work slows some threads down.
    let rows: usize = groups.iter().map(|group| group.own.len()).sum();
    let rows_of_task = (rows * heads.kv).div_ceil(4 * rayon::current_num_threads());
    let mut tasks = Vec::new();
    let mut row = 0;
    for group in groups {
        for own in group.own.chunks(rows_of_task.max(1)) {
            tasks.extend((0..heads.kv).map(|kv| CachedTask { row, kv, prompt: &group.prompt, own }));
            row += own.len();
        }
    }
    let attend = |task: &CachedTask<'_>| attend_rows(heads, &q[task.row * stride + task.kv * width..], k, v, task);
    let places = |group: &CachedGroup| -> usize {
        let own = group.own.iter().flatten().map(Range::len).sum::<usize>();
        own + group.own.len() * group.prompt.iter().map(Range::len).sum::<usize>()
    };
    let parts: Vec<Vec<f32>> = if groups.iter().map(places).sum::<usize>() * stride < PARALLEL_ELEMENTS {
        tasks.iter().map(attend).collect()
    } else {
        tasks.par_iter().map(attend).collect()
    };
    let mut out = vec![0f32; q.len()];
    for (task, part) in tasks.iter().zip(&parts) {
        for (index, value) in part.chunks_exact(width).enumerate() {
            out[(task.row + index) * stride + task.kv * width..][..width].copy_from_slice(value);
        }
    }
    out
}

vectorised! {
    /// Computes the attention of a task, (rows, repeats · dim). `q` begins at the first of them and has the rows of all
    /// heads. A range is a block of the cache, which stays close to the processor while all rows and heads read it.
    fn attend_rows(heads: Heads, q: &[f32], k: &[f32], v: &[f32], task: &CachedTask<'_>) -> Vec<f32> {
        let CachedTask { kv, prompt, own, .. } = *task;
        let width = heads.repeats() * heads.dim;
        let of_head = |pool| HeadPool { pool, stride: heads.kv * heads.dim, column: kv * heads.dim, dim: heads.dim };
        let (keys, values) = (of_head(k), of_head(v));
        let query = |row: usize| &q[row * heads.query * heads.dim..][..width];
        let scale = heads.scale as f32;
        let shared: usize = prompt.iter().map(Range::len).sum();
        let lens = own.iter().map(|own| shared + own.iter().map(Range::len).sum::<usize>());
        // The scores of each row, and then its weights: (repeats, places).
        let mut weights: Vec<Vec<f32>> = lens.map(|len| vec![0f32; heads.repeats() * len]).collect();
        let mut out = vec![0f32; weights.len() * width];

        let mut done = 0;
        for span in prompt {
            for (row, weights) in weights.iter_mut().enumerate() {
                keys.score::<FMA>(query(row), span, done, scale, weights);
            }
            done += span.len();
        }
        for (row, (weights, own)) in weights.iter_mut().zip(own).enumerate() {
            done = shared;
            for span in own {
                keys.score::<FMA>(query(row), span, done, scale, weights);
                done += span.len();
            }
            for weights in weights.chunks_exact_mut(done) {
                softmax_in_place(weights);
            }
        }
        done = 0;
        for span in prompt {
            for (weights, out) in weights.iter().zip(out.chunks_exact_mut(width)) {
                values.mix::<FMA>(weights, span, done, out);
            }
            done += span.len();
        }
        for ((weights, own), out) in weights.iter().zip(own).zip(out.chunks_exact_mut(width)) {
            done = shared;
            for span in own {
                values.mix::<FMA>(weights, span, done, out);
                done += span.len();
            }
        }
        out
    }
}

/// Numbers of an output that are summed at once: four vectors of AVX-512.
const STRIP: usize = 64;

/// The part of one key head in a pool of keys or values, (places, kv heads · dim).
#[derive(Clone, Copy)]
struct HeadPool<'a> {
    pool: &'a [f32],
    /// Elements of a place.
    stride: usize,
    /// First element of the head.
    column: usize,
    dim: usize,
}

impl<'a> HeadPool<'a> {
    #[inline(always)]
    fn row(self, place: usize) -> &'a [f32] {
        &self.pool[place * self.stride + self.column..][..self.dim]
    }

    /// Computes the scores of queries (repeats, dim) with the keys of a span, which is preceded by `done` places.
    #[inline(always)]
    fn score<const FMA: bool>(self, q: &[f32], span: &Range<usize>, done: usize, scale: f32, scores: &mut [f32]) {
        let len = scores.len() / (q.len() / self.dim);
        for (q, scores) in q.chunks_exact(self.dim).zip(scores.chunks_exact_mut(len)) {
            let scores = &mut scores[done..done + span.len()];
            // The usual widths are known to the compiler, which keeps their queries in registers.
            if let Ok(q) = <[f32; 64]>::try_from(q) {
                self.score_wide::<FMA, 64>(q, span, scale, scores);
            } else if let Ok(q) = <[f32; 128]>::try_from(q) {
                self.score_wide::<FMA, 128>(q, span, scale, scores);
            } else {
                for (score, place) in scores.iter_mut().zip(span.clone()) {
                    *score = dot::<FMA>(q, self.row(place)) * scale;
                }
            }
        }
    }

    /// Computes the scores of one query with the keys of a span. The numbers are those of [`dot`].
    #[inline(always)]
    fn score_wide<const FMA: bool, const DIM: usize>(
        self,
        q: [f32; DIM],
        span: &Range<usize>,
        scale: f32,
        scores: &mut [f32],
    ) {
        for (score, place) in scores.iter_mut().zip(span.clone()) {
            let Some(key) = self.row(place).first_chunk::<DIM>() else { return };
            let mut sums = [0f32; LANES];
            for at in 0..DIM / LANES {
                for lane in 0..LANES {
                    sums[lane] = fused::<FMA>(q[at * LANES + lane], key[at * LANES + lane], sums[lane]);
                }
            }
            *score = fold(sums) * scale;
        }
    }

    /// Adds the values of a span, which is preceded by `done` places, times their weights to `out` (repeats, dim).
    #[inline(always)]
    fn mix<const FMA: bool>(self, weights: &[f32], span: &Range<usize>, done: usize, out: &mut [f32]) {
        let len = weights.len() / (out.len() / self.dim);
        for (out, weights) in out.chunks_exact_mut(self.dim).zip(weights.chunks_exact(len)) {
            let weights = &weights[done..done + span.len()];
            let (strips, rest) = out.as_chunks_mut::<STRIP>();
            let mut first = 0;
            for strip in strips {
                // The sums stay in registers.
                let mut sums = *strip;
                for (weight, place) in weights.iter().zip(span.clone()) {
                    let values = &self.row(place)[first..first + STRIP];
                    for lane in 0..STRIP {
                        sums[lane] = fused::<FMA>(*weight, values[lane], sums[lane]);
                    }
                }
                *strip = sums;
                first += STRIP;
            }
            for (weight, place) in weights.iter().zip(span.clone()) {
                for (out, value) in rest.iter_mut().zip(&self.row(place)[first..]) {
                    *out = fused::<FMA>(*weight, *value, *out);
                }
            }
        }
    }
}
