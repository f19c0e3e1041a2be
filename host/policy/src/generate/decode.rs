//! Decoding: each prompt is computed once, then one token at a time, with keys and values kept in a cache.

use std::sync::Arc;

use candle_core::Tensor;

use crate::{
    error::Result,
    model::{batch::Batch, transformer::Transformer},
    ops::{Cache, Packed, attend},
};

/// A set of sequences that are decoded together, one token a step.
pub(crate) struct Decoder<'a> {
    model: &'a Transformer,
    /// The keys and values of each layer.
    caches: Vec<Cache>,
    /// Column of the cache at which each sequence begins; sequences are aligned at their ends.
    starts: Vec<usize>,
    /// Number of columns in use.
    len: usize,
}

impl<'a> Decoder<'a> {
    /// Computes each of `prompts` once, and begins one sequence for each of `prompt_of`, the index of its prompt. Returns
    /// the logits of each sequence's next token, (sequences, vocabulary). `model` must be detached; `capacity` is the
    /// number of tokens that fit before the cache grows.
    pub(crate) fn begin(
        model: &'a Transformer,
        prompts: &[&[u32]],
        prompt_of: &[usize],
        capacity: usize,
    ) -> Result<(Self, Tensor)> {
        let batch = Batch::from_prompts(prompts);
        let len = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let starts: Vec<usize> = prompt_of.iter().map(|&prompt| len - prompts[prompt].len()).collect();

        // The row of the batch for each column of each sequence. Columns before the beginning of a sequence repeat its first
        // row, which attention never reads there.
        let columns = prompt_of.iter().zip(&starts).flat_map(|(&prompt, &start)| {
            let first = batch.groups[prompt].start;
            (0..len)
                .map(move |column| (first + column).saturating_sub(start) as u32)
                .map(move |row| row.max(first as u32))
        });
        let columns = Tensor::new(columns.collect::<Vec<u32>>(), model.device())?;
        let heads = model.heads();
        let gather = |x: &Tensor| {
            let columns = x.index_select(&columns, 0)?;
            columns.reshape((prompt_of.len(), len, heads.kv, heads.dim))?.transpose(1, 2)
        };

        let packed = Arc::new(Packed::new(batch.groups.clone()));
        let mut caches = Vec::new();
        let hidden = model.hidden_states(&batch.tokens, &batch.positions, |_, q, k, v| {
            caches.push(Cache::new(&gather(k)?, &gather(v)?, len + capacity)?);
            attend(heads, &packed, q, k, v)
        })?;
        let last: Vec<u32> = prompt_of.iter().map(|&prompt| batch.predictors[prompt]).collect();
        let logits = model.logits(&hidden.index_select(&Tensor::new(last, model.device())?, 0)?)?;
        Ok((Self { model, caches, starts, len }, logits))
    }

    /// Appends one token to each sequence. Returns the logits of the next, (sequences, vocabulary).
    pub(crate) fn step(&mut self, tokens: &[u32]) -> Result<Tensor> {
        let positions: Vec<usize> = self.starts.iter().map(|start| self.len - start).collect();
        let (heads, starts, caches) = (self.model.heads(), &self.starts, &mut self.caches);
        let hidden = self.model.hidden_states(tokens, &positions, |layer, q, k, v| {
            caches[layer].push(k, v)?;
            caches[layer].attend(heads, q, starts)
        })?;
        self.len += 1;
        Ok(self.model.logits(&hidden)?)
    }

    /// Keeps only the sequences with these indices, in this order.
    pub(crate) fn keep(&mut self, indices: &[usize]) -> Result<()> {
        let ids: Vec<u32> = indices.iter().map(|&index| index as u32).collect();
        let ids = Tensor::new(ids, self.model.device())?;
        for cache in &mut self.caches {
            cache.keep(&ids)?;
        }
        self.starts = indices.iter().map(|&index| self.starts[index]).collect();
        Ok(())
    }
}
