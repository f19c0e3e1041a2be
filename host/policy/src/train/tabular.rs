//! The tabular policy: for each prompt a softmax over listed traces, in place of a language model.
//!
//! It is sampled and trained like a language model whose completions are one token long, with the same loss and the same
//! optimiser. A step costs microseconds, which makes it fit for studying algorithms.

use candle_core::{DType, Device, Tensor, Var};
use rand_chacha::{ChaCha8Rng, rand_core::Rng};

use crate::{
    error::{Error, Result},
    train::{
        adamw::AdamW,
        loss::{self, EntropyBonus, GrpoConfig, LossInputs},
        schedule::Schedule,
        trainer::OptimiserConfig,
    },
};

/// A tabular policy, with its optimiser and the reference that it started from.
#[derive(Debug)]
pub struct TabularPolicy {
    /// The only variable, by name: the logits of all prompts, one prompt after another.
    logits: Vec<(String, Var)>,
    /// Log-probabilities of each prompt's traces under the reference, (traces,).
    reference: Vec<Tensor>,
    /// Number of traces of each prompt.
    sizes: Vec<usize>,
    optimiser: AdamW,
    schedule: Schedule,
}

impl TabularPolicy {
    /// Creates a policy that starts as its reference, given the probability of each trace of each prompt, all above 0.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range and for probabilities that are not above 0 and finite.
    pub fn new(reference: &[Vec<f64>], optimiser: OptimiserConfig) -> Result<Self> {
        if let Some(p) = reference.iter().flatten().find(|p| !(**p > 0.0 && p.is_finite())) {
            return Err(Error::setting("reference", format!("has a probability of {p}; leave that trace out")));
        }
        let logits: Vec<f32> = reference.iter().flatten().map(|p| p.ln() as f32).collect();
        let sizes: Vec<usize> = reference.iter().map(Vec::len).collect();
        let logits = Var::from_tensor(&Tensor::from_vec(logits, sizes.iter().sum::<usize>(), &Device::Cpu)?)?;
        let logits = vec![("logits".to_owned(), logits)];
        let (adamw, schedule) = (optimiser.open(&logits)?, optimiser.schedule);
        let mut policy = Self { logits, reference: Vec::new(), sizes, optimiser: adamw, schedule };
        policy.reference = policy
            .log_probs()?
            .iter()
            .map(|prompt| prompt.copy()?.detach().to_dtype(DType::F32))
            .collect::<Result<_, _>>()?;
        Ok(policy)
    }

    /// Returns the log-probabilities of each prompt's traces; tracked.
    fn log_probs(&self) -> Result<Vec<Tensor>> {
        let mut start = 0;
        let log_softmax = |size: &usize| {
            let logits = self.logits[0].1.narrow(0, start, *size)?;
            start += size;
            Ok(logits.broadcast_sub(&logits.log_sum_exp(0)?)?)
        };
        self.sizes.iter().map(log_softmax).collect()
    }

    /// Returns the probability of each trace of each prompt.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub fn probabilities(&self) -> Result<Vec<Vec<f64>>> {
        let exp = |log_probs: &Tensor| -> Result<Vec<f64>> {
            Ok(log_probs.detach().to_vec1::<f32>()?.into_iter().map(|l| f64::from(l).exp()).collect())
        };
        self.log_probs()?.iter().map(exp).collect()
    }

    /// Returns log(π/π_ref) of each trace of each prompt, in nats.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub fn log_ratios(&self) -> Result<Vec<Vec<f64>>> {
        let ratio = |(current, reference): (&Tensor, &Tensor)| -> Result<Vec<f64>> {
            let ratio = (current.detach() - reference)?.to_vec1::<f32>()?;
            Ok(ratio.into_iter().map(f64::from).collect())
        };
        self.log_probs()?.iter().zip(&self.reference).map(ratio).collect()
    }

    /// Makes one optimiser step on the GRPO loss, given the prompt's index, the trace's index and the advantage of each
    /// sample.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range. [`Error::NonFinite`] for a gradient that is not finite.
    pub fn grpo_step(&mut self, samples: &[(usize, usize, f64)], config: &GrpoConfig) -> Result<()> {
        config.check()?;
        let own = self.log_probs()?;
        let log_probs = Tensor::cat(&own, 0)?;
        let reference = Tensor::cat(&self.reference, 0)?;
        let starts: Vec<usize> =
            self.sizes.iter().scan(0, |sum, size| Some(std::mem::replace(sum, *sum + size))).collect();
        let places: Vec<u32> = samples.iter().map(|(prompt, trace, _)| (starts[*prompt] + trace) as u32).collect();
        let rows = samples.len();
        let places = Tensor::from_vec(places, rows, &Device::Cpu)?;
        let column = |values: Vec<f32>| Tensor::from_vec(values, rows, &Device::Cpu);
        let log_probs = log_probs.index_select(&places, 0)?.unsqueeze(1)?;
        let lengths = vec![1; rows];
        let weights = config.token_weights(&lengths);
        let bonus = |weight: f64| -> Result<EntropyBonus> {
            let entropy = |prompt: &Tensor| (prompt.exp()? * prompt)?.sum_keepdim(0)?.neg();
            let entropies = Tensor::cat(&own.iter().map(entropy).collect::<Result<Vec<_>, _>>()?, 0)?;
            let prompts = samples.iter().map(|(prompt, ..)| *prompt as u32).collect();
            let prompts = Tensor::from_vec(prompts, rows, &Device::Cpu)?;
            Ok(EntropyBonus { entropies: entropies.index_select(&prompts, 0)?.unsqueeze(1)?, weight })
        };
        let inputs = LossInputs {
            old_log_probs: log_probs.detach(),
            reference_log_probs: Some(reference.index_select(&places, 0)?.unsqueeze(1)?),
            advantages: column(samples.iter().map(|(_, _, advantage)| *advantage as f32).collect())?,
            mask: Tensor::ones((rows, 1), DType::F32, &Device::Cpu)?,
            token_weights: column(weights.into_iter().map(|weight| weight as f32).collect())?,
            entropy: Some(config.entropy_weight(&lengths)).filter(|weight| *weight != 0.0).map(bonus).transpose()?,
            log_probs,
        };
        let grads = loss::loss(&inputs, config)?.backward()?;
        let rate = self.schedule.rate(self.optimiser.steps);
        self.optimiser.clipped_step(&grads, rate)?;
        Ok(())
    }
}

/// Draws an index from a distribution.
pub fn sample_index(probabilities: &[f64], rng: &mut ChaCha8Rng) -> usize {
    let mut left = (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64 * probabilities.iter().sum::<f64>();
    for (at, p) in probabilities.iter().enumerate() {
        left -= p;
        if left < 0.0 {
            return at;
        }
    }
    probabilities.len() - 1
}

#[cfg(test)]
mod tests {
    use rand_chacha::rand_core::SeedableRng;

    use super::*;
    use crate::train::{adamw::AdamWConfig, loss::KlPenalty, schedule::Decay};

    fn optimiser(rate: f64) -> OptimiserConfig {
        let schedule = Schedule { learning_rate: rate, warmup_steps: 0, decay: Decay::Constant, ..Schedule::default() };
        OptimiserConfig { schedule, adamw: AdamWConfig::default() }
    }

    #[test]
    fn a_policy_starts_as_its_reference_and_moves_towards_positive_advantages() {
        let mut policy = TabularPolicy::new(&[vec![0.5, 0.5], vec![0.2, 0.3, 0.5]], optimiser(0.1)).unwrap();
        assert!((policy.probabilities().unwrap()[1][2] - 0.5).abs() < 1e-6);
        assert!(policy.log_ratios().unwrap().iter().flatten().all(|ratio| ratio.abs() < 1e-6));
        let config = GrpoConfig { kl: KlPenalty::Reward, ..GrpoConfig::default() };
        for _ in 0..20 {
            policy.grpo_step(&[(1, 0, 1.0), (1, 1, -0.5), (1, 2, -0.5)], &config).unwrap();
        }
        let now = policy.probabilities().unwrap();
        assert!(now[1][0] > 0.5 && (now[0][0] - 0.5).abs() < 1e-6, "{now:?}");
    }

    #[test]
    fn sampled_indices_follow_the_distribution() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut counts = [0; 3];
        (0..10_000).for_each(|_| counts[sample_index(&[0.2, 0.3, 0.5], &mut rng)] += 1);
        assert!(counts.iter().zip([2000, 3000, 5000]).all(|(count, wanted): (&i32, i32)| (count - wanted).abs() < 200));
    }
}
