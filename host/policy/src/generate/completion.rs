//! A request for a completion, and the completion that is drawn for it.

use crate::generate::seed::Seed;

/// A request for one completion.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The prompt's tokens, at least one. Equal prompts of a batch are computed once.
    pub prompt: &'a [u32],
    /// Seed of the sample.
    pub seed: Seed,
}

/// A completion that was drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// The tokens for training, including the end-of-sequence token if one was drawn.
    pub tokens: Vec<u32>,
    /// Log-probability of each token in nats when it was drawn, under the softmax of the logits divided by the temperature
    /// (by 1 if it is 0). That is the distribution of [`log_probs`](crate::log_probs), up to rounding: filters and the
    /// repetition penalty have no part in it. Empty where no language model drew the tokens.
    pub log_probs: Vec<f32>,
    /// The text of the tokens, without special tokens and without the stop text.
    pub text: String,
    /// True if the completion ended with an end-of-sequence token or a stop text, false if `max_new_tokens` cut it off.
    pub finished: bool,
}
