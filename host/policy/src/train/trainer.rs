//! The trainer: a policy, its optimiser and the reference policy.
//!
//! A batch is computed in micro-batches of at most `token_budget` tokens, whose gradients are added: the result is that
//! of the whole batch, up to rounding. A step that fails leaves the weights and the optimiser as they were.

use std::path::PathBuf;

use candle_core::{Tensor, Var};
use candle_nn::Optimizer;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    formats::peft,
    model::{
        batch::{Batch, Sequence, check, micro_batches},
        gradient::{Checkpointing, Gradients},
        log_probs::log_probs,
        lora::{self, LoraConfig},
        transformer::Transformer,
    },
    ops::{Prediction, Tracked},
    policy::Policy,
    train::{
        adamw::{AdamW, AdamWConfig},
        loss::GrpoConfig,
        memory::UpdateMemory,
        reference::Reference,
        samples::{Samples, TokenSums},
        schedule::Schedule,
        snapshot::Snapshot,
    },
};

/// The choice of the trainable weights.
#[derive(Debug, Clone, PartialEq)]
pub enum Tuning {
    /// All weights.
    Full,
    /// Low-rank adapters; the model's weights are frozen.
    Lora(LoraConfig),
    /// The low-rank adapters of a folder of PEFT, which training goes on from.
    Adapter(PathBuf),
}

impl Tuning {
    /// Returns the settings of the adapters; `None` without adapters.
    ///
    /// # Errors
    /// Fails if an adapter's folder cannot be read.
    pub fn lora(&self) -> Result<Option<LoraConfig>> {
        match self {
            Tuning::Full => Ok(None),
            Tuning::Lora(config) => Ok(Some(config.clone())),
            Tuning::Adapter(folder) => peft::config(folder).map(Some),
        }
    }
}

/// The settings of the optimiser in one phase of training.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Learning rate at each step of the phase.
    pub schedule: Schedule,
    /// Momentum, weight decay and gradient clipping.
    pub adamw: AdamWConfig,
}

impl OptimiserConfig {
    /// Creates the optimiser of some variables.
    ///
    /// # Errors
    /// [`Error::Setting`] for the first setting that is out of range.
    pub(crate) fn open(&self, variables: &[(String, Var)]) -> Result<AdamW> {
        self.schedule.check()?;
        self.adamw.check()?;
        Ok(AdamW::new(variables.iter().map(|(_, variable)| variable.clone()).collect(), self.adamw.clone())?)
    }
}

/// The step stats of a supervised step.
#[derive(Debug, Clone, PartialEq)]
pub struct SupervisedStats {
    /// Mean cross-entropy per completion token, in nats, before the step.
    pub loss: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Learning rate of the step.
    pub learning_rate: f64,
}

/// The step stats of a GRPO step. With several updates per batch they are means over the updates. All are 0 if no
/// optimiser step was made because every advantage was 0 and the loss has neither a KL penalty nor an entropy bonus.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GrpoStats {
    /// Loss before each update.
    pub loss: f64,
    /// Mean over completion tokens of the k3 estimate of the KL divergence from the reference, in nats; 0 without a KL
    /// penalty in the loss.
    pub kl: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Share of completion tokens whose ratio is clipped.
    pub clip_fraction: f64,
    /// Mean entropy of the next-token distribution at completion positions, in nats.
    pub entropy: f64,
    /// Learning rate of the last update.
    pub learning_rate: f64,
    /// Number of completion tokens that were computed.
    pub tokens: usize,
}

/// A policy in training, with its optimiser and its reference policy.
#[derive(Debug)]
pub struct Trainer {
    policy: Policy,
    pub(crate) variables: Vec<(String, Var)>,
    pub(crate) optimiser: AdamW,
    schedule: Schedule,
    /// The step of the phase that the schedule is at, if it does not count updates.
    scheduled_step: Option<u64>,
    pub(crate) reference: Option<Reference>,
    token_budget: usize,
    checkpointing: Checkpointing,
    seed: u64,
}

impl Trainer {
    /// Creates a trainer and makes the weights chosen by `tuning` trainable. The adapters' initial weights, and the masks of
    /// their dropout at each step, are drawn from `seed`. `token_budget` bounds the number of tokens (prompts and completions) computed at once, and so the memory.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range, for adapter targets that the model does not have, and for training of all
    /// weights of a model that is quantised.
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
            Tuning::Full if policy.transformer.quantised_size().elements > 0 => {
                let reason = "keeps frozen weights in few bits, and those are trained, by steps that few bits would round away: \
                              train adapters, or leave it out";
                return Err(Error::setting("quantisation", reason));
            }
            Tuning::Full => {
                policy.transformer.map(&mut |_, weight| Ok(Var::from_tensor(&weight.detach().copy()?)?.into_inner()))?
            }
            Tuning::Lora(config) => lora::attach(&policy.transformer, config, seed)?,
            Tuning::Adapter(folder) => peft::attach(&policy.transformer, folder)?,
        };
        let variables = transformer.trainable();
        Ok(Self {
            policy: Policy { transformer, ..policy },
            optimiser: optimiser.open(&variables)?,
            schedule: optimiser.schedule,
            scheduled_step: None,
            variables,
            reference: None,
            token_budget,
            checkpointing: Checkpointing::Off,
            seed,
        })
    }

    /// Sets if the backward pass computes the activations of each layer again, in place of keeping them from the forward
    /// pass: less memory, more time, the same bits. It does not unless this is called.
    pub fn with_activation_checkpointing(mut self, on: bool) -> Self {
        self.checkpointing = if on { Checkpointing::Layers } else { Checkpointing::Off };
        self
    }

    /// Returns the policy in training.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Returns the policy and drops the optimiser and the reference.
    pub fn into_policy(self) -> Policy {
        self.policy
    }

    /// Returns the frozen reference for [`log_probs`], or `None` before [`Self::freeze_reference`].
    pub fn reference(&self) -> Option<&Transformer> {
        self.reference.as_ref().map(|reference| &reference.model)
    }

    /// Returns the frozen reference as a policy that can be sampled, or `None` before [`Self::freeze_reference`].
    pub fn reference_policy(&self) -> Option<Policy> {
        let reference = self.reference()?;
        Some(Policy { transformer: reference.clone(), ..self.policy.clone() })
    }

    /// Returns the number of optimiser steps made in this phase.
    pub fn step(&self) -> u64 {
        self.optimiser.steps
    }

    /// Returns the largest number of tokens computed at once.
    pub fn token_budget(&self) -> usize {
        self.token_budget
    }

    /// Returns the largest memory of a step of `updates` updates on a batch of at most `batch` tokens, whose longest sequence
    /// has `longest`.
    pub fn update_memory(&self, batch: usize, longest: usize, updates: usize) -> UpdateMemory {
        let tokens = batch.min(self.token_budget.max(longest));
        UpdateMemory::new(&self.policy.transformer, self.trained(), self.checkpointing, tokens, updates)
    }

    /// Returns the number of trained weights.
    fn trained(&self) -> usize {
        self.variables.iter().map(|(_, variable)| variable.elem_count()).sum()
    }

    /// Begins a phase of training: keeps the weights and resets the optimiser (no momentum, step 0).
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range. The previous phase then continues.
    pub fn begin_phase(&mut self, optimiser: OptimiserConfig) -> Result<()> {
        self.optimiser = optimiser.open(&self.variables)?;
        self.schedule = optimiser.schedule;
        self.scheduled_step = None;
        Ok(())
    }

    /// Changes the learning rate of the phase from its next step on. The weights, the optimiser and the number of its steps
    /// stay as they are.
    ///
    /// # Errors
    /// [`Error::Setting`] for settings out of range. The schedule is then unchanged.
    pub fn set_schedule(&mut self, schedule: Schedule) -> Result<()> {
        schedule.check()?;
        self.schedule = schedule;
        Ok(())
    }

    /// Puts the schedule of the learning rate at a step of the phase, from 0. Without this call the schedule counts updates,
    /// of which a step may make several, or none.
    pub fn set_scheduled_step(&mut self, step: u64) {
        self.scheduled_step = Some(step);
    }

    /// Makes the policy in its current state the reference of the KL penalty. This copies the trainable weights. For
    /// untrained adapters alone it copies nothing, because the reference is the policy without its adapters.
    ///
    /// # Errors
    /// Fails if the tensor library does.
    pub fn freeze_reference(&mut self) -> Result<()> {
        let adapters_alone = self.variables.iter().all(|(name, _)| lora::is_adapter(name));
        let weights = if adapters_alone && self.policy.transformer.has_untrained_adapters()? {
            Vec::new()
        } else {
            // A detached variable shares its storage and would change with the policy, so each is copied.
            let copies = self.variables.iter().map(|(name, v)| Ok((name.clone(), v.copy()?.detach())));
            copies.collect::<Result<_>>()?
        };
        self.reference = Some(Reference::new(&self.policy.transformer, weights)?);
        Ok(())
    }

    /// Makes one optimiser step on the mean cross-entropy of the completions' tokens.
    ///
    /// # Errors
    /// Fails for sequences that cannot be computed. [`Error::NonFinite`] for a loss or gradient that is not finite.
    pub fn supervised_step(&mut self, batch: &[Sequence]) -> Result<SupervisedStats> {
        let tokens: usize = batch.iter().map(|sequence| sequence.completion.len()).sum();
        let all: Vec<usize> = (0..batch.len()).collect();
        let (loss, grads) = self.gradients(batch, &all, 1.0, Tracked::LogProbs, |_, prediction| {
            Ok((prediction.log_probs.sum_all()? * (-1.0 / tokens.max(1) as f64))?)
        })?;
        let (grad_norm, learning_rate) = self.update(grads)?;
        Ok(SupervisedStats { loss, grad_norm, learning_rate })
    }

    /// Makes `updates_per_batch` optimiser steps on the loss, given an advantage for each sequence. A sequence without one is
    /// masked: it counts among the sequences of the batch, and none of its tokens is in the loss. Sequences of advantage 0
    /// matter for a KL penalty in the loss and an entropy bonus only; without them they are not computed.
    ///
    /// # Errors
    /// As [`Self::supervised_step`]. [`Error::Setting`] for settings out of range, and unless there is one finite advantage,
    /// or none, for each sequence. [`Error::NoReference`] if there is a KL penalty in the loss and no reference was frozen. The
    /// weights and the optimiser are then as before the first update.
    pub fn grpo_step(
        &mut self,
        batch: &[Sequence],
        advantages: &[Option<f64>],
        config: &GrpoConfig,
    ) -> Result<GrpoStats> {
        config.check()?;
        if advantages.len() != batch.len() || !advantages.iter().flatten().all(|advantage| advantage.is_finite()) {
            let reason = format!("must be one finite number for each of the {} sequences", batch.len());
            return Err(Error::setting("advantages", reason));
        }
        check(batch, self.policy.transformer.vocab_size(), self.policy.transformer.context_length())?;
        let beta = config.loss_beta();
        let every = beta != 0.0 || config.entropy_coef != 0.0;
        let matters = |index: &usize| advantages[*index].is_some_and(|advantage| every || advantage != 0.0);
        let computed: Vec<usize> = (0..batch.len()).filter(matters).collect();
        if computed.is_empty() {
            return Ok(GrpoStats::default());
        }

        let length =
            |(sequence, advantage): (&Sequence, &Option<f64>)| advantage.map_or(0, |_| sequence.completion.len());
        let lengths: Vec<usize> = batch.iter().zip(advantages).map(length).collect();
        let advantages: Vec<f64> = advantages.iter().map(|advantage| advantage.unwrap_or_default()).collect();
        let samples = Samples {
            weights: config.token_weights(&lengths),
            entropy_weight: config.entropy_weight(&lengths),
            advantages: &advantages,
            reference: match (&self.reference, beta) {
                (_, 0.0) => None,
                (None, beta) => return Err(Error::NoReference { beta }),
                (Some(reference), _) => {
                    Some(log_probs(&reference.model, batch, config.temperature, self.token_budget)?)
                }
            },
            // With a single update, the policy that drew the samples is the current one.
            old: match config.updates_per_batch {
                1 => None,
                _ => Some(log_probs(&self.policy.transformer, batch, config.temperature, self.token_budget)?),
            },
        };

        let tracked = if config.entropy_coef == 0.0 { Tracked::LogProbs } else { Tracked::Entropies };
        let mut sums = TokenSums::default();
        let (mut loss, mut grad_norm, mut learning_rate) = (0.0, 0.0, 0.0);
        // A single update that fails has changed nothing.
        let several = config.updates_per_batch > 1;
        let mut before = several.then(|| Snapshot::new(&self.variables, &self.optimiser)).transpose()?;
        for _ in 0..config.updates_per_batch {
            let gradients = self.gradients(batch, &computed, config.temperature, tracked, |indices, prediction| {
                samples.loss(batch, indices, prediction, config, &mut sums)
            });
            let update = gradients.and_then(|(loss, grads)| Ok((loss, self.update(grads)?)));
            if update.is_err()
                && let Some(before) = before.take()
            {
                before.restore(&self.variables, &mut self.optimiser)?;
            }
            let (update_loss, (norm, rate)) = update?;
            loss += update_loss / config.updates_per_batch as f64;
            grad_norm += norm / config.updates_per_batch as f64;
            learning_rate = rate;
        }
        let tokens = sums.tokens as f64;
        Ok(GrpoStats {
            loss,
            kl: sums.kl / tokens,
            grad_norm,
            clip_fraction: sums.clipped as f64 / tokens,
            entropy: sums.entropy / tokens,
            learning_rate,
            tokens: sums.tokens / config.updates_per_batch,
        })
    }

    /// Returns log(π/π_ref) of each sequence's whole completion at `temperature`, in nats. Times β, it is the penalty that
    /// [`KlPenalty::Reward`](crate::KlPenalty::Reward) subtracts from the sequence's reward.
    ///
    /// # Errors
    /// [`Error::NoReference`] if no reference was frozen. Fails for sequences that cannot be computed.
    pub fn log_ratios(&self, batch: &[Sequence], temperature: f64) -> Result<Vec<f64>> {
        let reference = self.reference().ok_or(Error::NoReference { beta: 1.0 })?;
        let current = log_probs(&self.policy.transformer, batch, temperature, self.token_budget)?;
        let frozen = log_probs(reference, batch, temperature, self.token_budget)?;
        let ratio = |(current, reference): (&Vec<f32>, &Vec<f32>)| {
            current.iter().zip(reference).map(|(a, b)| f64::from(*a) - f64::from(*b)).sum()
        };
        Ok(current.iter().zip(&frozen).map(ratio).collect())
    }

    /// Returns the loss of the sequences with the given indices, and its gradient for each variable, computed in
    /// micro-batches. `loss(indices, prediction)` returns the contribution to the loss of some sequences, given their indices
    /// and the prediction of their completions.
    fn gradients(
        &self,
        batch: &[Sequence],
        indices: &[usize],
        temperature: f64,
        tracked: Tracked,
        mut loss: impl FnMut(&[usize], &Prediction) -> Result<Tensor>,
    ) -> Result<(f64, Gradients)> {
        let model = &self.policy.transformer;
        check(batch, model.vocab_size(), model.context_length())?;
        if indices.is_empty() {
            return Err(Error::setting("batch", "is empty"));
        }
        let mut total = 0.0;
        let mut grads = Gradients::default();
        for (part, indices) in micro_batches(batch, indices, self.token_budget).into_iter().enumerate() {
            let picked: Vec<&Sequence> = indices.iter().map(|&index| &batch[index]).collect();
            let picked = Batch::from_sequences(&picked);
            let tokens = picked.tokens.len();
            let value = lora::with_dropout(model, [self.seed, self.optimiser.steps, part as u64])?
                .add_gradient(&picked, temperature, self.checkpointing, tracked, &mut grads, &mut |range, of| {
                    loss(&indices[range], of)
                })
                .map_err(|error| {
                    error.or_out_of_memory("for an update", || {
                        UpdateMemory::remedy(model, self.trained(), self.checkpointing, tokens)
                    })
                })?;
            if !value.is_finite() {
                return Err(Error::NonFinite { quantity: "the loss", value, step: self.optimiser.steps });
            }
            total += value;
        }
        Ok((total, grads))
    }

    /// Makes one optimiser step. Returns the norm of the gradient and the learning rate.
    fn update(&mut self, grads: Gradients) -> Result<(f64, f64)> {
        let rate = self.schedule.rate(self.scheduled_step.unwrap_or(self.optimiser.steps));
        Ok((self.optimiser.clipped_step(&grads.into_inner(), rate)?, rate))
    }
}
