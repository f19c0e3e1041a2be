//! Log-probabilities of completions.

use crate::{
    error::Result,
    packed::{Packed, check, micro_batches, token_ranges},
    transformer::Transformer,
};

/// A prompt and a completion of it, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The prompt, at least one token. Equal prompts of a batch are computed once.
    pub prompt: Vec<u32>,
    /// The completion, with its end-of-sequence token if it has one; at least one token.
    pub completion: Vec<u32>,
}

/// The log-probability of every completion token, per sequence, in nats, without a graph: under the softmax of the
/// logits divided by `temperature`, above 0. `token_budget` bounds the tokens computed at once.
///
/// # Errors
/// An empty prompt or completion, a token outside the vocabulary, a sequence longer than the context.
pub fn log_probs(
    model: &Transformer,
    sequences: &[Sequence],
    temperature: f64,
    token_budget: usize,
) -> Result<Vec<Vec<f32>>> {
    check(sequences, model.vocabulary(), model.context())?;
    let model = model.detached()?;
    let mut results = vec![Vec::new(); sequences.len()];
    let all: Vec<usize> = (0..sequences.len()).collect();
    for batch in micro_batches(sequences, &all, token_budget) {
        let picked: Vec<&Sequence> = batch.iter().map(|&index| &sequences[index]).collect();
        let values = model.predict(&Packed::of_sequences(&picked), temperature)?.log_probs.to_vec1::<f32>()?;
        let ranges = token_ranges(picked.iter().map(|sequence| sequence.completion.len()));
        for (index, range) in batch.into_iter().zip(ranges) {
            results[index] = values[range].to_vec();
        }
    }
    Ok(results)
}
