//! Decoding: a prompt is computed once, then one token at a time with what was computed kept in a cache.

use std::sync::Arc;

use candle_core::Tensor;

use crate::{
    error::Result,
    ops::{Cache, attend},
    packed::Packed,
    transformer::Transformer,
};

/// Texts being continued, all in step.
pub(crate) struct Decoder<'a> {
    model: &'a Transformer,
    caches: Vec<Cache>,
    /// The column of the cache at which each text begins: texts are aligned at their ends.
    starts: Vec<usize>,
    /// Columns in use.
    len: usize,
}

impl<'a> Decoder<'a> {
    /// Computes `prompts`, each once, and begins one text for each of `texts`, which names its prompt. Returns the
    /// logits of what follows each text, (texts, vocabulary). `model` must be detached; `room` is the number of tokens
    /// there is space for at first.
    pub(crate) fn begin(
        model: &'a Transformer,
        prompts: &[&[u32]],
        texts: &[usize],
        room: usize,
    ) -> Result<(Self, Tensor)> {
        let packed = Packed::of_prompts(prompts);
        let len = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let starts: Vec<usize> = texts.iter().map(|&text| len - prompts[text].len()).collect();

        // The row of the packed batch in each column of each text; columns before a text's first read row 0, unseen.
        let columns = texts.iter().zip(&starts).flat_map(|(&text, &start)| {
            let first = packed.groups[text].start;
            (0..len)
                .map(move |column| (first + column).saturating_sub(start) as u32)
                .map(move |row| row.max(first as u32))
        });
        let columns = Tensor::new(columns.collect::<Vec<u32>>(), model.device())?;
        let heads = model.heads();
        let spread = |x: &Tensor| {
            let columns = x.index_select(&columns, 0)?;
            columns.reshape((texts.len(), len, heads.kv, heads.dim))?.transpose(1, 2)
        };

        let groups = Arc::new(packed.groups.clone());
        let mut caches = Vec::new();
        let hidden = model.hidden_states(&packed.tokens, &packed.positions, |_, q, k, v| {
            caches.push(Cache::new(&spread(k)?, &spread(v)?, len + room)?);
            attend(heads, &groups, q, k, v)
        })?;
        let last: Vec<u32> = texts.iter().map(|&text| packed.predictors[text]).collect();
        let logits = model.logits(&hidden.index_select(&Tensor::new(last, model.device())?, 0)?)?;
        Ok((Self { model, caches, starts, len }, logits))
    }

    /// Appends one token to each text. Returns the logits of what follows, (texts, vocabulary).
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

    /// Goes on with these texts alone, in this order.
    pub(crate) fn keep(&mut self, texts: &[usize]) -> Result<()> {
        let ids: Vec<u32> = texts.iter().map(|&text| text as u32).collect();
        let ids = Tensor::new(ids, self.model.device())?;
        for cache in &mut self.caches {
            cache.keep(&ids)?;
        }
        self.starts = texts.iter().map(|&text| self.starts[text]).collect();
        Ok(())
    }
}
