//! The policy: a decoder-only transformer, its sampling, log-probabilities, GRPO loss and optimiser, on candle.
//!
//! It knows tensors and text: no plugin, no game, no run file. The path of a run:
//!
//! 1. [`DevicePreference::open`] a device, [`Policy::open`] a model (or [`Policy::tiny`]);
//! 2. [`Trainer::new`]; perhaps [`Trainer::supervised_step`] for a while; [`Trainer::freeze_reference`];
//! 3. each step [`sample()`] completions, let others turn them into advantages, [`Trainer::grpo_step`];
//! 4. [`state::save`] after steps, [`state::restore`] to go on, [`Policy::save`] to export.
//!
//! Everything is deterministic given seeds: the same seeds give the same bits on the CPU, and a restored run continues
//! bit for bit.

pub mod adamw;
mod atomic;
mod config;
mod decode;
pub mod device;
mod error;
mod gguf;
pub mod grpo;
mod huggingface;
mod kernels;
pub mod logprob;
pub mod lora;
mod ops;
mod packed;
mod policy;
mod sample;
pub mod schedule;
pub mod state;
pub mod tabular;
mod tiny;
mod tokenizer;
mod train;
mod transformer;

pub use candle_core::Device;

pub use crate::{
    adamw::AdamWConfig,
    atomic::sweep,
    config::{Architecture, Llama3Scaling, ModelConfig},
    device::DevicePreference,
    error::{Error, Result},
    grpo::{Aggregation, GrpoConfig, ImportanceSampling, KlPenalty},
    logprob::{Sequence, log_probs},
    lora::LoraConfig,
    policy::Policy,
    sample::{Completion, Request, SampleConfig, Seed, sample},
    schedule::{Decay, Schedule},
    tokenizer::Tokenizer,
    train::{GrpoReport, OptimiserConfig, SupervisedReport, Trainer, Tuning},
    transformer::Transformer,
};
