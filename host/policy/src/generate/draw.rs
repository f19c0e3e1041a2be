//! From a row of logits to a token and its log-probability.

use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::{
    cuda,
    error::Result,
    generate::config::SampleConfig,
    kernels::{self, softmax_in_place},
    ops::{
        path::{Op, Path},
        with_floats,
    },
    profile,
};

/// The data of one draw besides the logits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draw<'a> {
    /// A number of a uniform distribution over [0, 1).
    pub(crate) uniform: f64,
    /// The tokens that the repetition penalty applies to.
    pub(crate) seen: &'a HashSet<u32>,
}

/// A token that was drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) token: u32,
    /// Log-probability of the token in nats, under the softmax of the logits divided by the temperature (by 1 if the
    /// temperature is 0): without penalty and filters, as training has it.
    pub(crate) log_prob: f32,
}

/// Draws a token for each row of logits (rows, vocabulary). Returns `None` for a row that is not finite.
pub(crate) fn draw_rows(logits: &Tensor, draws: &[Draw<'_>], config: &SampleConfig) -> Result<Vec<Option<Drawn>>> {
    let _time = profile::time("draw");
    let filtered = config.top_k > 0 || config.top_p < 1.0 || config.min_p > 0.0 || config.repetition_penalty != 1.0;
    if Path::of(Op::Draw, logits) == Path::CudaKernel && !filtered {
        return draw_there(logits, draws, config.temperature);
    }
    let vocab_size = logits.dim(1)?;
    let logits = logits.to_dtype(DType::F32)?.to_device(&Device::Cpu)?;
    let drawn = with_floats([&logits], |[values]| -> Vec<Option<Drawn>> {
        let rows = values.chunks_exact(vocab_size).zip(draws);
        if values.len() < kernels::PARALLEL_ELEMENTS {
            let mut scratch = Scratch::default();
            return rows.map(|(row, draw)| draw_token(row, draw, config, &mut scratch)).collect();
        }
        let rows = values.par_chunks_exact(vocab_size).zip(draws);
        rows.map_init(Scratch::default, |scratch, (row, draw)| draw_token(row, draw, config, scratch)).collect()
    })?;
    Ok(drawn)
}

/// Draws where the logits are, so that one number of each row leaves the device.
fn draw_there(logits: &Tensor, draws: &[Draw<'_>], temperature: f64) -> Result<Vec<Option<Drawn>>> {
    let uniforms: Vec<f32> = draws.iter().map(|draw| draw.uniform as f32).collect();
    let uniforms = Tensor::new(uniforms, logits.device())?;
    let (tokens, log_probs) = cuda::draw::draw(logits, &uniforms, temperature)?;
    let drawn = tokens.to_vec1::<u32>()?.into_iter().zip(log_probs.to_vec1::<f32>()?);
    Ok(drawn.map(|(token, log_prob)| (token != cuda::draw::NONE).then_some(Drawn { token, log_prob })).collect())
}

/// Memory of a thread that is used for one row after another.
#[derive(Default)]
struct Scratch {
    /// The logits after the repetition penalty, if there is one.
    penalised: Vec<f32>,
    /// The probabilities of the logits, and of those after the penalty.
    probabilities: Vec<f32>,
    filtered: Vec<f32>,
    /// The tokens that pass the filters, with their probabilities.
    candidates: Vec<(u32, f32)>,
}

fn draw_token(logits: &[f32], draw: &Draw<'_>, config: &SampleConfig, scratch: &mut Scratch) -> Option<Drawn> {
    if !logits.iter().all(|value| value.is_finite()) {
        return None;
    }
    let Scratch { penalised, probabilities, filtered, candidates } = scratch;
    let greedy = config.temperature == 0.0;
    let scale = if greedy { 1.0 } else { (1.0 / config.temperature) as f32 };
    let tempered = |logits: &[f32], out: &mut Vec<f32>| {
        out.clear();
        out.extend(logits.iter().map(|value| value * scale));
        softmax_in_place(out);
    };
    tempered(logits, probabilities);
    let (mut logits, mut drawn_from) = (logits, &*probabilities);
    if config.repetition_penalty != 1.0 {
        penalise(logits, draw.seen, config.repetition_penalty as f32, penalised);
        tempered(penalised, filtered);
        logits = penalised.as_slice();
        drawn_from = &*filtered;
    }
    let token = if greedy {
        most_likely(logits)
    } else if config.top_k == 0 && config.top_p == 1.0 && config.min_p == 0.0 {
        invert_cdf((0..).zip(drawn_from.iter().copied()), draw.uniform)
    } else {
        filter(drawn_from, config, candidates);
        invert_cdf(candidates.iter().copied(), draw.uniform)
    };
    Some(Drawn { token, log_prob: probabilities[token as usize].ln() })
}

/// Copies logits to `out` and makes the tokens in `seen` less likely.
fn penalise(logits: &[f32], seen: &HashSet<u32>, penalty: f32, out: &mut Vec<f32>) {
    out.clear();
    out.extend(logits);
    for token in seen {
        let logit = &mut out[*token as usize];
        *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
    }
}

/// Returns the first of the most likely tokens.
fn most_likely(logits: &[f32]) -> u32 {
    logits.iter().enumerate().fold(0, |best, (id, value)| if *value > logits[best] { id } else { best }) as u32
}

/// Finds the tokens that pass `top_k`, `top_p` and `min_p`, in the order of falling probability.
fn filter(probabilities: &[f32], config: &SampleConfig, kept: &mut Vec<(u32, f32)>) {
    let all = || (0..).zip(probabilities.iter().copied());
    kept.clear();
    // All tokens less likely than (1 − top_p) / vocabulary have a total probability below 1 − top_p, so none of them passes.
    // Leaving them out avoids sorting the whole vocabulary.
    let mut floor = (1.0 - config.top_p) as f32 / probabilities.len() as f32;
    let mut total = 1f64;
    if config.top_k > 0 && config.top_k < probabilities.len() {
        kept.extend(all());
        floor = kept.select_nth_unstable_by(config.top_k - 1, |a, b| b.1.total_cmp(&a.1)).1.1;
        kept.clear();
        total = all().map(|(_, p)| p).filter(|p| *p >= floor).map(f64::from).sum();
    }
    // The sum that `top_p` looks at begins with the most likely token, so it may be taken after `min_p`.
    let most = probabilities.iter().copied().fold(0.0, f32::max);
    let floor = floor.max(config.min_p as f32 * most);
    kept.extend(all().filter(|(_, p)| *p >= floor));
    kept.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    if config.top_p < 1.0 {
        let mut mass = 0.0;
        let within = kept.iter().take_while(|(_, p)| {
            let before = mass;
            mass += f64::from(*p);
            before < config.top_p * total
        });
        let within = within.count();
        kept.truncate(within);
    }
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
    use serde_json::Value;

    use super::*;
    use crate::ops::noise;

    fn config(temperature: f64, top_p: f64) -> SampleConfig {
        SampleConfig { temperature, top_p, ..SampleConfig::default() }
    }

    fn draw(logits: &[f32], uniform: f64, seen: &[u32], config: &SampleConfig) -> Drawn {
        let seen = seen.iter().copied().collect();
        draw_token(logits, &Draw { uniform, seen: &seen }, config, &mut Scratch::default()).unwrap()
    }

    /// Returns the share of each token over evenly spaced uniform numbers.
    fn shares(logits: &[f32], seen: &[u32], config: &SampleConfig) -> Vec<f64> {
        let mut counts = vec![0.0; logits.len()];
        for i in 0..10_000 {
            counts[draw(logits, (f64::from(i) + 0.5) / 1e4, seen, config).token as usize] += 1e-4;
        }
        counts
    }

    fn assert_close(got: &[f64], want: &[f64], context: &str) {
        for (got, want) in got.iter().zip(want) {
            assert!((got - want).abs() < 2e-4, "{context}: {got} is not {want}");
        }
    }

    #[test]
    fn tokens_are_drawn_in_proportion_to_their_probabilities() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let close = |config, want: [f64; 4]| assert_close(&shares(&logits, &[], &config), &want, "shares");
        close(config(1.0, 1.0), [0.1, 0.2, 0.3, 0.4]);
        close(config(0.5, 1.0), [0.01, 0.04, 0.09, 0.16].map(|p| p / 0.3));
        close(config(1.0, 0.6), [0.0, 0.0, 3.0 / 7.0, 4.0 / 7.0]);
        close(config(1.0, 0.05), [0.0, 0.0, 0.0, 1.0]);
        close(config(0.0, 1.0), [0.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn the_filters_agree_with_those_of_transformers() {
        let golden: Value = serde_json::from_str(include_str!("../../tests/data/sampling_filters.json")).unwrap();
        let logits: Vec<f32> = serde_json::from_value(golden["logits"].clone()).unwrap();
        let seen: Vec<u32> = serde_json::from_value(golden["seen"].clone()).unwrap();
        let cases = golden["cases"].as_array().unwrap();
        assert!(cases.len() > 10);
        for case in cases {
            let config: SampleConfig = serde_json::from_value(case["config"].clone()).unwrap();
            let want: Vec<f64> = serde_json::from_value(case["probabilities"].clone()).unwrap();
            assert_close(&shares(&logits, &seen, &config), &want, &case["config"].to_string());
        }
    }

    #[test]
    fn a_log_probability_is_that_of_the_temperature_alone() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let filtered = SampleConfig {
            temperature: 0.5,
            top_k: 2,
            top_p: 0.9,
            min_p: 0.1,
            repetition_penalty: 1.3,
            ..SampleConfig::default()
        };
        // The penalty leaves 0.3 of token 3's probability of 0.4, and the second of two tokens is drawn.
        let drawn = draw(&logits, 0.99, &[3], &filtered);
        assert_eq!(drawn.token, 2);
        assert!((drawn.log_prob - (0.09f32 / 0.3).ln()).abs() < 1e-6);
        let greedy = draw(&logits, 0.99, &[], &config(0.0, 1.0));
        assert!((greedy.log_prob - 0.4f32.ln()).abs() < 1e-6);
    }

    #[test]
    fn the_cuda_kernel_draws_the_same_tokens() {
        if !cuda::can_emulate() {
            return;
        }
        let logits = (noise(&[40, 300], 1) * 4.0).unwrap();
        let seen = HashSet::new();
        let draws: Vec<Draw<'_>> =
            (0..40).map(|row| Draw { uniform: (f64::from(row) + 0.5) / 40.0, seen: &seen }).collect();
        for temperature in [0.0, 0.7] {
            let run = || draw_rows(&logits, &draws, &config(temperature, 1.0)).unwrap();
            for (cuda, cpu) in Path::CudaKernel.force(run).into_iter().zip(run()) {
                let (cuda, cpu) = (cuda.unwrap(), cpu.unwrap());
                assert!(cuda.token == cpu.token && (cuda.log_prob - cpu.log_prob).abs() < 1e-5, "{cuda:?} {cpu:?}");
            }
        }
    }

    #[test]
    fn a_row_that_is_not_finite_gives_no_token() {
        let logits = Tensor::new(&[[0f32, f32::NAN], [1.0, 0.0]], &Device::Cpu).unwrap();
        let draw = Draw { uniform: 0.5, seen: &HashSet::new() };
        for temperature in [0.0, 1.0] {
            let drawn = draw_rows(&logits, &[draw; 2], &config(temperature, 1.0)).unwrap();
            assert_eq!([drawn[0], drawn[1]].map(|drawn| drawn.map(|drawn| drawn.token)), [None, Some(0)]);
        }
    }
}
