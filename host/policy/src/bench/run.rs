//! The measurement of each part.

use std::time::Instant;

use candle_core::{DType, Device};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

use super::{
    config::{BenchConfig, Part},
    limits::Limits,
    memory::Peak,
    report::{BenchReport, PartReport},
    source,
    work::{self, Widths},
};
use crate::{
    device,
    error::Result,
    generate::{completion::Request, config::SampleConfig, sample::sample, seed::Seed},
    model::{batch::Sequence, log_probs::log_probs},
    policy::Policy,
    profile::{self, OperationTime},
    train::{
        loss::GrpoConfig,
        trainer::{OptimiserConfig, Trainer, Tuning},
    },
};

/// The state of a measurement, for whoever waits for it.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The part that is measured.
    pub part: Part,
    /// Number of its sequences.
    pub batch: usize,
    /// Number of repetitions done, of all parts.
    pub done: u64,
    /// Number of repetitions of all parts.
    pub total: u64,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.part, self.batch)
    }
}

/// Opens the model as [`Policy::open`] does, or `tiny`, or one of [`SHAPES`](super::SHAPES) with random weights, and
/// measures it. `watch` is called before each repetition.
///
/// # Errors
/// [`Error::Argument`](crate::Error::Argument) if there is no such model, and [`Error::Setting`](crate::Error::Setting) for
/// settings out of range. Fails for sequences longer than the model's context, and if the tensor library does.
pub fn measure(model: &str, config: &BenchConfig, watch: &mut dyn FnMut(Progress)) -> Result<BenchReport> {
    config.check()?;
    let device = config.device.open()?;
    let mut policy = source::open(model, &device, config.quantisation)?.in_precision(config.dtype)?;
    // Completions of fixed length: no token ends them.
    policy.config.eos_tokens.clear();
    let dtype = policy.transformer.dtype();
    let limits = Limits::measure(&device, dtype, config)?;
    let mut report = BenchReport {
        model: model.to_owned(),
        parameters: policy.transformer.parameter_count(),
        device: device::describe(&device),
        dtype: dtype.as_str().to_owned(),
        config: config.clone(),
        limits,
        parts: Vec::new(),
    };

    let asked = |part: &Part| config.parts.contains(part);
    let mut parts: Vec<(Part, usize)> = Vec::new();
    if asked(&Part::Decode) {
        parts.extend(config.batches.iter().map(|batch| (Part::Decode, *batch)));
    }
    let rest = [Part::LogProbs, Part::UpdateLora, Part::UpdateFull].into_iter().filter(asked);
    parts.extend(rest.map(|part| (part, config.sequences)));

    let rounds = |(part, _): &(Part, usize)| {
        let timings = if *part == Part::Decode { 2 } else { 1 };
        ((1 + config.repeat) * timings + usize::from(config.profile)) as u64
    };
    let mut bench = Bench { config, device, dtype, limits, total: parts.iter().map(rounds).sum(), done: 0, watch };
    let mut policy = Some(policy);
    for (index, (part, batch)) in parts.iter().enumerate() {
        // The last part gets the only copy, so that training all weights does not keep the model of before.
        let policy = if index + 1 == parts.len() { policy.take() } else { policy.clone() };
        if let Some(policy) = policy {
            report.parts.push(bench.part(*part, *batch, policy)?);
        }
    }
    Ok(report)
}

struct Bench<'a> {
    config: &'a BenchConfig,
    device: Device,
    dtype: DType,
    limits: Limits,
    done: u64,
    total: u64,
    watch: &'a mut dyn FnMut(Progress),
}

/// The times of the repetitions of a part.
struct Times {
    seconds: Vec<f64>,
    operations: Vec<OperationTime>,
}

impl Bench<'_> {
    fn part(&mut self, part: Part, batch: usize, policy: Policy) -> Result<PartReport> {
        let peak = Peak::begin(&self.device);
        let config = self.config;
        let number = self.dtype.size_in_bytes();
        // Generation on the CPU packs the weights.
        let packed = part == Part::Decode && self.device.is_cpu();
        let weight = if packed { config.weights.bytes() } else { number };
        let work = work::least(part, batch, &policy.config, config, Widths { weight, number });
        let (tokens, prompt_seconds, times) = if part == Part::Decode {
            let (prompt, times) = self.decode(batch, &policy)?;
            (batch * (config.new_tokens - 1), Some(prompt), times)
        } else {
            (batch * (config.prompt_tokens + config.completion_tokens), None, self.score_or_update(part, policy)?)
        };
        let best_seconds = times.seconds.iter().copied().fold(f64::INFINITY, f64::min);
        let seconds = median(times.seconds);
        Ok(PartReport {
            part,
            batch,
            tokens,
            seconds,
            best_seconds,
            tokens_per_second: tokens as f64 / seconds,
            prompt_seconds,
            peak_memory: peak.read(),
            bandwidth_share: work.bytes / seconds / self.limits.bytes_per_second,
            arithmetic_share: work.flops / seconds / self.limits.flops_per_second,
            operations: times.operations,
        })
    }

    /// Measures drawing of one token, which is the work of the prompts, and of all. Returns the median of the first, and
    /// the differences.
    fn decode(&mut self, batch: usize, policy: &Policy) -> Result<(f64, Times)> {
        let config = self.config;
        let prompts: Vec<Vec<u32>> =
            (0..batch.div_ceil(config.group)).map(|index| tokens(policy, index as u64, config.prompt_tokens)).collect();
        let mut step = 0;
        let mut draw = |max_new_tokens| {
            step += 1;
            let request = |index: usize| Request {
                prompt: &prompts[index / config.group],
                seed: Seed { run: 1, step, sample: index as u64 },
            };
            let requests: Vec<Request<'_>> = (0..batch).map(request).collect();
            let weights = config.weights;
            let sampling = SampleConfig { max_new_tokens, max_batch: batch, weights, ..SampleConfig::default() };
            sample(policy, &requests, &sampling).map(drop)
        };
        let first = self.repeat((Part::Decode, batch), false, &mut || draw(1))?;
        let prompt = median(first.seconds);
        let mut all = self.repeat((Part::Decode, batch), config.profile, &mut || draw(config.new_tokens))?;
        // A clock too coarse for a small model can show no difference. The whole time then understates the speed.
        all.seconds.iter_mut().filter(|all| **all > prompt).for_each(|all| *all -= prompt);
        Ok((prompt, all))
    }

    fn score_or_update(&mut self, part: Part, policy: Policy) -> Result<Times> {
        let config = self.config;
        let sequence = |index: usize| Sequence {
            prompt: tokens(&policy, (index / config.group) as u64, config.prompt_tokens),
            completion: tokens(&policy, (config.sequences + index) as u64, config.completion_tokens),
        };
        let batch: Vec<Sequence> = (0..config.sequences).map(sequence).collect();
        let tuning = match part {
            Part::UpdateLora => Tuning::Lora(config.lora.clone()),
            Part::UpdateFull => Tuning::Full,
            Part::Decode | Part::LogProbs => {
                let mut score = || log_probs(&policy.transformer, &batch, 1.0, config.token_budget).map(drop);
                return self.repeat((part, batch.len()), config.profile, &mut score);
            }
        };
        let advantages: Vec<Option<f64>> =
            (0..batch.len()).map(|index| Some(if index % 2 == 0 { 1.0 } else { -1.0 })).collect();
        let mut trainer = Trainer::new(policy, &tuning, OptimiserConfig::default(), config.token_budget, 1)?;
        let grpo = GrpoConfig { beta: 0.0, ..GrpoConfig::default() };
        let mut update = || trainer.grpo_step(&batch, &advantages, &grpo).map(drop);
        self.repeat((part, batch.len()), config.profile, &mut update)
    }

    /// Times `work` after one repetition to warm up, and records its operations in another if `profile`.
    fn repeat(&mut self, part: (Part, usize), profile: bool, work: &mut dyn FnMut() -> Result<()>) -> Result<Times> {
        let mut times = Times { seconds: Vec::with_capacity(self.config.repeat), operations: Vec::new() };
        for round in 0..=self.config.repeat {
            self.tell(part);
            let started = Instant::now();
            work()?;
            self.device.synchronize()?;
            if round > 0 {
                times.seconds.push(started.elapsed().as_secs_f64());
            }
        }
        if profile {
            self.tell(part);
            let (result, operations) = profile::record(&self.device, work);
            result?;
            times.operations = operations;
        }
        Ok(times)
    }

    fn tell(&mut self, (part, batch): (Part, usize)) {
        (self.watch)(Progress { part, batch, done: self.done, total: self.total });
        self.done += 1;
    }
}

/// Returns pseudo-random tokens, each with an equal chance.
fn tokens(policy: &Policy, seed: u64, count: usize) -> Vec<u32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| rng.next_u32() % policy.config.vocab_size as u32).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DevicePreference;

    #[test]
    fn every_part_is_measured_once_and_progress_reaches_its_end() {
        let config = BenchConfig {
            device: DevicePreference::Cpu,
            parts: vec![Part::UpdateFull, Part::Decode, Part::LogProbs, Part::UpdateLora],
            batches: vec![3, 1],
            group: 2,
            prompt_tokens: 5,
            new_tokens: 4,
            sequences: 3,
            completion_tokens: 6,
            repeat: 2,
            ..BenchConfig::quick()
        };
        let mut seen = Vec::new();
        let report = measure("tiny", &config, &mut |at| seen.push((at.done, at.total))).unwrap();
        let measured: Vec<_> = report.parts.iter().map(|part| (part.part, part.batch, part.tokens)).collect();
        let rest = [Part::LogProbs, Part::UpdateLora, Part::UpdateFull].map(|part| (part, 3, 33));
        assert_eq!(measured, [&[(Part::Decode, 3, 9), (Part::Decode, 1, 3)][..], &rest].concat());
        let total = seen.len() as u64;
        assert_eq!(seen, (0..total).map(|done| (done, total)).collect::<Vec<_>>());
        for part in &report.parts {
            assert!(part.seconds > 0.0 && part.best_seconds <= part.seconds, "{part:?}");
            assert!(part.bandwidth_share > 0.0 && part.arithmetic_share > 0.0, "{part:?}");
            // Not compared with each other: other tests of this process run operations too.
            assert!(part.operations.iter().any(|operation| operation.operation == "linear"), "{part:?}");
        }
        let table = report.to_string();
        assert_eq!(table.lines().count(), 5 + report.parts.len(), "{table}");
    }

    #[test]
    fn a_setting_out_of_range_is_an_error_before_anything_is_measured() {
        let config = BenchConfig { repeat: 0, ..BenchConfig::default() };
        let error = measure("tiny", &config, &mut |_| panic!("measured")).unwrap_err();
        assert_eq!(error.to_string(), "`repeat` must be at least 1");
    }

    #[test]
    fn the_median_of_an_even_number_is_between_its_neighbours() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
    }
}
