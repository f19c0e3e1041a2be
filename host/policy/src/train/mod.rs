//! Training: the [`trainer`] makes supervised and GRPO steps on a policy.
//!
//! [`loss`] is the loss, [`samples`] prepares a batch for it, [`adamw`] and [`schedule`] move the weights. [`reference`]
//! is the frozen policy of the KL penalty, [`checkpoint`] saves and restores everything, [`snapshot`] takes a failed update
//! back, [`memory`] tells the memory of an update, and [`tabular`] trains a softmax over listed completions in place of a
//! language model.

pub(crate) mod adamw;
pub mod checkpoint;
pub mod loss;
pub(crate) mod memory;
pub(crate) mod reference;
pub(crate) mod samples;
pub(crate) mod schedule;
pub(crate) mod snapshot;
pub mod tabular;
pub(crate) mod trainer;
