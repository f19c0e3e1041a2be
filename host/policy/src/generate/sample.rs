//! Sampling of completions.

use crate::{
    error::{Error, Result},
    generate::{
        completion::{Completion, Request},
        config::SampleConfig,
        memory::{SampleLoad, SampleMemory},
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
    let draw = || {
        let model = DecodingModel::new(policy.transformer(), config.weights)?;
        Scheduler::new(policy, &model, requests, config)?.run()
    };
    draw().map_err(|error| error.or_out_of_memory("to draw completions", || remedy(policy, requests, config)))
}

/// Returns the advice for draws that found too little memory, and what it saves.
fn remedy(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> String {
    let load = SampleLoad {
        prompts: requests.len(),
        longest_prompt: requests.iter().map(|request| request.prompt.len()).max().unwrap_or(0),
        group: 1,
    };
    let batch = config.max_batch.min(requests.len());
    let half = SampleConfig { max_batch: (batch / 2).max(1), ..config.clone() };
    let total = |config: &SampleConfig| SampleMemory::new(policy, None, config, load).map(|of| of.total());
    let saved = match (total(config), total(&half)) {
        (Ok(now), Ok(then)) => now.saturating_sub(then),
        _ => 0,
    };
    format!(
        "lower `max_batch` to {}, which saves about {} MiB, or `cache_mib`, which is {}",
        half.max_batch,
        saved >> 20,
        config.cache_mib
    )
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

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::generate::seed::Seed;

    #[test]
    fn too_little_memory_is_an_error_with_the_settings_to_lower() {
        let policy = Policy::tiny(1, &Device::Cpu).unwrap();
        let request = Request { prompt: &[5; 40], seed: Seed { run: 0, step: 0, sample: 0 } };
        let config = SampleConfig::default();
        let refused = || Error::Tensor(candle_core::Error::Msg("DriverError(CUDA_ERROR_OUT_OF_MEMORY)".to_owned()));
        let error = refused().or_out_of_memory("to draw completions", || remedy(&policy, &[request; 64], &config));
        let text = error.to_string();
        let saved = text.split("saves about ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
        assert!(saved.parse::<u64>().unwrap() > 0, "{text}");
        assert!(text.contains("`max_batch` to 32") && text.contains("`cache_mib`, which is 2048"), "{text}");
        let other = Error::Tensor(candle_core::Error::Msg("shape mismatch".to_owned()));
        assert!(matches!(other.or_out_of_memory("", String::new), Error::Tensor(_)));
    }
}
