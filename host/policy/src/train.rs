//! Training.

use crate::{
    adamw::AdamWConfig, error::Result, grpo::GrpoConfig, logprob::Sequence, lora::LoraConfig, policy::Policy,
    schedule::Schedule, transformer::Transformer,
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
#[derive(Debug, Clone, PartialEq, Default)]
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

/// What a GRPO step did. With several updates per batch: means over the updates.
#[derive(Debug, Clone, PartialEq)]
pub struct GrpoReport {
    /// The loss, before the step.
    pub loss: f64,
    /// Mean over completion tokens of the k3 estimate of the KL divergence from the reference; 0 without reference.
    pub kl: f64,
    /// Global L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Share of completion tokens whose ratio is clipped.
    pub clip_fraction: f64,
    /// Mean entropy of the next-token distribution at completion positions, in nats.
    pub entropy: f64,
    /// The learning rate used (of the last update).
    pub learning_rate: f64,
    /// Completion tokens that the loss was taken over.
    pub tokens: usize,
}

/// A policy, its optimiser and its reference.
#[derive(Debug)]
pub struct Trainer {
    policy: Policy,
    reference: Option<Transformer>,
}

impl Trainer {
    /// Makes the weights named by `tuning` trainable. `seed` draws the adapters' first weights; `token_budget` bounds
    /// the tokens (prompts and completions) computed at once, and with them the memory.
    ///
    /// # Errors
    /// Settings out of range, or adapter targets the model does not have.
    pub fn new(
        policy: Policy,
        tuning: &Tuning,
        optimiser: OptimiserConfig,
        token_budget: usize,
        seed: u64,
    ) -> Result<Self> {
        let _ = (tuning, optimiser, token_budget, seed);
        Ok(Self { policy, reference: None })
    }

    /// The policy being trained.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Gives the policy back, to export it.
    pub fn into_policy(self) -> Policy {
        self.policy
    }

    /// The frozen reference, once there is one: for [`crate::logprob::log_probs`].
    pub fn reference(&self) -> Option<&Transformer> {
        self.reference.as_ref()
    }

    /// Optimiser steps made in this phase.
    pub fn step(&self) -> u64 {
        0
    }

    /// Begins a phase: a fresh optimiser (no momentum, step 0) on the weights as they are.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn begin_phase(&mut self, optimiser: OptimiserConfig) -> Result<()> {
        let _ = optimiser;
        Ok(())
    }

    /// Takes the policy as it is now for the reference of the KL penalty.
    ///
    /// # Errors
    /// The tensor library's.
    pub fn freeze_reference(&mut self) -> Result<()> {
        Ok(())
    }

    /// One optimiser step on the cross-entropy of the completions.
    ///
    /// # Errors
    /// Sequences that cannot be computed; a loss or gradient that is not finite (the weights are then untouched).
    pub fn supervised_step(&mut self, batch: &[Sequence]) -> Result<SupervisedReport> {
        let _ = batch;
        Ok(SupervisedReport { loss: 0.0, grad_norm: 0.0, learning_rate: 0.0 })
    }

    /// `updates_per_batch` optimiser steps on the GRPO loss. `advantages` has one number a sequence.
    ///
    /// # Errors
    /// As [`Self::supervised_step`], and [`crate::Error::NoReference`] when `beta` is not 0 and no reference was frozen.
    pub fn grpo_step(&mut self, batch: &[Sequence], advantages: &[f64], config: &GrpoConfig) -> Result<GrpoReport> {
        let _ = (batch, advantages, config);
        Ok(GrpoReport {
            loss: 0.0,
            kl: 0.0,
            grad_norm: 0.0,
            clip_fraction: 0.0,
            entropy: 0.0,
            learning_rate: 0.0,
            tokens: 0,
        })
    }
}
