//! Sampling of completions.

use crate::{
    error::{Error, Result},
    generate::{
        completion::{Completion, Request},
        config::SampleConfig,
        scheduler::Scheduler,
    },
    model::decoding::DecodingModel,
    policy::Policy,
};

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
