//! Sampling of completions.
//!
//! All samples of a batch advance together, one token a step. Each has a random number generator seeded by its [`Seed`],
//! so a sample does not depend on the rest of the batch (up to rounding in the model, whose matrix products may be split
//! differently for another batch size).

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    generate::decode::Decoder,
    kernels,
    model::lora,
    policy::Policy,
};

/// The settings of sampling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleConfig {
    /// Divisor of the logits; 0 chooses the most likely token.
    pub temperature: f64,
    /// Probability of the smallest set of most likely tokens that is drawn from; 1 draws from all.
    pub top_p: f64,
    /// Largest number of tokens drawn, including the end-of-sequence token.
    pub max_new_tokens: usize,
    /// Texts that end a completion, in addition to the model's end-of-sequence tokens.
    pub stop: Vec<String>,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, max_new_tokens: 256, stop: Vec::new() }
    }
}

impl SampleConfig {
    /// Checks the settings.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("temperature", format!("is {}; it must be at least 0", self.temperature)));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting("top_p", format!("is {}; it must be above 0 and at most 1", self.top_p)));
        }
        if self.max_new_tokens == 0 {
            return Err(Error::setting("max_new_tokens", "must be at least 1"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "has an empty text, which would end every completion at once"));
        }
        Ok(())
    }
}

/// The seed of one sample. The same seed draws the same completion, whatever else is in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed {
    /// Seed of the run.
    pub run: u64,
    /// Training step, or another number that tells the batches of a run apart.
    pub step: u64,
    /// Index of the sample within the step.
    pub sample: u64,
}

impl Seed {
    fn rng(self) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        for (bytes, number) in key.chunks_exact_mut(8).zip([self.run, self.step, self.sample]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// A request for one completion.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The prompt's tokens, at least one. Equal prompts of a batch are computed once.
    pub prompt: &'a [u32],
    /// Seed of the sample.
    pub seed: Seed,
}

/// A completion that was drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The tokens for training, including the end-of-sequence token if one was drawn.
    pub tokens: Vec<u32>,
    /// The text of the tokens, without special tokens and without the stop text.
    pub text: String,
    /// True if the completion ended with an end-of-sequence token or a stop text, false if `max_new_tokens` cut it off.
    pub finished: bool,
}

/// Draws one completion for each request, in the order of the requests.
///
/// # Errors
/// Fails for settings out of range, an empty prompt, a token outside the vocabulary, and a prompt too long for the
/// context.
pub fn sample(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> Result<Vec<Completion>> {
    config.check()?;
    check_requests(policy, requests, config)?;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    // Merging the adapters once saves their products at every step.
    let model = lora::merge(policy.transformer())?;
    let (prompts, prompt_of) = distinct_prompts(requests);
    let mut samplers: Vec<Sampler> = requests.iter().map(|request| Sampler::new(request.seed)).collect();
    // The index of the request that each row of the decoder belongs to.
    let mut rows: Vec<usize> = (0..requests.len()).collect();
    let capacity = config.max_new_tokens.min(64);
    let (mut decoder, mut logits) = Decoder::begin(&model, &prompts, &prompt_of, capacity)?;
    loop {
        let uniforms: Vec<f64> = rows.iter().map(|&index| samplers[index].uniform()).collect();
        let tokens = draw_rows(&logits, &uniforms, config)?;
        let tokens = tokens.into_iter().zip(&rows).map(|(token, &index)| token.ok_or_else(|| non_finite(index)));
        let tokens = tokens.collect::<Result<Vec<u32>>>()?;
        for (&index, &token) in rows.iter().zip(&tokens) {
            samplers[index].push(token, policy, config)?;
        }
        let active: Vec<usize> = (0..rows.len()).filter(|&row| !samplers[rows[row]].ended).collect();
        if active.is_empty() {
            break;
        }
        let mut next = tokens;
        // Dropping rows copies the cache, so it is done once a quarter of the rows have ended.
        if active.len() * 4 <= rows.len() * 3 {
            decoder.keep(&active)?;
            next = active.iter().map(|&row| next[row]).collect();
            rows = active.iter().map(|&row| rows[row]).collect();
        }
        logits = decoder.step(&next)?;
    }
    samplers.into_iter().map(|sampler| sampler.finish(policy, config)).collect()
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

/// Returns the distinct prompts in the order of their first appearance, and for each request the index of its prompt.
fn distinct_prompts<'a>(requests: &[Request<'a>]) -> (Vec<&'a [u32]>, Vec<usize>) {
    let mut prompts = Vec::new();
    let mut known = HashMap::new();
    let prompt_of = requests.iter().map(|request| {
        *known.entry(request.prompt).or_insert_with(|| {
            prompts.push(request.prompt);
            prompts.len() - 1
        })
    });
    let prompt_of = prompt_of.collect();
    (prompts, prompt_of)
}

/// The state of one sample while it is drawn.
struct Sampler {
    rng: ChaCha8Rng,
    tokens: Vec<u32>,
    /// True once an end-of-sequence token or a stop text was drawn.
    finished: bool,
    /// True once the sample is finished or has `max_new_tokens` tokens.
    ended: bool,
}

impl Sampler {
    fn new(seed: Seed) -> Self {
        Self { rng: seed.rng(), tokens: Vec::new(), finished: false, ended: false }
    }

    /// Returns the next number of a uniform distribution over [0, 1); one is used for each token.
    fn uniform(&mut self) -> f64 {
        (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    fn push(&mut self, token: u32, policy: &Policy, config: &SampleConfig) -> Result<()> {
        if self.ended {
            return Ok(());
        }
        self.tokens.push(token);
        self.finished = policy.eos_tokens().contains(&token) || self.stopped(policy, config)?;
        self.ended = self.finished || self.tokens.len() == config.max_new_tokens;
        Ok(())
    }

    /// Returns true if the last token completed a stop text. Each token adds at least one byte, so a stop text lies within
    /// as many tokens as it has bytes. A few more tokens are decoded, because a character can be several tokens long.
    fn stopped(&self, policy: &Policy, config: &SampleConfig) -> Result<bool> {
        let Some(longest) = config.stop.iter().map(String::len).max() else { return Ok(false) };
        let tail = &self.tokens[self.tokens.len().saturating_sub(longest + 4)..];
        let text = policy.decode(tail)?;
        Ok(config.stop.iter().any(|stop| text.contains(stop.as_str())))
    }

    fn finish(self, policy: &Policy, config: &SampleConfig) -> Result<Completion> {
        let mut text = policy.decode(&self.tokens)?;
        if let Some(cut) = config.stop.iter().filter_map(|stop| text.find(stop.as_str())).min() {
            text.truncate(cut);
        }
        Ok(Completion { tokens: self.tokens, text, finished: self.finished })
    }
}

fn non_finite(index: usize) -> Error {
    let reason = "the model's logits are not finite: its weights are damaged, or its training has diverged";
    Error::Sequence { index, reason: reason.to_owned() }
}

/// Draws one token for each row of logits (rows, vocabulary), given a uniform number for each. Returns `None` for a row
/// that is not finite.
fn draw_rows(logits: &Tensor, uniforms: &[f64], config: &SampleConfig) -> Result<Vec<Option<u32>>> {
    let _time = crate::profile::time("draw");
    let vocab_size = logits.dim(1)?;
    let mut values = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let of_row = |(row, uniform): (&mut [f32], &f64)| {
        row.iter().all(|value| value.is_finite()).then(|| draw_token(row, *uniform, config))
    };
    if values.len() < kernels::PARALLEL_ELEMENTS {
        return Ok(values.chunks_exact_mut(vocab_size).zip(uniforms).map(of_row).collect());
    }
    Ok(values.par_chunks_exact_mut(vocab_size).zip(uniforms).map(of_row).collect())
}

/// Draws a token from a row of logits, which is overwritten.
fn draw_token(row: &mut [f32], uniform: f64, config: &SampleConfig) -> u32 {
    if config.temperature == 0.0 {
        let best = row.iter().enumerate().fold(0, |best, (id, value)| if *value > row[best] { id } else { best });
        return best as u32;
    }
    let scale = (1.0 / config.temperature) as f32;
    row.iter_mut().for_each(|value| *value *= scale);
    kernels::softmax_in_place(row);
    if config.top_p == 1.0 {
        return invert_cdf((0..row.len() as u32).map(|id| (id, row[id as usize])), uniform);
    }
    // All tokens less likely than (1 − top_p) / vocabulary have a total probability below 1 − top_p, so none of them is in
    // the set. Leaving them out avoids sorting the whole vocabulary.
    let floor = (1.0 - config.top_p) as f32 / row.len() as f32;
    let mut likely: Vec<(u32, f32)> =
        row.iter().enumerate().filter(|(_, p)| **p >= floor).map(|(id, p)| (id as u32, *p)).collect();
    likely.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    let mut mass = 0.0;
    let kept = likely.iter().take_while(|(_, p)| {
        let before = mass;
        mass += f64::from(*p);
        before < config.top_p
    });
    let kept: Vec<(u32, f32)> = kept.copied().collect();
    invert_cdf(kept.into_iter(), uniform)
}

/// Returns the token at which the running sum of probabilities exceeds `uniform` times their total.
fn invert_cdf(tokens: impl Iterator<Item = (u32, f32)> + Clone, uniform: f64) -> u32 {
    let mut left = uniform * tokens.clone().map(|(_, p)| f64::from(p)).sum::<f64>();
    let mut last = 0;
    for (token, p) in tokens {
        if p > 0.0 {
            last = token;
            left -= f64::from(p);
            if left < 0.0 {
                break;
            }
        }
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(temperature: f64, top_p: f64) -> SampleConfig {
        SampleConfig { temperature, top_p, ..SampleConfig::default() }
    }

    /// Returns the share of each token over evenly spaced uniform numbers.
    fn shares(logits: &[f32], config: &SampleConfig) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for i in 0..10_000 {
            counts[draw_token(&mut logits.to_vec(), (f64::from(i) + 0.5) / 1e4, config) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn tokens_are_drawn_in_proportion_to_their_probabilities() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let close = |got: Vec<f64>, want: [f64; 4]| {
            for (got, want) in got.iter().zip(want) {
                assert!((got - want).abs() < 2e-4, "{got} is not {want}");
            }
        };
        close(shares(&logits, &config(1.0, 1.0)), [0.1, 0.2, 0.3, 0.4]);
        let squares = 0.01 + 0.04 + 0.09 + 0.16;
        close(shares(&logits, &config(0.5, 1.0)), [0.01, 0.04, 0.09, 0.16].map(|p| p / squares));
        close(shares(&logits, &config(1.0, 0.6)), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
        close(shares(&logits, &config(1.0, 0.05)), [0.0, 0.0, 0.0, 1.0]);
        close(shares(&logits, &config(0.0, 1.0)), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn a_row_that_is_not_finite_gives_no_token() {
        let logits = Tensor::new(&[[0f32, f32::NAN], [1.0, 0.0]], &Device::Cpu).unwrap();
        for temperature in [0.0, 1.0] {
            assert_eq!(draw_rows(&logits, &[0.5, 0.5], &config(temperature, 1.0)).unwrap(), [None, Some(0)]);
        }
    }

    #[test]
    fn settings_out_of_range_are_errors() {
        let message = |config: SampleConfig| config.check().unwrap_err().to_string();
        assert!(message(config(-1.0, 1.0)).contains("`temperature` is -1"));
        assert!(message(config(f64::NAN, 1.0)).contains("temperature"));
        assert!(message(config(1.0, 0.0)).contains("top_p"));
        assert!(message(SampleConfig { max_new_tokens: 0, ..config(1.0, 1.0) }).contains("max_new_tokens"));
        assert!(message(SampleConfig { stop: vec![String::new()], ..config(1.0, 1.0) }).contains("stop"));
    }

    #[test]
    fn every_part_of_a_seed_changes_its_numbers() {
        let draws = |run, step, sample| Seed { run, step, sample }.rng().next_u64();
        assert_eq!(draws(1, 2, 3), draws(1, 2, 3));
        assert!(
            draws(1, 2, 3) != draws(2, 2, 3) && draws(1, 2, 3) != draws(1, 3, 3) && draws(1, 2, 3) != draws(1, 2, 4)
        );
    }
}
