//! Sampling of completions.

use crate::{
    error::{Error, Result},
    generate::{config::SampleConfig, scheduler::Scheduler, seed::Seed},
    model::decoding::DecodingModel,
    policy::Policy,
};

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

/// Draws one completion for each request, in the order of the requests.
///
/// A completion is a function of the policy, its prompt, its seed and the settings. On the CPU it is the same to the bit
/// alone and in any batch; on other devices the rounding of matrix products may depend on the batch.
///
/// # Errors
/// Fails for settings out of range, an empty prompt, a token outside the vocabulary, and a prompt too long for the
/// context or for the cache.
pub fn sample(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> Result<Vec<Completion>> {
    config.check()?;
    check_requests(policy, requests, config)?;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let model = DecodingModel::new(policy.transformer(), config.weights)?;
    Scheduler::new(policy, &model, requests, config)?.run()
}

fn check_requests(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> Result<()> {
    let (vocab_size, context) = (policy.transformer().vocab_size(), policy.transformer().context_length());
    for (index, request) in requests.iter().enumerate() {
        let prompt = request.prompt.len();
        if prompt == 0 {
            return Err(Error::Sequence { index, reason: "the prompt needs at least one token".to_owned() });
        }
        let needed = prompt.saturating_add(config.max_new_tokens);
        if needed > context {
            return Err(Error::ContextLength { index, prompt, needed, context });
        }
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= vocab_size) {
            let reason = format!("token {token} is outside the vocabulary of {vocab_size}");
            return Err(Error::Sequence { index, reason });
        }
    }
    Ok(())
}
