//! From a row of logits to a token and its log-probability.

use alft_kernels::{self as kernels, softmax_in_place};
use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use crate::{
    cuda,
    error::Result,
    generate::config::SampleConfig,
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
    if Path::of(Op::Draw, logits) == Path::CudaKernel {
        let device = logits.device();
        let uniforms = Tensor::from_iter(uniform_bits(draws), device)?;
        let longest = draws.iter().map(|draw| draw.seen.len()).max().unwrap_or(0);
        let table = || Tensor::from_iter(seen_table(draws, longest), device)?.reshape((draws.len(), longest));
        let seen = (config.repetition_penalty != 1.0).then(table).transpose()?;
        let drawn = Tensor::zeros((draws.len(), 2), DType::U32, device)?;
        cuda::draw::draw(logits, &uniforms, seen.as_ref(), config.filters(), &drawn)?;
        return Ok(read_drawn(&drawn.flatten_all()?.to_vec1()?));
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

/// Returns the bits of the uniform numbers, as the CUDA kernel reads them.
pub(crate) fn uniform_bits(draws: &[Draw<'_>]) -> impl Iterator<Item = u32> {
    draws.iter().map(|draw| (draw.uniform as f32).to_bits())
}

/// Returns the tokens that the penalty applies to, `longest` for each draw, as the CUDA kernel reads them.
pub(crate) fn seen_table(draws: &[Draw<'_>], longest: usize) -> impl Iterator<Item = u32> {
    let padded = move |draw: &Draw<'_>| {
        let tokens: Vec<u32> =
            draw.seen.iter().copied().chain(std::iter::repeat(cuda::draw::NONE)).take(longest).collect();
        tokens
    };
    draws.iter().flat_map(padded)
}

/// Reads the tokens and the bits of the log-probabilities that the CUDA kernel drew.
pub(crate) fn read_drawn(numbers: &[u32]) -> Vec<Option<Drawn>> {
    let of_row =
        |row: &[u32]| (row[0] != cuda::draw::NONE).then(|| Drawn { token: row[0], log_prob: f32::from_bits(row[1]) });
    numbers.chunks_exact(2).map(of_row).collect()
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
        // In the order of the vocabulary, as a device draws, which does not sort them.
        candidates.sort_unstable_by_key(|(token, _)| *token);
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
        // Tokens 2 and 3 pass, and the first of them is drawn.
        let drawn = draw(&logits, 0.01, &[3], &filtered);
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
        let values: Vec<f32> = (noise(&[12 * 300], 1) * 4.0).unwrap().to_vec1().unwrap();
        // Steps of a sixteenth give equal logits, whose order decides.
        let values = values.into_iter().map(|value| (value * 16.0).round() / 16.0).collect();
        let logits = Tensor::from_vec(values, (12, 300), &Device::Cpu).unwrap();
        let seen: Vec<HashSet<u32>> =
            (0..12).map(|row| (0..3 * row).map(|i| (row * 31 + i * 17) % 300).collect()).collect();
        let draws: Vec<Draw<'_>> =
            (0..12).map(|row| Draw { uniform: (row as f64 + 0.5) / 12.0, seen: &seen[row] }).collect();
        let all = |temperature| config(temperature, 1.0);
        let cases = [
            all(0.0),
            all(0.7),
            config(0.7, 0.8),
            SampleConfig { top_k: 7, ..all(1.0) },
            SampleConfig { min_p: 0.1, ..all(1.3) },
            SampleConfig { repetition_penalty: 1.8, ..all(1.0) },
            SampleConfig { repetition_penalty: 0.6, ..all(0.0) },
            SampleConfig { top_k: 20, min_p: 0.02, repetition_penalty: 1.3, ..config(0.9, 0.9) },
        ];
        for config in cases {
            let run = || draw_rows(&logits, &draws, &config).unwrap();
            for (row, (cuda, cpu)) in Path::CudaKernel.force(run).into_iter().zip(run()).enumerate() {
                let (cuda, cpu) = (cuda.unwrap(), cpu.unwrap());
                let near = (cuda.log_prob - cpu.log_prob).abs() < 1e-5;
                assert!(cuda.token == cpu.token && near, "row {row}: {cuda:?} is not {cpu:?} with {config:?}");
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
