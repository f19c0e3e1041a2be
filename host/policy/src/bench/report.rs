//! The results of a measurement, as JSON by serde and as a table by `Display`.

use std::fmt;

use serde::Serialize;

use super::{
    config::{BenchConfig, Part},
    limits::Limits,
};
use crate::profile::OperationTime;

/// The measurements of a model.
#[derive(Debug, Clone, Serialize)]
pub struct BenchReport {
    /// The model, as it was named.
    pub model: String,
    /// Number of parameters.
    pub parameters: usize,
    /// The device, in words.
    pub device: String,
    /// Precision of the weights.
    pub dtype: String,
    /// The settings.
    pub config: BenchConfig,
    /// The machine's limits.
    pub limits: Limits,
    /// The parts, in the order in which they were measured.
    pub parts: Vec<PartReport>,
}

/// The measurements of a part.
#[derive(Debug, Clone, Serialize)]
pub struct PartReport {
    /// The part.
    pub part: Part,
    /// Number of sequences.
    pub batch: usize,
    /// Tokens of a repetition: those drawn after the first, or those of the prompts and completions of all sequences.
    pub tokens: usize,
    /// Median time of a repetition in seconds. For decoding, the time of the prompts and of the first token is taken off.
    pub seconds: f64,
    /// Shortest time in seconds.
    pub best_seconds: f64,
    /// Tokens in a second, at the median.
    pub tokens_per_second: f64,
    /// Median time in seconds of the prompts and the first token; none but for decoding.
    pub prompt_seconds: Option<f64>,
    /// Largest memory in bytes while the part was measured: that of the process, or on CUDA that on the device.
    pub peak_memory: Option<u64>,
    /// Share of the machine's memory bandwidth that is reached if every number is read once.
    pub bandwidth_share: f64,
    /// Share of the machine's speed at matrix products that is reached by the operations that cannot be avoided.
    pub arithmetic_share: f64,
    /// The operations of a repetition of their own, longest first; empty without a profile.
    pub operations: Vec<OperationTime>,
}

impl fmt::Display for BenchReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BenchReport { model, parameters, device, dtype, config, limits, parts } = self;
        writeln!(f, "{model}, {:.1} million parameters in {dtype}, on {device}", *parameters as f64 / 1e6)?;
        let (bytes, flops) = (limits.bytes_per_second / 1e9, limits.flops_per_second / 1e9);
        writeln!(f, "this machine reads {bytes:.1} GB/s and multiplies at {flops:.0} GFLOP/s")?;
        let BenchConfig { group, prompt_tokens, new_tokens, completion_tokens, repeat, .. } = config;
        writeln!(
            f,
            "prompts of {prompt_tokens} tokens, each for a group of {group}; {new_tokens} tokens drawn, or \
             {completion_tokens} given; medians of {repeat}\n"
        )?;
        f.write_str("part        batch  tokens/s  seconds      peak  bandwidth  arithmetic  time by operation")?;
        parts.iter().try_for_each(|part| write!(f, "\n{part}"))
    }
}

impl fmt::Display for PartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PartReport { part, batch, tokens_per_second, seconds, .. } = self;
        let peak = self.peak_memory.map_or("–".to_owned(), |bytes| format!("{:.2} GB", bytes as f64 / 1e9));
        let (bandwidth, arithmetic) = (100.0 * self.bandwidth_share, 100.0 * self.arithmetic_share);
        write!(
            f,
            "{part:<12}{batch:>5}{tokens_per_second:>10.1}{seconds:>9.3}{peak:>10}{bandwidth:>10.1}%{arithmetic:>11.1}%"
        )?;
        for (index, operation) in self.operations.iter().take(5).enumerate() {
            let separator = if index == 0 { "  " } else { ", " };
            write!(f, "{separator}{} {:.0}%", operation.operation, 100.0 * operation.share)?;
        }
        Ok(())
    }
}
