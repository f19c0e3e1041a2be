//! Sampling completions.
//!
//! Samples advance together, one token a step. Each draws from random numbers of its own, named by its seed, so what it
//! draws does not depend on what else is in the batch (up to rounding in the model, whose products may be cut
//! differently for batches of another size).

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    decode::Decoder,
    error::{Error, Result},
    kernels, lora,
    policy::Policy,
};

/// How completions are drawn.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SampleConfig {
    /// Logits are divided by it; 0 takes the most likely token.
    pub temperature: f64,
    /// Draw from the smallest set of tokens that holds this much probability; 1 keeps all.
    pub top_p: f64,
    /// Tokens drawn at most, the end-of-sequence token included.
    pub max_new_tokens: usize,
    /// Texts that end a completion, besides the model's end-of-sequence tokens.
    pub stop: Vec<String>,
}

impl Default for SampleConfig {
    fn default() -> Self {
        Self { temperature: 1.0, top_p: 1.0, max_new_tokens: 256, stop: Vec::new() }
    }
}

impl SampleConfig {
    /// Refuses settings that cannot work.
    ///
    /// # Errors
    /// Names the setting, its value and what it takes.
    pub fn check(&self) -> Result<()> {
        if !(self.temperature >= 0.0 && self.temperature.is_finite()) {
            return Err(Error::setting("temperature", format!("is {}; it must be 0 or more", self.temperature)));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return Err(Error::setting("top_p", format!("is {}; it must be above 0 and at most 1", self.top_p)));
        }
        if self.max_new_tokens == 0 {
            return Err(Error::setting("max_new_tokens", "must be at least 1"));
        }
        if self.stop.iter().any(String::is_empty) {
            return Err(Error::setting("stop", "holds an empty text, which would end every completion at once"));
        }
        Ok(())
    }
}

/// Names the random numbers of one sample: the same seed draws the same completion, whatever else is in the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed {
    /// The run's seed.
    pub run: u64,
    /// The training step, or whatever tells one batch of the run from the next.
    pub step: u64,
    /// The sample within the step.
    pub sample: u64,
}

impl Seed {
    fn numbers(self) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        for (bytes, number) in key.chunks_exact_mut(8).zip([self.run, self.step, self.sample]) {
            bytes.copy_from_slice(&number.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

/// One completion to draw.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The prompt's tokens, at least one. Equal prompts of a batch are computed once.
    pub prompt: &'a [u32],
    /// The random numbers to use.
    pub seed: Seed,
}

/// A drawn completion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    /// The tokens drawn, with the end-of-sequence token when one was drawn: what training takes.
    pub tokens: Vec<u32>,
    /// Their text, without special tokens and without the stop text.
    pub text: String,
    /// Whether it ended by itself rather than by `max_new_tokens`.
    pub finished: bool,
}

/// Draws one completion per request, in the order of the requests.
///
/// # Errors
/// Settings out of range, an empty prompt, a token outside the vocabulary, or a prompt too long for the context.
pub fn sample(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> Result<Vec<Completion>> {
    config.check()?;
    check_requests(policy, requests, config)?;
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    // Merged adapters cost nothing at each of many steps.
    let model = lora::merge(policy.transformer())?;
    let (prompts, texts) = distinct(requests);
    let mut drawn: Vec<Drawn> = requests.iter().map(|request| Drawn::new(request.seed)).collect();
    // The request that each row of the decoder continues.
    let mut rows: Vec<usize> = (0..requests.len()).collect();
    let room = config.max_new_tokens.min(64);
    let (mut decoder, mut logits) = Decoder::begin(&model, &prompts, &texts, room)?;
    loop {
        let uniforms: Vec<f64> = rows.iter().map(|&index| drawn[index].uniform()).collect();
        let tokens = choose(&logits, &uniforms, config)?;
        let tokens = tokens.into_iter().zip(&rows).map(|(token, &index)| token.ok_or_else(|| damaged(index)));
        let tokens = tokens.collect::<Result<Vec<u32>>>()?;
        for (&index, &token) in rows.iter().zip(&tokens) {
            drawn[index].push(token, policy, config)?;
        }
        let going: Vec<usize> = (0..rows.len()).filter(|&row| !drawn[rows[row]].ended).collect();
        if going.is_empty() {
            break;
        }
        let mut next = tokens;
        // Dropping rows copies the cache, so it waits until a quarter of them is done.
        if going.len() * 4 <= rows.len() * 3 {
            decoder.keep(&going)?;
            next = going.iter().map(|&row| next[row]).collect();
            rows = going.iter().map(|&row| rows[row]).collect();
        }
        logits = decoder.step(&next)?;
    }
    drawn.into_iter().map(|drawn| drawn.finish(policy, config)).collect()
}

fn check_requests(policy: &Policy, requests: &[Request<'_>], config: &SampleConfig) -> Result<()> {
    let (vocabulary, context) = (policy.transformer().vocabulary(), policy.transformer().context());
    for (index, request) in requests.iter().enumerate() {
        let prompt = request.prompt.len();
        if prompt == 0 {
            return Err(Error::Sequence { index, reason: "the prompt needs at least one token".to_owned() });
        }
        let needed = prompt.saturating_add(config.max_new_tokens);
        if needed > context {
            return Err(Error::ContextLength { index, prompt, needed, context });
        }
        if let Some(token) = request.prompt.iter().find(|token| **token as usize >= vocabulary) {
            let reason = format!("token {token} is outside the vocabulary of {vocabulary}");
            return Err(Error::Sequence { index, reason });
        }
    }
    Ok(())
}

/// The distinct prompts in order of appearance, and which of them each request has.
fn distinct<'a>(requests: &[Request<'a>]) -> (Vec<&'a [u32]>, Vec<usize>) {
    let mut prompts = Vec::new();
    let mut known = HashMap::new();
    let texts = requests.iter().map(|request| {
        *known.entry(request.prompt).or_insert_with(|| {
            prompts.push(request.prompt);
            prompts.len() - 1
        })
    });
    let texts = texts.collect();
    (prompts, texts)
}

/// A completion being drawn.
struct Drawn {
    numbers: ChaCha8Rng,
    tokens: Vec<u32>,
    finished: bool,
    ended: bool,
}

impl Drawn {
    fn new(seed: Seed) -> Self {
        Self { numbers: seed.numbers(), tokens: Vec::new(), finished: false, ended: false }
    }

    /// Uniform in [0, 1), one for each token.
    fn uniform(&mut self) -> f64 {
        (self.numbers.next_u64() >> 11) as f64 / (1u64 << 53) as f64
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

    /// Whether a stop text has just been completed. Each token adds at least a byte, so a text that ends here began
    /// within as many tokens as it has bytes; a few more, as characters may take several tokens.
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

fn damaged(index: usize) -> Error {
    let reason = "the model's logits are not finite: its weights are damaged, or its training has diverged";
    Error::Sequence { index, reason: reason.to_owned() }
}

/// One token for each row of logits (rows, vocabulary), given a uniform number for each; nothing for a row that is not
/// finite.
fn choose(logits: &Tensor, uniforms: &[f64], config: &SampleConfig) -> Result<Vec<Option<u32>>> {
    let vocabulary = logits.dim(1)?;
    let mut values = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?.flatten_all()?.to_vec1::<f32>()?;
    let of_row = |(row, uniform): (&mut [f32], &f64)| {
        row.iter().all(|value| value.is_finite()).then(|| choose_one(row, *uniform, config))
    };
    if values.len() < kernels::PARALLEL_ELEMENTS {
        return Ok(values.chunks_exact_mut(vocabulary).zip(uniforms).map(of_row).collect());
    }
    Ok(values.par_chunks_exact_mut(vocabulary).zip(uniforms).map(of_row).collect())
}

fn choose_one(row: &mut [f32], uniform: f64, config: &SampleConfig) -> u32 {
    if config.temperature == 0.0 {
        let best = row.iter().enumerate().fold(0, |best, (id, value)| if *value > row[best] { id } else { best });
        return best as u32;
    }
    let scale = (1.0 / config.temperature) as f32;
    row.iter_mut().for_each(|value| *value *= scale);
    kernels::softmax_in_place(row);
    if config.top_p == 1.0 {
        return draw((0..row.len() as u32).map(|id| (id, row[id as usize])), uniform);
    }
    // All tokens less likely than (1 − top_p) / vocabulary hold less than 1 − top_p together, so none of them belongs
    // to the set; leaving them out spares sorting the vocabulary.
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
    draw(kept.into_iter(), uniform)
}

/// The token at which the running sum of probabilities passes `uniform` times their sum.
fn draw(tokens: impl Iterator<Item = (u32, f32)> + Clone, uniform: f64) -> u32 {
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

    /// How often each token comes for evenly spread uniform numbers.
    fn shares(logits: &[f32], config: &SampleConfig) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for i in 0..10_000 {
            counts[choose_one(&mut logits.to_vec(), (f64::from(i) + 0.5) / 1e4, config) as usize] += 1e-4;
        }
        counts
    }

    #[test]
    fn draws_in_proportion() {
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
            assert_eq!(choose(&logits, &[0.5, 0.5], &config(temperature, 1.0)).unwrap(), [None, Some(0)]);
        }
    }

    #[test]
    fn refuses_settings_out_of_range() {
        let message = |config: SampleConfig| config.check().unwrap_err().to_string();
        assert!(message(config(-1.0, 1.0)).contains("temperature: is -1"));
        assert!(message(config(f64::NAN, 1.0)).contains("temperature"));
        assert!(message(config(1.0, 0.0)).contains("top_p"));
        assert!(message(SampleConfig { max_new_tokens: 0, ..config(1.0, 1.0) }).contains("max_new_tokens"));
        assert!(message(SampleConfig { stop: vec![String::new()], ..config(1.0, 1.0) }).contains("stop"));
    }

    #[test]
    fn seeds_name_their_numbers() {
        let draws = |run, step, sample| Seed { run, step, sample }.numbers().next_u64();
        assert_eq!(draws(1, 2, 3), draws(1, 2, 3));
        assert!(
            draws(1, 2, 3) != draws(2, 2, 3) && draws(1, 2, 3) != draws(1, 3, 3) && draws(1, 2, 3) != draws(1, 2, 4)
        );
    }
}
