//! The computation of prompts, and of one token for each sequence, over a cache of keys and values.
//!
//! On the CPU a row has the same bits whatever rows are computed with it: every product with packed weights computes a row
//! by itself, and so do attention and the operations on elements.

use std::{collections::VecDeque, ops::Range, sync::Arc};

use candle_core::Tensor;

use crate::{
    error::Result,
    generate::{
        config::SampleConfig,
        draw::{Draw, Drawn, draw_rows},
        recorded::RecordedSteps,
        row::{PromptRows, Row, RowToken},
    },
    model::{batch::Batch, decoding::DecodingModel},
    ops::{Cache, Packed, Places, Reads, Writes, attend},
};

/// Largest number of rows of a pass over several prompts. It bounds the memory of activations.
pub(crate) const PROMPT_ROWS: usize = 2048;

/// Longest prompt that the kernels of a step compute. They read the keys of each row anew, so longer prompts are quicker with
/// attention over tiles, and shorter ones with fewer launches. Tests have shorter ones, because an emulated device is slow.
const STEP_PROMPT: usize = if cfg!(test) { 60 } else { 1024 };

/// A model with its cache.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    model: &'a DecodingModel,
    /// The cache of each layer.
    caches: Vec<Cache>,
    config: &'a SampleConfig,
    /// The steps on a device; `None` where the model has no kernels for them.
    recorded: Option<RecordedSteps>,
    /// The tokens of steps without kernels, until they are read.
    computed: VecDeque<Vec<Option<Drawn>>>,
    /// True if it pays to begin a step before the one before is read.
    pub(crate) runs_ahead: bool,
}

impl<'a> Decoder<'a> {
    /// Creates a decoder with a cache of `blocks` blocks, for steps of at most `rows` rows and prompts of at most
    /// `longest_prompt` tokens.
    pub(crate) fn new(
        model: &'a DecodingModel,
        blocks: usize,
        rows: usize,
        longest_prompt: usize,
        config: &'a SampleConfig,
    ) -> Result<Self> {
        let recorded = model.has_step().then(|| RecordedSteps::new(model, blocks, rows, longest_prompt, config));
        let recorded = recorded.transpose()?;
        let blocks = blocks + recorded.as_ref().map_or(0, |_| RecordedSteps::SPARE_BLOCKS);
        let transformer = model.transformer();
        let (dtype, device) = (transformer.dtype(), transformer.device());
        let cache = |layer| Cache::new(blocks, transformer.heads(layer), dtype, device);
        let caches = (0..transformer.layer_count()).map(cache).collect::<Result<Vec<_>, _>>()?;
        // The penalty needs the tokens on the CPU, and a CPU has no time to spare for rows that may have ended.
        let runs_ahead = recorded.is_some() && config.repetition_penalty == 1.0;
        Ok(Self { model, caches, config, recorded, computed: VecDeque::new(), runs_ahead })
    }

    /// Computes prompts and writes their keys and values to the cache. Returns the logits of each prompt's next token,
    /// (prompts, vocabulary).
    pub(crate) fn prompts(&self, prompts: &[PromptRows<'_>]) -> Result<Tensor> {
        let passes = passes(prompts.iter().map(|prompt| prompt.tokens.len()), PROMPT_ROWS);
        let logits = passes.into_iter().map(|pass| self.prompt_pass(&prompts[pass])).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::cat(&logits, 0)?)
    }

    fn prompt_pass(&self, prompts: &[PromptRows<'_>]) -> Result<Tensor> {
        let tokens: Vec<&[u32]> = prompts.iter().map(|prompt| prompt.tokens).collect();
        let batch = Batch::from_prompts(&tokens);
        let model = self.model.transformer();
        let short = prompts.iter().all(|prompt| prompt.tokens.len() <= STEP_PROMPT);
        let hidden = match &self.recorded {
            Some(steps) if short => steps.prompts(self.model, &self.caches, prompts)?,
            _ => {
                let packed = Arc::new(Packed::new(batch.groups));
                let places = prompts
                    .iter()
                    .flat_map(|prompt| (0..prompt.tokens.len()).map(move |index| prompt.places.place(index)));
                let writes = Writes::new(places.collect());
                self.model.hidden_states(&batch.tokens, &batch.positions, |layer, q, k, v| {
                    self.caches[layer].write(&writes, k, v)?;
                    attend(model.heads(layer), &packed, q, k, v)
                })?
            }
        };
        let last = Tensor::new(batch.predictors, model.device())?;
        Ok(self.model.logits(&hidden.index_select(&last, 0)?)?)
    }

    /// Begins a step: to compute a token of each sequence, whose prompts were computed before, and to draw the next one. At
    /// most one step may have begun before.
    pub(crate) fn begin(&mut self, rows: &[Row<'_>], draws: &[Draw<'_>]) -> Result<()> {
        match &mut self.recorded {
            Some(recorded) => recorded.begin(self.model, &self.caches, rows, draws, self.config),
            None => {
                let drawn = draw_rows(&self.logits(rows)?, draws, self.config)?;
                self.computed.push_back(drawn);
                Ok(())
            }
        }
    }

    /// Returns the tokens of the oldest step that has begun and was not read.
    pub(crate) fn read(&mut self) -> Result<Vec<Option<Drawn>>> {
        match &mut self.recorded {
            Some(recorded) => recorded.read(),
            None => Ok(self.computed.pop_front().unwrap_or_default()),
        }
    }

    /// Computes a token of each sequence. Returns the logits of the next token, (rows, vocabulary).
    pub(crate) fn logits(&self, rows: &[Row<'_>]) -> Result<Tensor> {
        let model = self.model.transformer();
        let tokens: Vec<u32> = rows.iter().map(|row| self.token(row)).collect();
        let positions: Vec<usize> = rows.iter().map(Row::position).collect();
        let writes = Writes::new(rows.iter().map(Row::place).collect());
        let parts: Vec<[&Places; 2]> = rows.iter().map(|row| [row.prompt, row.own]).collect();
        let all = Reads::new(&parts, usize::MAX);
        let windowed = model.window().map(|window| Reads::new(&parts, window));
        let hidden = self.model.hidden_states(&tokens, &positions, |layer, q, k, v| {
            self.caches[layer].write(&writes, k, v)?;
            let heads = model.heads(layer);
            self.caches[layer].attend(heads, q, windowed.as_ref().filter(|_| heads.slide()).unwrap_or(&all))
        })?;
        Ok(self.model.logits(&hidden)?)
    }

    /// Returns the token of a row. A row that drew none goes on with any: nobody will read it.
    fn token(&self, row: &Row<'_>) -> u32 {
        match row.token {
            RowToken::Known(token) => token,
            RowToken::Drawn(row) => {
                let drawn = self.computed.back().and_then(|drawn| *drawn.get(row)?);
                drawn.map_or(0, |drawn| drawn.token)
            }
        }
    }
}

/// Splits prompts of these lengths into passes over neighbours, of at most `most` rows or one prompt.
fn passes(lengths: impl Iterator<Item = usize>, most: usize) -> Vec<Range<usize>> {
    let mut passes: Vec<Range<usize>> = Vec::new();
    let mut rows = 0;
    for (index, length) in lengths.enumerate() {
        match passes.last_mut() {
            Some(pass) if rows + length <= most => {
                pass.end += 1;
                rows += length;
            }
            _ => {
                passes.push(index..index + 1);
                rows = length;
            }
        }
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_has_few_rows_or_one_prompt() {
        let lengths = [30, 34, 1, 65, 1, 63, 1, 200, 64];
        assert_eq!(passes(lengths.into_iter(), 64), [0..2, 2..3, 3..4, 4..6, 6..7, 7..8, 8..9]);
        assert!(passes([].into_iter(), 64).is_empty());
    }
}
