//! The work that a part cannot avoid: operations of its matrix products, and bytes that must be read at least once.
//!
//! With M the weights of the layers' projections and H those of the head, a token costs `2 M` operations and `4 · heads ·
//! dim` for each pair of a query and a key in a layer; a predicted token costs `2 H` more. The gradient of the inputs
//! costs the same again, and so does that of the weights. Norms, rotations and the drawing of tokens are not counted,
//! and neither is anything computed twice.

use super::config::{BenchConfig, Part};
use crate::model::config::ModelConfig;

/// The least work of one repetition of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Work {
    /// Floating-point operations.
    pub(super) flops: f64,
    /// Bytes of memory.
    pub(super) bytes: f64,
}

/// Bytes of stored numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Bytes of a weight.
    pub(super) weight: usize,
    /// Bytes of any other number.
    pub(super) number: usize,
}

/// The sizes that decide the work.
struct Sizes {
    /// Weights of the projections of all layers.
    layers: f64,
    /// Weights of the head.
    head: f64,
    /// Operations for each pair of a query and a key, in all layers.
    pair: f64,
    /// Numbers that the cache holds for a token, in all layers.
    cached: f64,
}

impl Sizes {
    fn of(config: &ModelConfig) -> Self {
        let (hidden, inner, layers) = (config.hidden_size, config.intermediate_size, config.layers);
        let (q, kv) = (config.heads * config.head_dim, config.kv_heads * config.head_dim);
        Self {
            layers: (layers * hidden * (2 * q + 2 * kv + 3 * inner)) as f64,
            head: (config.vocab_size * hidden) as f64,
            pair: (4 * layers * q) as f64,
            cached: (2 * layers * kv) as f64,
        }
    }

    fn forward(&self, rows: f64, pairs: f64, predicted: f64) -> f64 {
        2.0 * (self.layers * rows + self.head * predicted) + self.pair * pairs
    }
}

/// Returns the work of a repetition of `part` with a batch of this many sequences.
pub(super) fn least(part: Part, batch: usize, model: &ModelConfig, config: &BenchConfig, widths: Widths) -> Work {
    let sizes = Sizes::of(model);
    let weights = widths.weight as f64 * (sizes.layers + sizes.head);
    let (prompt, completion) = (config.prompt_tokens as f64, config.completion_tokens as f64);
    let prompts = batch.div_ceil(config.group) as f64;
    let batch = batch as f64;
    if part == Part::Decode {
        // The first token is that of the prompt's pass, which is not part of decoding.
        let steps = (config.new_tokens - 1) as f64;
        let context = prompt + steps / 2.0;
        let cache = widths.number as f64 * sizes.cached * (prompts * prompt + batch * steps / 2.0);
        return Work { flops: steps * sizes.forward(batch, batch * context, batch), bytes: steps * (weights + cache) };
    }
    // The last token of a completion predicts nothing, so it is never computed.
    let inputs = completion - 1.0;
    let pairs = prompts * prompt * prompt / 2.0 + batch * inputs * (prompt + inputs / 2.0);
    let forward = sizes.forward(prompts * prompt + batch * inputs, pairs, batch * completion);
    match part {
        Part::UpdateLora => Work { flops: 2.0 * forward, bytes: 2.0 * weights },
        // Gradients are written and read, and AdamW reads and writes a weight and two moments: eight numbers of four bytes.
        Part::UpdateFull => Work { flops: 3.0 * forward, bytes: 2.0 * weights + 32.0 * (sizes.layers + sizes.head) },
        _ => Work { flops: forward, bytes: weights },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Policy;
    use candle_core::Device;

    fn tiny() -> ModelConfig {
        Policy::tiny(1, &Device::Cpu).unwrap().config().clone()
    }

    #[test]
    fn an_update_of_one_short_sequence_costs_what_is_counted_by_hand() {
        let (model, config) =
            (tiny(), BenchConfig { group: 1, prompt_tokens: 2, completion_tokens: 2, ..BenchConfig::default() });
        // Three tokens are computed and two predicted. Query 1 reads two keys on average over the prompt, the completion's
        // token three less a half.
        let projections = 3.0 * 64.0 * (4.0 * 64.0 + 3.0 * 176.0);
        let head = model.vocab_size as f64 * 64.0;
        let forward = 2.0 * (3.0 * projections + 2.0 * head) + 4.0 * 3.0 * 64.0 * (2.0 + 2.5);
        let work = |part| least(part, 1, &model, &config, Widths { weight: 4, number: 4 });
        assert_eq!(work(Part::LogProbs), Work { flops: forward, bytes: 4.0 * (projections + head) });
        assert_eq!(work(Part::UpdateLora).flops, 2.0 * forward);
        assert_eq!(work(Part::UpdateFull).flops, 3.0 * forward);
    }

    #[test]
    fn decoding_a_larger_batch_reads_the_weights_no_more_often() {
        let (model, config) = (tiny(), BenchConfig::default());
        let work = |batch| least(Part::Decode, batch, &model, &config, Widths { weight: 4, number: 4 });
        assert_eq!(work(16).flops, 16.0 * work(1).flops);
        assert!(work(16).bytes < 16.0 * work(1).bytes);
        // Widths count for bytes alone.
        let narrow = least(Part::Decode, 1, &model, &config, Widths { weight: 2, number: 2 });
        assert_eq!((narrow.flops, 2.0 * narrow.bytes), (work(1).flops, work(1).bytes));
    }
}
