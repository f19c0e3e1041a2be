//! Training: a policy, its optimiser and the reference it is held to.
//!
//! A batch is computed in micro-batches of at most `token_budget` tokens, their gradients added up: the result is that
//! of the whole batch, up to rounding. A step that fails leaves the weights and the optimiser as they were.

use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{
    adamw::{AdamW, AdamWConfig, global_norm},
    error::{Error, Result},
    grpo::{self, GrpoConfig, LossInputs},
    logprob::{Sequence, log_probs},
    lora::{self, LoraConfig},
    ops::Prediction,
    packed::{Packed, check, micro_batches},
    policy::Policy,
    schedule::Schedule,
    state,
    transformer::Transformer,
};

/// Which weights learn.
#[derive(Debug, Clone, PartialEq)]
pub enum Tuning {
    /// All of them.
    Full,
    /// Low-rank adapters, on frozen weights.
    Lora(LoraConfig),
}

/// How a phase of training moves the weights.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// The learning rate over the phase's steps.
    pub schedule: Schedule,
    /// Momentum, decay and clipping.
    pub adamw: AdamWConfig,
}

/// What a supervised step did.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisedReport {
    /// Mean cross-entropy per completion token, in nats, before the step.
    pub loss: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// The learning rate used.
    pub learning_rate: f64,
}

/// What a GRPO step did. With several updates per batch: means over the updates. All 0 when no sample could teach
/// anything (`beta` 0 and every advantage 0): then no optimiser step was made.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GrpoReport {
    /// The loss, before each update.
    pub loss: f64,
    /// Mean over completion tokens of the k3 estimate of the KL divergence from the reference; 0 when `beta` is 0.
    pub kl: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Share of completion tokens whose ratio is clipped.
    pub clip_fraction: f64,
    /// Mean entropy of the next-token distribution at completion positions, in nats.
    pub entropy: f64,
    /// The learning rate of the last update.
    pub learning_rate: f64,
    /// Completion tokens that were computed.
    pub tokens: usize,
}

/// The frozen policy that a KL penalty is measured from.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) model: Transformer,
    /// What of the model is not the policy's own frozen weights: copies of the variables as they were. Empty when the
    /// reference is the policy with its adapters off.
    pub(crate) own: Vec<(String, Tensor)>,
    /// A name for `own` by its bits.
    pub(crate) digest: String,
}

/// A policy, its optimiser and its reference.
#[derive(Debug)]
pub struct Trainer {
    policy: Policy,
    pub(crate) variables: Vec<(String, Var)>,
    pub(crate) optimiser: AdamW,
    schedule: Schedule,
    pub(crate) reference: Option<Reference>,
    token_budget: usize,
}

impl Trainer {
    /// Makes the weights named by `tuning` trainable. `seed` draws the adapters' first weights; `token_budget` bounds
    /// the tokens (prompts and completions) computed at once, and with them the memory.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range or adapter targets the model does not have.
    pub fn new(
        policy: Policy,
        tuning: &Tuning,
        optimiser: OptimiserConfig,
        token_budget: usize,
        seed: u64,
    ) -> Result<Self> {
        if token_budget == 0 {
            return Err(Error::setting("token_budget", "must be at least 1"));
        }
        let transformer = match tuning {
            Tuning::Full => {
                policy.transformer.map(&mut |_, weight| Ok(Var::from_tensor(&weight.detach().copy()?)?.into_inner()))?
            }
            Tuning::Lora(config) => lora::attach(&policy.transformer, config, seed)?,
        };
        let variables = transformer.trainable();
        optimiser.schedule.check()?;
        Ok(Self {
            policy: Policy { transformer, ..policy },
            optimiser: AdamW::new(optimiser.adamw, &variables)?,
            schedule: optimiser.schedule,
            variables,
            reference: None,
            token_budget,
        })
    }

    /// The policy being trained.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Gives the policy back, to export it.
    pub fn into_policy(self) -> Policy {
        self.policy
    }

    /// The frozen reference, once there is one: for [`log_probs`].
    pub fn reference(&self) -> Option<&Transformer> {
        self.reference.as_ref().map(|reference| &reference.model)
    }

    /// The frozen reference as a policy that can be sampled, once there is one.
    pub fn reference_policy(&self) -> Option<Policy> {
        let reference = self.reference()?;
        Some(Policy { transformer: reference.clone(), ..self.policy.clone() })
    }

    /// Optimiser steps made in this phase.
    pub fn step(&self) -> u64 {
        self.optimiser.step
    }

    /// Tokens computed at once.
    pub fn token_budget(&self) -> usize {
        self.token_budget
    }

    /// Begins a phase: a fresh optimiser (no momentum, step 0) on the weights as they are.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range; the phase before then goes on.
    pub fn begin_phase(&mut self, optimiser: OptimiserConfig) -> Result<()> {
        optimiser.schedule.check()?;
        self.optimiser = AdamW::new(optimiser.adamw, &self.variables)?;
        self.schedule = optimiser.schedule;
        Ok(())
    }

    /// Takes the policy as it is now for the reference of the KL penalty. It costs a copy of what is trainable; for
    /// adapters that have learnt nothing yet it costs nothing, as the reference is the policy with adapters off.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn freeze_reference(&mut self) -> Result<()> {
        let untouched = self.policy.transformer.has_idle_adapters()?;
        let own = if untouched {
            Vec::new()
        } else {
            // A detached variable shares its storage, and would move with the policy: this must be a copy.
            let copies = self.variables.iter().map(|(name, v)| Ok((name.clone(), v.copy()?.detach())));
            copies.collect::<Result<_>>()?
        };
        self.reference = Some(self.reference_of(own)?);
        Ok(())
    }

    /// The reference whose variables are `own`, or the policy with its adapters off.
    pub(crate) fn reference_of(&self, own: Vec<(String, Tensor)>) -> Result<Reference> {
        let model = if own.is_empty() {
            lora::drop_adapters(&self.policy.transformer)?
        } else {
            let mut copies = own.iter().map(|(_, tensor)| tensor.clone());
            self.policy.transformer.map(&mut |_, weight| match weight.is_variable() {
                true => copies.next().ok_or_else(|| Error::setting("reference", "has fewer weights than the policy")),
                false => Ok(weight.clone()),
            })?
        };
        Ok(Reference { model, digest: state::digest(&own)?, own })
    }

    /// One optimiser step on the mean cross-entropy of the completions' tokens.
    ///
    /// # Errors
    /// Sequences that cannot be computed; [`Error::NonFinite`] for a loss or gradient that is not finite.
    pub fn supervised_step(&mut self, batch: &[Sequence]) -> Result<SupervisedReport> {
        let tokens: usize = batch.iter().map(|sequence| sequence.completion.len()).sum();
        let all: Vec<usize> = (0..batch.len()).collect();
        let (loss, grads) = self.gradients(batch, &all, 1.0, |_, prediction| {
            Ok((prediction.log_probs.sum_all()? * (-1.0 / tokens.max(1) as f64))?)
        })?;
        let (grad_norm, learning_rate) = self.update(&grads)?;
        Ok(SupervisedReport { loss, grad_norm, learning_rate })
    }

    /// `updates_per_batch` optimiser steps on the GRPO loss. `advantages` has one number a sequence. Sequences of
    /// advantage 0 count for the KL penalty; without one they are not computed.
    ///
    /// # Errors
    /// As [`Self::supervised_step`]; [`Error::Setting`] for settings out of range and advantages that are not one finite
    /// number a sequence; [`Error::NoReference`] when `beta` is not 0 and no reference was frozen. With several updates
    /// those before a failing one stand.
    pub fn grpo_step(&mut self, batch: &[Sequence], advantages: &[f64], config: &GrpoConfig) -> Result<GrpoReport> {
        config.check()?;
        if advantages.len() != batch.len() || !advantages.iter().all(|advantage| advantage.is_finite()) {
            let reason = format!("must be one finite number for each of the {} sequences", batch.len());
            return Err(Error::setting("advantages", reason));
        }
        check(batch, self.policy.transformer.vocabulary(), self.policy.transformer.context())?;
        let beta = config.loss_beta();
        let wanted: Vec<usize> = (0..batch.len()).filter(|&index| beta != 0.0 || advantages[index] != 0.0).collect();
        if wanted.is_empty() {
            return Ok(GrpoReport::default());
        }

        let lengths: Vec<usize> = batch.iter().map(|sequence| sequence.completion.len()).collect();
        let samples = Samples {
            weights: config.token_weights(&lengths),
            advantages,
            reference: match (&self.reference, beta) {
                (_, 0.0) => None,
                (None, beta) => return Err(Error::NoReference { beta }),
                (Some(reference), _) => {
                    Some(log_probs(&reference.model, batch, config.temperature, self.token_budget)?)
                }
            },
            // With a single update the policy that drew the samples is the current one.
            old: match config.updates_per_batch {
                1 => None,
                _ => Some(log_probs(&self.policy.transformer, batch, config.temperature, self.token_budget)?),
            },
        };

        let mut sums = Sums::default();
        let (mut loss, mut grad_norm, mut learning_rate) = (0.0, 0.0, 0.0);
        for _ in 0..config.updates_per_batch {
            let (update_loss, grads) = self.gradients(batch, &wanted, config.temperature, |indices, prediction| {
                samples.loss(batch, indices, prediction, config, &mut sums)
            })?;
            let (norm, rate) = self.update(&grads)?;
            loss += update_loss / config.updates_per_batch as f64;
            grad_norm += norm / config.updates_per_batch as f64;
            learning_rate = rate;
        }
        let tokens = sums.tokens as f64;
        Ok(GrpoReport {
            loss,
            kl: sums.kl / tokens,
            grad_norm,
            clip_fraction: sums.clipped as f64 / tokens,
            entropy: sums.entropy / tokens,
            learning_rate,
            tokens: sums.tokens / config.updates_per_batch,
        })
    }

    /// log(π/π_ref) of each sequence's whole completion, in nats, at `temperature`: what [`KlPenalty::Reward`](grpo::KlPenalty::Reward) takes off
    /// its reward, times β.
    ///
    /// # Errors
    /// [`Error::NoReference`] when no reference was frozen, and sequences that cannot be computed.
    pub fn log_ratios(&self, batch: &[Sequence], temperature: f64) -> Result<Vec<f64>> {
        let reference = self.reference().ok_or(Error::NoReference { beta: 1.0 })?;
        let own = log_probs(&self.policy.transformer, batch, temperature, self.token_budget)?;
        let other = log_probs(reference, batch, temperature, self.token_budget)?;
        let ratio = |(own, other): (&Vec<f32>, &Vec<f32>)| {
            own.iter().zip(other).map(|(a, b)| f64::from(*a) - f64::from(*b)).sum()
        };
        Ok(own.iter().zip(&other).map(ratio).collect())
    }

    /// The loss of the `wanted` sequences and its gradient for each variable, by micro-batches. `loss` is given a
    /// micro-batch's indices and the prediction of its completions, and returns its share of the batch's loss.
    fn gradients(
        &self,
        batch: &[Sequence],
        wanted: &[usize],
        temperature: f64,
        mut loss: impl FnMut(&[usize], &Prediction) -> Result<Tensor>,
    ) -> Result<(f64, Vec<Tensor>)> {
        let model = &self.policy.transformer;
        check(batch, model.vocabulary(), model.context())?;
        if wanted.is_empty() {
            return Err(Error::setting("batch", "is empty"));
        }
        let mut total = 0.0;
        let mut sums: Vec<Option<Tensor>> = vec![None; self.variables.len()];
        for indices in micro_batches(batch, wanted, self.token_budget) {
            let picked: Vec<&Sequence> = indices.iter().map(|&index| &batch[index]).collect();
            let share = loss(&indices, &model.predict(&Packed::of_sequences(&picked), temperature)?)?;
            let value = f64::from(share.to_scalar::<f32>()?);
            self.finite("the loss", value)?;
            total += value;
            let mut grads = share.backward()?;
            for (sum, (_, variable)) in sums.iter_mut().zip(&self.variables) {
                *sum = match (sum.take(), grads.remove(variable)) {
                    (Some(sum), Some(grad)) => Some((sum + grad)?),
                    (sum, grad) => sum.or(grad),
                };
            }
        }
        let grads = sums.into_iter().zip(&self.variables).map(|(sum, (_, variable))| match sum {
            Some(grad) => Ok(grad),
            // Out of the loss's reach, for example when every ratio is clipped.
            None => Ok(variable.zeros_like()?),
        });
        Ok((total, grads.collect::<Result<_>>()?))
    }

    /// One optimiser step. Returns the gradient's norm and the rate.
    fn update(&mut self, grads: &[Tensor]) -> Result<(f64, f64)> {
        let norm = global_norm(grads)?;
        self.finite("the gradient's norm", norm)?;
        let rate = self.schedule.rate(self.optimiser.step);
        self.optimiser.step(&self.variables, grads, norm, rate)?;
        Ok((norm, rate))
    }

    fn finite(&self, what: &str, value: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        Err(Error::NonFinite { what: what.to_owned(), value, step: self.optimiser.step })
    }
}

/// What a batch of samples brings to the loss besides the policy's own log-probabilities.
struct Samples<'a> {
    advantages: &'a [f64],
    /// What a token of each sequence counts.
    weights: Vec<f64>,
    reference: Option<Vec<Vec<f32>>>,
    old: Option<Vec<Vec<f32>>>,
}

/// Sums over tokens, for the report.
#[derive(Default)]
struct Sums {
    tokens: usize,
    kl: f64,
    clipped: usize,
    entropy: f64,
}

impl Samples<'_> {
    /// The share of a micro-batch in the loss.
    fn loss(
        &self,
        batch: &[Sequence],
        indices: &[usize],
        prediction: &Prediction,
        config: &GrpoConfig,
        sums: &mut Sums,
    ) -> Result<Tensor> {
        let device = prediction.log_probs.device();
        let lengths: Vec<usize> = indices.iter().map(|&index| batch[index].completion.len()).collect();
        let (rows, columns) = (indices.len(), lengths.iter().copied().max().unwrap_or(0));
        let current = prediction.log_probs.detach().to_vec1::<f32>()?;

        // Where each place of the padded matrix finds its token; padding reads token 0, which the mask hides.
        let mut places = vec![0u32; rows * columns];
        let mut mask = vec![0f32; rows * columns];
        let (mut old, mut reference) = (vec![0f32; rows * columns], vec![0f32; rows * columns]);
        let mut token = 0;
        for (row, (&index, &length)) in indices.iter().zip(&lengths).enumerate() {
            for column in 0..length {
                let at = row * columns + column;
                (places[at], mask[at]) = (token as u32, 1.0);
                old[at] = self.old.as_ref().map_or(current[token], |old| old[index][column]);
                let now = f64::from(current[token]);
                if let Some(log_probs) = &self.reference {
                    reference[at] = log_probs[index][column];
                    let delta = f64::from(reference[at]) - now;
                    sums.kl += delta.exp_m1() - delta;
                }
                let ratio = (now - f64::from(old[at])).exp();
                sums.clipped += usize::from(config.clips(ratio, self.advantages[index]));
                token += 1;
            }
        }
        sums.tokens += token;
        sums.entropy += prediction.entropies.to_vec1::<f32>()?.iter().map(|h| f64::from(*h)).sum::<f64>();

        let matrix = |values: Vec<f32>| Tensor::from_vec(values, (rows, columns), device);
        let column = |values: &[f64]| {
            Tensor::from_vec(indices.iter().map(|&i| values[i] as f32).collect::<Vec<_>>(), rows, device)
        };
        let places = Tensor::from_vec(places, rows * columns, device)?;
        let inputs = LossInputs {
            log_probs: prediction.log_probs.index_select(&places, 0)?.reshape((rows, columns))?,
            old_log_probs: matrix(old)?,
            reference_log_probs: self.reference.is_some().then(|| matrix(reference)).transpose()?,
            advantages: column(self.advantages)?,
            mask: matrix(mask)?,
            token_weights: column(&self.weights)?,
        };
        grpo::loss(&inputs, config)
    }
}
