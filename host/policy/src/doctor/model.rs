//! A small model on a device against the same on the CPU.

use candle_core::{DType, Device, Tensor, Var};

use super::check::{Check, largest};
use crate::{
    device::Precision,
    error::Result,
    generate::{completion::Request, config::SampleConfig, sample::sample, seed::Seed},
    model::{
        batch::{Batch, Sequence},
        gradient::{Checkpointing, Gradients},
        log_probs::log_probs,
    },
    policy::Policy,
};

/// Compares the embedded model on a device with the same on the CPU.
pub(super) fn model(device: &Device) -> Vec<Check> {
    let mut checks = Vec::new();
    for precision in [Precision::F32, Precision::Bf16] {
        let dtype = precision.dtype();
        checks.push(Check::new("model: log-probabilities", dtype, log_probs_error(device, dtype)));
        checks.push(Check::new("model: gradients", dtype, gradients_error(device, dtype)));
    }
    checks.push(Check::new("model: greedy text", DType::F32, greedy_error(device)));
    checks
}

/// Compares completions that are drawn alone with those of a batch, on a device.
pub(super) fn batch(device: &Device) -> Vec<Check> {
    let of = |precision: Precision| {
        let dtype = precision.dtype();
        // In bf16 a rounding can decide between two tokens, about once in a few hundred.
        let bound = if precision.is_f32() { 0.0 } else { 0.5 };
        Check::new("model: alone as in a batch", dtype, batch_error(device, dtype)).within(bound)
    };
    [Precision::F32, Precision::Bf16].into_iter().map(of).collect()
}

fn policy(device: &Device, dtype: DType) -> Result<Policy> {
    let policy = Policy::tiny(1, device)?;
    Ok(Policy { transformer: policy.transformer.computing_in(dtype), ..policy })
}

fn sequences() -> Vec<Sequence> {
    let tokens = |seed: usize, count: usize| (0..count).map(|i| ((seed * 31 + i * 17) % 90 + 3) as u32).collect();
    (0..4).map(|i| Sequence { prompt: tokens(i / 2, 9 + i / 2 * 30), completion: tokens(i + 10, 5 + 9 * i) }).collect()
}

fn log_probs_error(device: &Device, dtype: DType) -> Result<f64> {
    let of = |device: &Device, dtype| -> Result<Tensor> {
        let values = log_probs(&policy(device, dtype)?.transformer, &sequences(), 1.0, 1 << 20)?;
        Ok(Tensor::new(values.concat(), &Device::Cpu)?)
    };
    largest(&[of(device, dtype)?], &[of(&Device::Cpu, DType::F32)?])
}

fn gradients_error(device: &Device, dtype: DType) -> Result<f64> {
    let of = |device: &Device, dtype| -> Result<Vec<Tensor>> {
        let model = policy(device, dtype)?.transformer;
        let model = model.map(&mut |_, weight| Ok(Var::from_tensor(&weight.copy()?)?.into_inner()))?;
        let sequences = sequences();
        let batch = Batch::from_sequences(&sequences.iter().collect::<Vec<_>>());
        let tokens = batch.targets.len() as f64;
        let mut grads = Gradients::default();
        model.add_gradient(
            &batch,
            1.0,
            Checkpointing::Off,
            crate::ops::Tracked::LogProbs,
            &mut grads,
            &mut |_, prediction| Ok((prediction.log_probs.sum_all()? / tokens)?),
        )?;
        let grads = grads.into_inner();
        let of_variable = |(_, variable): (String, Var)| match grads.get(&variable) {
            Some(grad) => Ok(grad.clone()),
            None => Ok(variable.zeros_like()?),
        };
        model.trainable().into_iter().map(of_variable).collect()
    };
    largest(&of(device, dtype)?, &of(&Device::Cpu, DType::F32)?)
}

/// Returns the share of greedy completions that differ.
fn greedy_error(device: &Device) -> Result<f64> {
    let prompts = sequences();
    let of = |device: &Device| {
        let requests: Vec<Request<'_>> = prompts
            .iter()
            .map(|sequence| Request { prompt: &sequence.prompt, seed: Seed { run: 0, step: 0, sample: 0 } })
            .collect();
        let config = SampleConfig { temperature: 0.0, max_new_tokens: 12, ..SampleConfig::default() };
        sample(&policy(device, DType::F32)?, &requests, &config)
    };
    let (got, want) = (of(device)?, of(&Device::Cpu)?);
    let different = got.iter().zip(&want).filter(|(got, want)| got.tokens != want.tokens).count();
    Ok(different as f64 / want.len() as f64)
}

/// Returns the share of completions of a batch of 64 that are others alone.
fn batch_error(device: &Device, dtype: DType) -> Result<f64> {
    let (policy, prompts) = (policy(device, dtype)?, sequences());
    let request =
        |sample: u64| Request { prompt: &prompts[sample as usize / 16].prompt, seed: Seed { run: 1, step: 1, sample } };
    let requests: Vec<Request<'_>> = (0..64).map(request).collect();
    let config = SampleConfig { max_new_tokens: 12, ..SampleConfig::default() };
    let together = sample(&policy, &requests, &config)?;
    let (mut different, mut compared) = (0, 0);
    for (request, together) in requests.iter().zip(together).step_by(8) {
        compared += 1;
        different += usize::from(sample(&policy, &[*request], &config)?[0].tokens != together.tokens);
    }
    Ok(f64::from(different as u32) / f64::from(compared))
}
