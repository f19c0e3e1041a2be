//! The machine that alft runs on.

use std::fmt;

use serde::Serialize;

use crate::{
    device::{self, DevicePreference},
    error::Result,
};

/// The processor and memory that runs without a CUDA device use.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Threads that run at the same time.
    pub threads: usize,
    /// Instruction sets that the CPU kernels choose between, from the narrowest.
    pub instruction_sets: Vec<&'static str>,
    /// Memory in bytes; `None` where the system does not tell.
    pub memory: Option<u64>,
    /// The device of `model.device = "auto"`.
    pub device: String,
}

impl Machine {
    /// Reads the facts of this machine.
    ///
    /// # Errors
    /// Fails if the device cannot be opened.
    pub fn read() -> Result<Self> {
        Ok(Self {
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            instruction_sets: instruction_sets(),
            memory: memory(),
            device: device::describe(&DevicePreference::Auto.open()?),
        })
    }
}

fn instruction_sets() -> Vec<&'static str> {
    let mut sets = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let known = [
            ("avx2", is_x86_feature_detected!("avx2")),
            ("fma", is_x86_feature_detected!("fma")),
            ("avx512f", is_x86_feature_detected!("avx512f")),
            ("avx512bf16", is_x86_feature_detected!("avx512bf16")),
        ];
        sets.extend(known.into_iter().filter_map(|(name, there)| there.then_some(name)));
    }
    #[cfg(target_arch = "aarch64")]
    sets.push("neon");
    sets
}

/// Returns the memory that Linux tells in `/proc/meminfo`, in bytes.
fn memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "threads           {}", self.threads)?;
        writeln!(f, "instruction sets  {}", self.instruction_sets.join(", "))?;
        if let Some(memory) = self.memory {
            writeln!(f, "memory            {:.1} GiB", memory as f64 / (1u64 << 30) as f64)?;
        }
        write!(f, "device            {}", self.device)
    }
}
