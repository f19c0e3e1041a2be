//! Causal attention with grouped queries, over packed batches and over a decoding cache.

use std::sync::Arc;

use candle_core::{D, DType, Device, Result, Tensor};

use super::{
    floats::{kernels_apply, with_floats},
    function::{Value, function},
};
use crate::kernels::{self, Group, Heads};

/// Computes attention within the groups of a packed batch: `q` is (rows, query heads · dim), `k` and `v` are (rows, kv
/// heads · dim), and the result has the shape of `q`.
pub(crate) fn attend(heads: Heads, groups: &Arc<Vec<Group>>, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let _time = crate::profile::time("attention");
    if !kernels_apply(q) {
        return composed(heads, groups, q, k, v);
    }
    let value = with_floats([q, k, v], |[q, k, v]| kernels::packed_attention(heads, groups, q, k, v))?;
    let groups = groups.clone();
    function([q, k, v], Value::Floats(value, q.shape().clone()), move |[q, k, v], grad| {
        let _time = crate::profile::time("attention backward");
        let [for_q, for_k, for_v] = with_floats([q, k, v, grad], |[q, k, v, grad]| {
            kernels::packed_attention_backward(heads, &groups, q, k, v, grad)
        })?;
        let tensor = |values, like: &Tensor| Tensor::from_vec(values, like.shape(), like.device());
        Ok([Some(tensor(for_q, q)?), Some(tensor(for_k, k)?), Some(tensor(for_v, v)?)])
    })
}

/// Computes the same by padding: every prompt or completion becomes a row of a batch. Its keys are those of the prompt
/// and of itself, masked.
fn composed(heads: Heads, groups: &[Group], q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
    let parts: Vec<(usize, usize, usize, usize)> =
        groups.iter().flat_map(|g| g.parts().map(move |(row, rows, prompt)| (g.start, row, rows, prompt))).collect();
    let queries = parts.iter().map(|part| part.2).max().unwrap_or(0);
    let keys = parts.iter().map(|part| part.2 + part.3).max().unwrap_or(0);
    let (mut q_rows, mut k_rows, mut mask) = (Vec::new(), Vec::new(), Vec::new());
    let mut back = vec![0u32; q.dim(0)?];
    for (index, &(start, row, rows, prompt)) in parts.iter().enumerate() {
        // Padding reads row 0; the output of padding is never read.
        q_rows.extend((0..queries).map(|i| if i < rows { (start + row + i) as u32 } else { 0 }));
        k_rows.extend((0..keys).map(|j| match j {
            _ if j < prompt => (start + j) as u32,
            _ if j < prompt + rows => (start + row + j - prompt) as u32,
            _ => 0,
        }));
        mask.extend((0..queries).flat_map(|i| (0..keys).map(move |j| if j <= prompt + i { 0f32 } else { -1e30 })));
        (0..rows).for_each(|i| back[start + row + i] = (index * queries + i) as u32);
    }
    let (b, repeats, device) = (parts.len(), heads.repeats(), q.device());
    let index = |rows: Vec<u32>| Tensor::new(rows, device);
    let (k_rows, mask) = (index(k_rows)?, mask_tensor(mask, (b, 1, 1, queries, keys), q.dtype(), device)?);
    // The queries of one key head lie side by side, (b, kv, repeats · queries, dim), so that keys are not repeated.
    let q = q.index_select(&index(q_rows)?, 0)?.reshape((b, queries, heads.kv, repeats, heads.dim))?;
    let q = q.permute((0, 2, 3, 1, 4))?.reshape((b, heads.kv, repeats * queries, heads.dim))?;
    let pick =
        |x: &Tensor| x.index_select(&k_rows, 0)?.reshape((b, keys, heads.kv, heads.dim))?.transpose(1, 2)?.contiguous();
    let scores = (q.contiguous()?.matmul(&pick(k)?.t()?.contiguous()?)? * heads.scale())?;
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
fn softmax(x: &Tensor) -> Result<Tensor> {
    let weights = x.broadcast_sub(&x.max_keepdim(D::Minus1)?.detach())?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}

/// The keys and values of one layer while decoding. Sequences are aligned at their ends: in each step all write the same
/// column, and each begins at another column.
#[derive(Debug, Clone)]
pub(crate) struct Cache {
    keys: Tensor,
    values: Tensor,
    len: usize,
}

impl Cache {
    /// Creates a cache with the columns of `keys` and `values`, (sequences, kv heads, columns, dim), and room for
    /// `capacity` columns.
    pub(crate) fn new(keys: &Tensor, values: &Tensor, capacity: usize) -> Result<Self> {
        let len = keys.dim(2)?;
        let grow = |x: &Tensor| {
            let (sequences, heads, _, dim) = x.dims4()?;
            let room = Tensor::zeros((sequences, heads, capacity, dim), x.dtype(), x.device())?;
            room.slice_set(&x.contiguous()?, 2, 0)?;
            Ok::<_, candle_core::Error>(room)
        };
        Ok(Self { keys: grow(keys)?, values: grow(values)?, len })
    }

    /// Appends a step's keys and values, (sequences, kv heads · dim). A full cache grows by half.
    pub(crate) fn push(&mut self, k: &Tensor, v: &Tensor) -> Result<()> {
        let _time = crate::profile::time("cache");
        let (sequences, heads, capacity, dim) = self.keys.dims4()?;
        if self.len == capacity {
            *self = Self::new(&self.keys, &self.values, capacity + capacity / 2 + 16)?;
        }
        let column = |x: &Tensor| x.reshape((sequences, heads, 1, dim))?.contiguous();
        self.keys.slice_set(&column(k)?, 2, self.len)?;
        self.values.slice_set(&column(v)?, 2, self.len)?;
        self.len += 1;
        Ok(())
    }

    /// Computes the attention of one query for each sequence, `q` (sequences, query heads · dim), over the columns from
    /// `starts[sequence]` on.
    pub(crate) fn attend(&self, heads: Heads, q: &Tensor, starts: &[usize]) -> Result<Tensor> {
        let _time = crate::profile::time("attention");
        if kernels_apply(q) {
            let values = with_floats([q, &self.keys, &self.values], |[q, k, v]| {
                kernels::attend_cached(heads, q, k, v, starts, self.len)
            })?;
            return Tensor::from_vec(values, q.shape(), q.device());
        }
        let sequences = starts.len();
        let mask = starts.iter().flat_map(|start| (0..self.len).map(move |j| if j < *start { -1e30 } else { 0f32 }));
        let mask = mask_tensor(mask.collect(), (sequences, 1, 1, self.len), q.dtype(), q.device())?;
        let (keys, values) = (self.keys.narrow(2, 0, self.len)?, self.values.narrow(2, 0, self.len)?);
        let q4 = q.reshape((sequences, heads.kv, heads.repeats(), heads.dim))?;
        let scores = (q4.matmul(&keys.t()?.contiguous()?)? * heads.scale())?;
        let weights = softmax(&scores.broadcast_add(&mask)?)?;
        weights.matmul(&values.contiguous()?)?.reshape(q.shape())
    }

    /// Keeps only the sequences with these indices, in this order.
    pub(crate) fn keep(&mut self, indices: &Tensor) -> Result<()> {
        self.keys = self.keys.index_select(indices, 0)?;
        self.values = self.values.index_select(indices, 0)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::twins::{compare, noise},
        *,
    };

    #[test]
    fn kernel_and_twin_agree() {
        let heads = Heads { query: 6, kv: 2, dim: 4 };
        // The groups cover parts longer than a block of queries, a group without completions, and completions of no row
        // and of one row.
        let groups = Arc::new(vec![
            Group { start: 0, prompt: 5, completions: vec![3, 0, 1, 70] },
            Group { start: 79, prompt: 130, completions: vec![] },
        ]);
        let arguments = [noise(&[209, 24], 1), noise(&[209, 8], 2), noise(&[209, 8], 3)];
        compare(&arguments, |args| attend(heads, &groups, &args[0], &args[1], &args[2]));
    }

    #[test]
    fn decoding_kernel_and_twin_agree() {
        let heads = Heads { query: 4, kv: 2, dim: 6 };
        let run = |dtype| {
            let tensor = |shape: &[usize], seed| noise(shape, seed).to_dtype(dtype).unwrap();
            let mut cache = Cache::new(&tensor(&[3, 2, 5, 6], 1), &tensor(&[3, 2, 5, 6], 2), 5).unwrap();
            for step in 0..3 {
                cache.push(&tensor(&[3, 12], 10 + step), &tensor(&[3, 12], 20 + step)).unwrap();
            }
            cache.keep(&Tensor::new(&[2u32, 0], &Device::Cpu).unwrap()).unwrap();
            let out = cache.attend(heads, &tensor(&[2, 24], 5), &[0, 3]).unwrap();
            out.to_dtype(DType::F64).unwrap()
        };
        let error = (run(DType::F32) - run(DType::F64)).unwrap().abs().unwrap().max_all().unwrap();
        assert!(error.to_scalar::<f64>().unwrap() < 1e-6);
    }
}
