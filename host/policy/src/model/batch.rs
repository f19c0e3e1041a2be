//! Batches without padding. All tokens of a batch lie in one list, so that every product of the model runs over real
//! tokens only, and the completions of one prompt share one copy of it: a group of K samples costs its prompt once.
//!
//! ```text
//! rows:  [ prompt 1 | completion 1a | completion 1b | prompt 2 | completion 2a | … ]
//! ```
//!
//! A completion attends causally to itself, and to all of its prompt. Its last token has no row, because nothing is
//! predicted from it.

use alft_kernels::Group;
use std::{collections::HashMap, ops::Range};

use crate::error::{Error, Result};

/// A prompt and a completion of it, in tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The prompt, at least one token. Equal prompts of a batch are computed once.
    pub prompt: Vec<u32>,
    /// The completion, with its end-of-sequence token if it has one; at least one token.
    pub completion: Vec<u32>,
}

/// A packed batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Batch {
    /// The token of each row.
    pub(crate) tokens: Vec<u32>,
    /// Position of each row in its prompt and completion.
    pub(crate) positions: Vec<usize>,
    /// The prompts and completions that the rows belong to.
    pub(crate) groups: Vec<Group>,
    /// The row that predicts each completion token, sequence after sequence.
    pub(crate) predictors: Vec<u32>,
    /// The completion tokens, sequence after sequence.
    pub(crate) targets: Vec<u32>,
}

impl Batch {
    /// Packs sequences. Neighbours with equal prompts share one copy of the prompt.
    pub(crate) fn from_sequences(sequences: &[&Sequence]) -> Self {
        let mut batch = Batch::default();
        for run in sequences.chunk_by(|a, b| a.prompt == b.prompt) {
            batch.push_prompt(&run[0].prompt);
            let last = batch.tokens.len() as u32 - 1;
            for sequence in run {
                batch.push_completion(&sequence.completion, last);
            }
        }
        batch
    }

    /// Packs prompts without completions. The last row of each prompt predicts the next token.
    pub(crate) fn from_prompts(prompts: &[&[u32]]) -> Self {
        let mut batch = Batch::default();
        for prompt in prompts {
            batch.push_prompt(prompt);
            batch.predictors.push(batch.tokens.len() as u32 - 1);
        }
        batch
    }

    /// Splits the batch for the output head into ranges of whole sequences, in the batch's order, of at most `rows` targets.
    /// A longer sequence is a range alone. Returns for each range its sequences and their targets.
    pub(crate) fn head_ranges(&self, rows: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let lengths = self.groups.iter().flat_map(|group| group.completions.iter().map(|inputs| inputs + 1));
        let mut ranges: Vec<(Range<usize>, Range<usize>)> = Vec::new();
        for (sequence, tokens) in token_ranges(lengths).into_iter().enumerate() {
            match ranges.last_mut() {
                Some((sequences, targets)) if tokens.end - targets.start <= rows => {
                    (sequences.end, targets.end) = (sequence + 1, tokens.end);
                }
                _ => ranges.push((sequence..sequence + 1, tokens)),
            }
        }
        ranges
    }

    fn push_prompt(&mut self, prompt: &[u32]) {
        let start = self.tokens.len();
        self.groups.push(Group { start, prompt: prompt.len(), completions: Vec::new() });
        self.tokens.extend(prompt);
        self.positions.extend(0..prompt.len());
    }

    fn push_completion(&mut self, completion: &[u32], prompt_last: u32) {
        let Some(group) = self.groups.last_mut() else { return };
        let (start, inputs) = (self.tokens.len() as u32, completion.len() - 1);
        group.completions.push(inputs);
        self.positions.extend(group.prompt..group.prompt + inputs);
        self.tokens.extend(&completion[..inputs]);
        self.predictors.push(prompt_last);
        self.predictors.extend(start..start + inputs as u32);
        self.targets.extend(completion);
    }
}

/// Fails for sequences that a model with this vocabulary and context length cannot compute.
pub(crate) fn check(sequences: &[Sequence], vocab_size: usize, context: usize) -> Result<()> {
    for (index, sequence) in sequences.iter().enumerate() {
        let invalid = |reason: String| Err(Error::Sequence { index, reason });
        if sequence.prompt.is_empty() || sequence.completion.is_empty() {
            return invalid("the prompt and the completion need at least one token each".to_owned());
        }
        let (prompt, needed) = (sequence.prompt.len(), sequence.prompt.len() + sequence.completion.len());
        if needed > context {
            return Err(Error::ContextLength { index, prompt, needed, context });
        }
        let tokens = sequence.prompt.iter().chain(&sequence.completion);
        if let Some(token) = tokens.copied().find(|token| *token as usize >= vocab_size) {
            return invalid(format!("token {token} is outside the vocabulary of {vocab_size}"));
        }
    }
    Ok(())
}

/// Splits the sequences with the given indices into micro-batches of at most `budget` rows each, and returns the indices
/// in each. A longer sequence is a micro-batch alone. Sequences with equal prompts are placed side by side, in the order
/// of the prompt's first appearance.
pub(crate) fn micro_batches(sequences: &[Sequence], indices: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut first_of: HashMap<&[u32], usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(indices.len());
    for &index in indices {
        order.push((*first_of.entry(&sequences[index].prompt).or_insert(index), index));
    }
    order.sort();

    let mut batches: Vec<Vec<usize>> = Vec::new();
    let (mut rows, mut prompt) = (0, None);
    for (first, index) in order {
        let sequence = &sequences[index];
        let completion = sequence.completion.len() - 1;
        let shared = if prompt == Some(first) { 0 } else { sequence.prompt.len() };
        match batches.last_mut() {
            Some(batch) if rows + shared + completion <= budget => {
                batch.push(index);
                rows += shared + completion;
            }
            _ => {
                batches.push(vec![index]);
                rows = sequence.prompt.len() + completion;
            }
        }
        prompt = Some(first);
    }
    batches
}

/// Returns the range of each sequence's tokens in the concatenation of all, given the number of tokens of each.
pub(crate) fn token_ranges(lengths: impl IntoIterator<Item = usize>) -> Vec<Range<usize>> {
    let mut end = 0;
    lengths
        .into_iter()
        .map(|length| {
            end += length;
            end - length..end
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequence(prompt: &[u32], completion: &[u32]) -> Sequence {
        Sequence { prompt: prompt.to_vec(), completion: completion.to_vec() }
    }

    #[test]
    fn neighbours_with_equal_prompts_share_one_copy() {
        let sequences = [sequence(&[1, 2], &[3, 4, 5]), sequence(&[1, 2], &[6]), sequence(&[9], &[8, 7])];
        let batch = Batch::from_sequences(&sequences.iter().collect::<Vec<_>>());
        assert_eq!(batch.tokens, [1, 2, 3, 4, 9, 8]);
        assert_eq!(batch.positions, [0, 1, 2, 3, 0, 1]);
        assert_eq!(batch.targets, [3, 4, 5, 6, 8, 7]);
        assert_eq!(batch.predictors, [1, 2, 3, 1, 4, 5]);
        assert_eq!(batch.groups[0], Group { start: 0, prompt: 2, completions: vec![2, 0] });
        assert_eq!(batch.groups[0].parts().collect::<Vec<_>>(), [(0, 2, 0), (2, 2, 2)]);
        assert_eq!(batch.groups[1].start, 4);
    }

    #[test]
    fn the_head_predicts_whole_sequences_in_ranges() {
        let sequences: Vec<_> = [2, 2, 1, 9, 3].iter().map(|&length| sequence(&[1], &vec![1; length])).collect();
        let batch = Batch::from_sequences(&sequences.iter().collect::<Vec<_>>());
        assert_eq!(batch.head_ranges(4), [(0..2, 0..4), (2..3, 4..5), (3..4, 5..14), (4..5, 14..17)]);
        assert_eq!(batch.head_ranges(1000), [(0..5, 0..17)]);
    }

    #[test]
    fn micro_batches_stay_within_the_budget_and_cover_every_sequence() {
        let sequences: Vec<_> = (0..20).map(|i| sequence(&[i % 3 + 1; 5], &vec![1; i as usize % 4 + 1])).collect();
        let wanted: Vec<usize> = (0..20).filter(|i| i % 5 != 0).collect();
        let batches = micro_batches(&sequences, &wanted, 16);
        let mut all: Vec<usize> = batches.concat();
        all.sort();
        assert_eq!(all, wanted);
        for batch in &batches {
            let picked: Vec<&Sequence> = batch.iter().map(|index| &sequences[*index]).collect();
            assert!(Batch::from_sequences(&picked).tokens.len() <= 16);
        }
        // A sequence above the budget is computed nevertheless, alone.
        assert_eq!(micro_batches(&sequences, &[0, 1], 3), [[0], [1]]);
    }

    #[test]
    fn sequences_that_the_model_cannot_compute_are_errors() {
        let message = |sequence| check(&[sequence], 10, 4).unwrap_err().to_string();
        assert!(message(sequence(&[], &[1])).contains("at least one token"));
        assert!(message(sequence(&[1], &[])).contains("at least one token"));
        assert!(message(sequence(&[1], &[10])).contains("token 10 is outside"));
        assert!(message(sequence(&[1, 2, 3], &[1, 2])).contains("needs 5 tokens"));
    }
}
