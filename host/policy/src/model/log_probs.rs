//! Log-probabilities of completions.

use crate::{
    error::Result,
    model::{
        batch::{Batch, Sequence, check, micro_batches, token_ranges},
        transformer::Transformer,
    },
};

/// Returns the log-probability of every completion token of each sequence, in nats, under the softmax of the logits
/// divided by `temperature`, which is above 0. `token_budget` bounds the number of tokens computed at once. No gradients
/// are tracked.
///
/// # Errors
/// Fails for an empty prompt or completion, a token outside the vocabulary, and a sequence longer than the context.
pub fn log_probs(
    model: &Transformer,
    sequences: &[Sequence],
    temperature: f64,
    token_budget: usize,
) -> Result<Vec<Vec<f32>>> {
    check(sequences, model.vocab_size(), model.context_length())?;
    let model = model.detached()?;
    let mut results = vec![Vec::new(); sequences.len()];
    let all: Vec<usize> = (0..sequences.len()).collect();
    for indices in micro_batches(sequences, &all, token_budget) {
        let picked: Vec<&Sequence> = indices.iter().map(|&index| &sequences[index]).collect();
        let values = model.predict(&Batch::from_sequences(&picked), temperature)?.log_probs.to_vec1::<f32>()?;
        let ranges = token_ranges(picked.iter().map(|sequence| sequence.completion.len()));
        for (index, range) in indices.into_iter().zip(ranges) {
            results[index] = values[range].to_vec();
        }
    }
    Ok(results)
}
