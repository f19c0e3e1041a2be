//! Causal attention with grouped queries over packed batches. Attention over a decoding cache is in [`super::cache`].

use alft_kernels::{self as kernels, Group, Heads};
use std::sync::{Arc, OnceLock};

use candle_core::{D, DType, Device, Result, Tensor};

use super::{
    floats::with_floats,
    function::{Value, function},
    gather::{Gather, ZERO_ROW},
    path::{Op, Path},
};
use crate::{cuda, profile};

/// The groups of a packed batch, with the tables that attention on a device needs. The tables are made once and serve all
/// layers.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    groups: Vec<Group>,
    /// Those of layers whose queries attend to all keys, and of those with the model's sliding window.
    padded: [OnceLock<Padded>; 2],
    tiles: OnceLock<cuda::attention::Tiles>,
}

impl Packed {
    /// Creates the description of a batch with these groups, in the order of the rows.
    pub(crate) fn new(groups: Vec<Group>) -> Self {
        Self { groups, ..Self::default() }
    }

    fn padded(&self, heads: Heads, like: &Tensor) -> Result<&Padded> {
        let cell = &self.padded[usize::from(heads.slide())];
        if let Some(padded) = cell.get() {
            return Ok(padded);
        }
        let padded = Padded::new(&self.groups, heads, like)?;
        Ok(cell.get_or_init(|| padded))
    }

    fn tiles(&self, device: &Device) -> Result<&cuda::attention::Tiles> {
        if let Some(tiles) = self.tiles.get() {
            return Ok(tiles);
        }
        let tiles = cuda::attention::Tiles::new(&self.groups, device)?;
        Ok(self.tiles.get_or_init(|| tiles))
    }
}

/// Computes attention within the groups of a packed batch: `q` is (rows, query heads · dim), `k` and `v` are (rows, kv
/// heads · dim), and the result has the shape of `q`.
pub(crate) fn attend(heads: Heads, packed: &Arc<Packed>, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let _time = profile::time("attention");
    let out = match path(heads, q) {
        Path::CpuKernel => {
            let value = with_floats([q, k, v], |[q, k, v]| kernels::packed_attention(heads, &packed.groups, q, k, v))?;
            let packed = packed.clone();
            return function([q, k, v], Value::Floats(value, q.shape().clone()), move |[q, k, v], grad| {
                Ok(on_cpu_backward(heads, &packed, q, k, v, grad)?.map(Some))
            });
        }
        Path::CudaKernel => cuda::attention::forward(heads, packed.tiles(q.device())?, q, k, v)?,
        Path::Fused => padded_attention(heads, packed, &q.detach(), &k.detach(), &v.detach())?,
        Path::Composed => return composed(heads, &packed.groups, q, k, v),
    };
    let (packed, value) = (packed.clone(), out.clone());
    function([q, k, v], Value::Tensor(value), move |[q, k, v], grad| {
        Ok(attend_backward(heads, &packed, q, k, v, &out, grad)?.map(Some))
    })
}

/// Returns the gradients of [`attend`] for `q`, `k` and `v`, given its value `out` and the gradient of it. The attention
/// weights are computed again, so nothing of their size is kept between the passes.
pub(crate) fn attend_backward(
    heads: Heads,
    packed: &Packed,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let _time = profile::time("attention backward");
    let [q, k, v, out, grad] = [q, k, v, out, grad].map(Tensor::detach);
    match path(heads, &q) {
        Path::CpuKernel => on_cpu_backward(heads, packed, &q, &k, &v, &grad),
        Path::CudaKernel => cuda::attention::backward(heads, packed.tiles(q.device())?, &q, &k, &v, &out, &grad),
        Path::Fused | Path::Composed => padded_backward(heads, packed, &q, &k, &v, &out, &grad),
    }
}

/// Returns the implementation for these heads.
fn path(heads: Heads, q: &Tensor) -> Path {
    match Path::of(Op::Attention, q) {
        Path::CudaKernel if !cuda::attention::supports(heads, q.dtype()) => Path::Fused,
        path => path,
    }
}

fn on_cpu_backward(
    heads: Heads,
    packed: &Packed,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let [for_q, for_k, for_v] = with_floats([q, k, v, grad], |[q, k, v, grad]| {
        kernels::packed_attention_backward(heads, &packed.groups, q, k, v, grad)
    })?;
    let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
    Ok([tensor(for_q, q)?, tensor(for_k, k)?, tensor(for_v, v)?])
}

/// The layout in which candle's operations compute attention: every prompt or completion is a row of a batch, padded to
/// the longest, and its keys are those of the prompt and of itself. The queries of one key head lie side by side, so that
/// keys are not repeated.
#[derive(Debug)]
struct Padded {
    /// From heads of packed rows, (rows · query heads, dim), to (parts, kv heads, repeats, queries, dim).
    queries: Gather,
    /// From heads of packed rows, (rows · kv heads, dim), to (parts, kv heads, keys, dim).
    keys: Gather,
    /// 0 or a large negative number for each score, (parts · kv heads, repeats · queries, keys). It is as large as the
    /// scores of a layer, because adding a broadcast mask takes a device three times as long.
    mask: Tensor,
}

impl Padded {
    fn new(groups: &[Group], heads: Heads, like: &Tensor) -> Result<Self> {
        let (parts, queries, keys) = parts(groups);
        let (device, repeats) = (like.device(), heads.repeats());
        let (mut query_rows, mut key_rows) = (Vec::new(), Vec::new());
        let mut mask = Vec::with_capacity(parts.len() * queries * keys);
        for part in &parts {
            for kv in 0..heads.kv {
                for head in kv * repeats..(kv + 1) * repeats {
                    query_rows.extend((0..queries).map(|i| match part.query_row(i) {
                        Some(row) => (row * heads.query + head) as u32,
                        None => ZERO_ROW,
                    }));
                }
                key_rows.extend((0..keys).map(|j| match part.key_row(j) {
                    Some(row) => (row * heads.kv + kv) as u32,
                    None => ZERO_ROW,
                }));
            }
            mask.extend((0..queries).flat_map(|i| (0..keys).map(move |j| part.mask(heads, i, j))));
        }
        let mask = mask_tensor(mask, (parts.len(), 1, 1, queries, keys), like.dtype(), device)?;
        let mask = mask.broadcast_as((parts.len(), heads.kv, repeats, queries, keys))?.contiguous()?;
        let rows = like.dim(0)?;
        Ok(Self {
            queries: Gather::new(&query_rows, rows * heads.query, device)?,
            keys: Gather::new(&key_rows, rows * heads.kv, device)?,
            mask: mask.reshape((parts.len() * heads.kv, repeats * queries, keys))?,
        })
    }

    /// Brings heads of packed rows into the padded layout of queries.
    fn pad_queries(&self, heads: Heads, x: &Tensor) -> Result<Tensor> {
        let (batch, queries, _) = self.mask.dims3()?;
        let width = x.elem_count() / (x.dim(0)? * heads.query);
        self.queries.forward(&x.contiguous()?.reshape(((), width))?)?.reshape((batch, queries, width))
    }

    fn pad_keys(&self, heads: Heads, x: &Tensor) -> Result<Tensor> {
        let (batch, _, keys) = self.mask.dims3()?;
        self.keys.forward(&x.contiguous()?.reshape(((), heads.dim))?)?.reshape((batch, keys, heads.dim))
    }

    /// Computes the attention weights of padded queries, already scaled, and padded keys.
    fn weights(&self, q: &Tensor, k: &Tensor) -> Result<Tensor> {
        let scores = (q.matmul(&k.t()?)? + self.mask.to_dtype(q.dtype())?)?;
        candle_nn::ops::softmax_last_dim(&scores)
    }
}

fn padded_attention(heads: Heads, packed: &Packed, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let padded = packed.padded(heads, q)?;
    let scaled = (padded.pad_queries(heads, q)? * heads.scale)?;
    let weights = padded.weights(&scaled, &padded.pad_keys(heads, k)?)?;
    let out = weights.matmul(&padded.pad_keys(heads, v)?)?;
    padded.queries.reverse(&out.reshape(((), heads.dim))?)?.reshape(q.shape())
}

fn padded_backward(
    heads: Heads,
    packed: &Packed,
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    out: &Tensor,
    grad: &Tensor,
) -> Result<[Tensor; 3]> {
    let padded = packed.padded(heads, q)?;
    let scaled = (padded.pad_queries(heads, q)? * heads.scale)?;
    let (keys, values) = (padded.pad_keys(heads, k)?, padded.pad_keys(heads, v)?);
    let weights = padded.weights(&scaled, &keys)?;
    let for_out = padded.pad_queries(heads, grad)?;
    // The mean gradient of a row's weights is that of its output along the output itself, which is a sum over the width of a
    // head in place of one over all keys.
    let wide = if q.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
    let mean = (out.to_dtype(wide)? * grad.to_dtype(wide)?)?.reshape(((), heads.dim))?.sum_keepdim(D::Minus1)?;
    let mean = padded.pad_queries(heads, &mean.reshape((q.dim(0)?, heads.query))?)?.to_dtype(q.dtype())?;
    let for_weights = for_out.matmul(&values.t()?)?;
    let for_scores = (for_weights.broadcast_sub(&mean)? * &weights)?;
    let for_q = (for_scores.matmul(&keys)? * heads.scale)?;
    let for_k = for_scores.t()?.matmul(&scaled)?;
    let for_v = weights.t()?.matmul(&for_out)?;
    let rows = |x: Tensor| x.reshape(((), heads.dim));
    Ok([
        padded.queries.reverse(&rows(for_q)?)?.reshape(q.shape())?,
        padded.keys.reverse(&rows(for_k)?)?.reshape(k.shape())?,
        padded.keys.reverse(&rows(for_v)?)?.reshape(v.shape())?,
    ])
}

/// A prompt or a completion of a packed batch.
struct Part {
    /// First row in the batch.
    row: usize,
    rows: usize,
    /// First row of its prompt, and number of prompt rows that it attends to in addition.
    start: usize,
    prompt: usize,
}

impl Part {
    fn query_row(&self, i: usize) -> Option<usize> {
        (i < self.rows).then_some(self.row + i)
    }

    fn key_row(&self, j: usize) -> Option<usize> {
        match j {
            _ if j < self.prompt => Some(self.start + j),
            _ if j < self.prompt + self.rows => Some(self.row + j - self.prompt),
            _ => None,
        }
    }

    fn mask(&self, heads: Heads, i: usize, j: usize) -> f32 {
        let position = self.prompt + i;
        if (heads.first_seen(position)..=position).contains(&j) { 0.0 } else { -1e30 }
    }
}

/// Returns the parts of a batch, and the largest numbers of queries and of keys of one part.
fn parts(groups: &[Group]) -> (Vec<Part>, usize, usize) {
    let of_group = |group: &'_ Group| {
        let start = group.start;
        let parts = group.parts().map(move |(row, rows, prompt)| Part { row: start + row, rows, start, prompt });
        parts.collect::<Vec<_>>()
    };
    let parts: Vec<Part> = groups.iter().flat_map(of_group).collect();
    let queries = parts.iter().map(|part| part.rows).max().unwrap_or(0);
    let keys = parts.iter().map(|part| part.prompt + part.rows).max().unwrap_or(0);
    (parts, queries, keys)
}

/// Computes the same with candle's tracked operations.
fn composed(heads: Heads, groups: &[Group], q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let (parts, queries, keys) = parts(groups);
    let (mut q_rows, mut k_rows, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    let mut back = vec![0u32; q.dim(0)?];
    for (index, part) in parts.iter().enumerate() {
        // Padding reads row 0; the output of padding is never read.
        q_rows.extend((0..queries).map(|i| part.query_row(i).unwrap_or(0) as u32));
        k_rows.extend((0..keys).map(|j| part.key_row(j).unwrap_or(0) as u32));
        mask.extend((0..queries).flat_map(|i| (0..keys).map(move |j| part.mask(heads, i, j))));
        (0..part.rows).for_each(|i| back[part.row + i] = (index * queries + i) as u32);
    }
    let (b, repeats, device) = (parts.len(), heads.repeats(), q.device());
    let index = |rows: Vec<u32>| Tensor::new(rows, device);
    let (k_rows, mask) = (index(k_rows)?, mask_tensor(mask, (b, 1, 1, queries, keys), q.dtype(), device)?);
    // The queries of one key head lie side by side, (b, kv, repeats · queries, dim), so that keys are not repeated.
    let q = q.index_select(&index(q_rows)?, 0)?.reshape((b, queries, heads.kv, repeats, heads.dim))?;
    let q = q.permute((0, 2, 3, 1, 4))?.reshape((b, heads.kv, repeats * queries, heads.dim))?;
    let pick =
        |x: &Tensor| x.index_select(&k_rows, 0)?.reshape((b, keys, heads.kv, heads.dim))?.transpose(1, 2)?.contiguous();
    let scores = (q.contiguous()?.matmul(&pick(k)?.t()?.contiguous()?)? * heads.scale)?;
    let scores = scores.reshape((b, heads.kv, repeats, queries, keys))?.broadcast_add(&mask)?;
    let weights = softmax(&scores)?.reshape((b, heads.kv, repeats * queries, keys))?;
    let out = weights.matmul(&pick(v)?)?.reshape((b, heads.kv, repeats, queries, heads.dim))?;
    let out = out.permute((0, 3, 1, 2, 4))?.reshape((b * queries, heads.query * heads.dim))?;
    out.index_select(&index(back)?, 0)
}

fn mask_tensor(mask: Vec<f32>, shape: impl Into<candle_core::Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    Tensor::from_vec(mask, shape.into(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}

/// Computes the softmax over the last dimension, by tracked operations.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    let weights = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn every_implementation_agrees_with_the_twin() {
        // The groups cover parts longer than a block of queries, a group without completions, and completions of no row
        // and of one row. A device multiplies heads of a multiple of 8 elements on its tensor cores, in tiles of 32 rows. The
        // window begins in prompts, in completions, and within tiles.
        for (dim, long, longer, window) in
            [(4, 70, 130, usize::MAX), (24, 37, 45, usize::MAX), (8, 33, 40, 20), (4, 3, 9, 1), (136, 3, 9, 7)]
        {
            let rows = 9 + long + longer;
            let groups = vec![
                Group { start: 0, prompt: 5, completions: vec![3, 0, 1, long] },
                Group { start: 9 + long, prompt: longer, completions: vec![] },
            ];
            let heads = Heads { window, scale: 0.4, ..Heads::new(6, 2, dim) };
            let arguments = [noise(&[rows, 6 * dim], 1), noise(&[rows, 2 * dim], 2), noise(&[rows, 2 * dim], 3)];
            compare(&arguments, |args| {
                attend(heads, &Arc::new(Packed::new(groups.clone())), &args[0], &args[1], &args[2])
            });
        }
    }
}
