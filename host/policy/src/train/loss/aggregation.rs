//! The aggregation of the tokens' losses into the loss of a batch, as the weight of each token:
//!
//! | name | weight of a token | source |
//! | --- | --- | --- |
//! | `dapo` | 1 / tokens of the batch | DAPO, arXiv 2503.14476 |
//! | `grpo` | 1 / (sequences · tokens of the sequence) | GRPO, arXiv 2402.03300 |
//! | `dr-grpo` | 1 / (sequences · largest number of completion tokens) | Dr. GRPO, arXiv 2503.20783 |
//! | `sum` | 1 / sequences | REINFORCE; RLOO, arXiv 2402.14740; LUSPO, arXiv 2602.05261 |
//!
//! The weights are those of the whole batch, so the loss of a batch is the sum of the losses of its micro-batches. A
//! sequence that is masked counts among the sequences and has no tokens.

use serde::{Deserialize, Serialize};

/// The aggregation of the tokens' losses into the loss of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aggregation {
    /// Mean over all tokens of the batch.
    #[default]
    Dapo,
    /// Mean over sequences of the mean over each sequence's tokens.
    Grpo,
    /// Sum over all tokens, divided by the number of sequences and by the largest number of completion tokens.
    DrGrpo,
    /// Mean over sequences of the sum over each sequence's tokens.
    Sum,
}

impl Aggregation {
    /// Returns the weight of a token of each sequence, given the sequences' lengths in tokens and the largest number of
    /// completion tokens.
    pub(super) fn weights(self, lengths: &[usize], longest: usize) -> Vec<f64> {
        let sequences = lengths.len() as f64;
        let all = lengths.iter().sum::<usize>().max(1) as f64;
        let of_length = |length: &usize| match self {
            Aggregation::Dapo => 1.0 / all,
            Aggregation::Grpo => 1.0 / (sequences * (*length).max(1) as f64),
            Aggregation::DrGrpo => 1.0 / (sequences * longest as f64),
            Aggregation::Sum => 1.0 / sequences,
        };
        lengths.iter().map(of_length).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_masked_sequence_counts_among_the_sequences_and_not_among_the_tokens() {
        let weights = |aggregation: Aggregation| aggregation.weights(&[4, 0, 1], 10);
        assert_eq!(weights(Aggregation::Dapo), [0.2; 3]);
        assert_eq!(weights(Aggregation::Grpo), [1.0 / 12.0, 1.0 / 3.0, 1.0 / 3.0]);
        assert_eq!(weights(Aggregation::DrGrpo), [1.0 / 30.0; 3]);
        assert_eq!(weights(Aggregation::Sum), [1.0 / 3.0; 3]);
        assert_eq!(Aggregation::Dapo.weights(&[0], 10), [1.0]);
    }
}
