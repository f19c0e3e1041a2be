//! The policy of a run: a decoder-only transformer on candle, with sampling, log-probabilities, the GRPO loss, AdamW and
//! checkpoints.
//!
//! This crate works on tensors and text. It has no notion of plugins, games or run files. A training run calls:
//!
//! 1. [`DevicePreference::open`], then [`Policy::open`] for a model on disk or [`Policy::tiny`] for the embedded one;
//! 2. [`Trainer::new`], [`Trainer::supervised_step`] for a warm start if one is wanted, [`Trainer::freeze_reference`];
//! 3. in each step [`sample()`], whose completions the caller turns into advantages, and [`Trainer::grpo_step`];
//! 4. [`checkpoint::save`] after steps, [`checkpoint::restore`] to continue, [`Policy::save`] to export.
//!
//! Everything is deterministic given its seeds: the same seeds give the same bits on the CPU, and a restored run continues
//! bit for bit.

pub mod bench;
mod cuda;
pub mod device;
mod digest;
pub mod doctor;
mod error;
mod formats;
mod generate;
mod model;
mod ops;
mod other_format;
mod policy;
pub mod process;
mod profile;
#[cfg(test)]
mod quantised;
mod setting;
mod train;
#[cfg(test)]
mod twins;

pub use alft_kernels::{Activation, WeightFormat};
pub use candle_core::Device;

pub use crate::{
    device::{DevicePreference, Precision},
    error::{BoxError, Error, Result},
    formats::{
        export::{Export, ExportType, GgufType},
        hub::{Download, HubModel},
    },
    generate::{
        completion::{Completion, Request},
        config::SampleConfig,
        memory::{SampleLoad, SampleMemory},
        sample::sample,
        seed::Seed,
    },
    model::{
        batch::Sequence,
        chat::{ChatTemplate, Message},
        config::{Architecture, ModelConfig, SlidingWindow, Variant},
        log_probs::log_probs,
        lora::LoraConfig,
        quantisation::Quantisation,
        rope::{Llama3Scaling, RopeScaling, YarnScaling},
        tokenizer::Tokenizer,
        transformer::Transformer,
    },
    policy::Policy,
    profile::OperationTime,
    train::{
        adamw::AdamWConfig,
        checkpoint,
        loss::{self, Aggregation, GrpoConfig, ImportanceSampling, KlPenalty, PolicyLoss},
        memory::UpdateMemory,
        schedule::{Decay, Schedule},
        tabular,
        trainer::{GrpoStats, OptimiserConfig, SupervisedStats, Trainer, Tuning},
    },
};
