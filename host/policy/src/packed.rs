//! Batches without padding. All tokens of a batch lie in one list, so every product of the model runs over real tokens
//! only, and the completions of one prompt share one copy of it: a group of K samples costs its prompt once.
//!
//! ```text
//! rows:  [ prompt 1 | completion 1a | completion 1b | prompt 2 | completion 2a | … ]
//! ```
//!
//! A completion attends to itself causally and to all of its prompt. Its last token is no input: nothing is predicted
//! from it.

use std::{collections::HashMap, ops::Range};

use crate::{
    error::{Error, Result},
    logprob::Sequence,
};

/// A prompt and the completions that share it, in consecutive rows.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Group {
    /// First row of the prompt.
    pub(crate) start: usize,
    /// Rows of the prompt.
    pub(crate) prompt: usize,
    /// Rows of each completion.
    pub(crate) completions: Vec<usize>,
}

impl Group {
    /// Rows of the whole group.
    pub(crate) fn rows(&self) -> usize {
        self.prompt + self.completions.iter().sum::<usize>()
    }

    /// Each part's first row within the group, its rows, and the prompt rows it sees besides its own.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let mut next = self.prompt;
        let completions = self.completions.iter().map(move |&rows| {
            next += rows;
            (next - rows, rows, self.prompt)
        });
        std::iter::once((0, self.prompt, 0)).chain(completions).filter(|(_, rows, _)| *rows > 0)
    }
}

/// A packed batch.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Packed {
    /// The token of each row.
    pub(crate) tokens: Vec<u32>,
    /// Each row's distance from the beginning of its text.
    pub(crate) positions: Vec<usize>,
    /// The rows' division into texts.
    pub(crate) groups: Vec<Group>,
    /// For each completion token, sequence after sequence: the row that predicts it.
    pub(crate) predictors: Vec<u32>,
    /// Each completion token.
    pub(crate) targets: Vec<u32>,
}

impl Packed {
    /// Packs sequences. Those with equal prompts share it if they are neighbours.
    pub(crate) fn of_sequences(sequences: &[&Sequence]) -> Self {
        let mut packed = Packed::default();
        for run in sequences.chunk_by(|a, b| a.prompt == b.prompt) {
            packed.push_prompt(&run[0].prompt);
            let last = packed.tokens.len() as u32 - 1;
            for sequence in run {
                packed.push_completion(&sequence.completion, last);
            }
        }
        packed
    }

    /// Packs prompts alone; the only predictions are those of what follows each.
    pub(crate) fn of_prompts(prompts: &[&[u32]]) -> Self {
        let mut packed = Packed::default();
        for prompt in prompts {
            packed.push_prompt(prompt);
            packed.predictors.push(packed.tokens.len() as u32 - 1);
        }
        packed
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

/// Refuses sequences that a model with this vocabulary and context cannot compute.
pub(crate) fn check(sequences: &[Sequence], vocabulary: usize, context: usize) -> Result<()> {
    for (index, sequence) in sequences.iter().enumerate() {
        let refuse = |reason: String| Err(Error::Sequence { index, reason });
        if sequence.prompt.is_empty() || sequence.completion.is_empty() {
            return refuse("the prompt and the completion need at least one token each".to_owned());
        }
        let (prompt, needed) = (sequence.prompt.len(), sequence.prompt.len() + sequence.completion.len());
        if needed > context {
            return Err(Error::ContextLength { index, prompt, needed, context });
        }
        let tokens = sequence.prompt.iter().chain(&sequence.completion);
        if let Some(token) = tokens.copied().find(|token| *token as usize >= vocabulary) {
            return refuse(format!("token {token} is outside the vocabulary of {vocabulary}"));
        }
    }
    Ok(())
}

/// Divides sequences into micro-batches of at most `budget` rows each (a longer sequence is a micro-batch alone).
/// Sequences with equal prompts are brought together, in order of first appearance. Returns their indices.
pub(crate) fn micro_batches(sequences: &[Sequence], wanted: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut first_of: HashMap<&[u32], usize> = HashMap::new();
    let mut order: Vec<(usize, usize)> = Vec::with_capacity(wanted.len());
    for &index in wanted {
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

/// Where each sequence's tokens lie in the concatenation of all.
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
    fn neighbours_share_their_prompt() {
        let sequences = [sequence(&[1, 2], &[3, 4, 5]), sequence(&[1, 2], &[6]), sequence(&[9], &[8, 7])];
        let packed = Packed::of_sequences(&sequences.iter().collect::<Vec<_>>());
        assert_eq!(packed.tokens, [1, 2, 3, 4, 9, 8]);
        assert_eq!(packed.positions, [0, 1, 2, 3, 0, 1]);
        assert_eq!(packed.targets, [3, 4, 5, 6, 8, 7]);
        assert_eq!(packed.predictors, [1, 2, 3, 1, 4, 5]);
        assert_eq!(packed.groups[0], Group { start: 0, prompt: 2, completions: vec![2, 0] });
        assert_eq!(packed.groups[0].parts().collect::<Vec<_>>(), [(0, 2, 0), (2, 2, 2)]);
        assert_eq!(packed.groups[1].start, 4);
    }

    #[test]
    fn micro_batches_keep_to_the_budget_and_lose_nothing() {
        let sequences: Vec<_> = (0..20).map(|i| sequence(&[i % 3 + 1; 5], &vec![1; i as usize % 4 + 1])).collect();
        let wanted: Vec<usize> = (0..20).filter(|i| i % 5 != 0).collect();
        let batches = micro_batches(&sequences, &wanted, 16);
        let mut all: Vec<usize> = batches.concat();
        all.sort();
        assert_eq!(all, wanted);
        for batch in &batches {
            let picked: Vec<&Sequence> = batch.iter().map(|index| &sequences[*index]).collect();
            assert!(Packed::of_sequences(&picked).tokens.len() <= 16);
        }
        // A sequence that exceeds the budget is computed all the same, alone.
        assert_eq!(micro_batches(&sequences, &[0, 1], 3), [[0], [1]]);
    }

    #[test]
    fn refuses_what_the_model_cannot_compute() {
        let message = |sequence| check(&[sequence], 10, 4).unwrap_err().to_string();
        assert!(message(sequence(&[], &[1])).contains("at least one token"));
        assert!(message(sequence(&[1], &[])).contains("at least one token"));
        assert!(message(sequence(&[1], &[10])).contains("token 10 is outside"));
        assert!(message(sequence(&[1, 2, 3], &[1, 2])).contains("needs 5 tokens"));
    }
}
