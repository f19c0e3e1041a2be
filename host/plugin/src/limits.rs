//! What one call of a component may use.

use serde::{Deserialize, Serialize};

/// The limits of one call. Fuel is what stops a plugin: it counts instructions, so it stops the same call at the same
/// place every time. The deadline is the emergency stop behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel (about one instruction each) that every call has.
    pub fuel_base: u64,
    /// Fuel for each byte of input on top of that.
    pub fuel_per_byte: u64,
    /// Wall-clock time of a call, in milliseconds. A call stopped by it fails as a whole: where it stops is chance, so
    /// it is not taken apart to find the guilty item. Keep the fuel below it.
    pub deadline_ms: u64,
    /// Linear memory of an instance, all its memories together, in bytes.
    pub memory: usize,
    /// Elements of all tables of an instance.
    pub table_elements: usize,
    /// Bytes that a call may hand back.
    pub output: usize,
    /// Lines of diagnostics kept of a call; each is cut to 1,000 bytes.
    pub log_lines: usize,
    /// Size of a component's file, in bytes.
    pub component_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A short call of the reference plugins takes some ten thousand; 50 million is about 50 ms.
            fuel_base: 50_000_000,
            // The reference plugins take 30 to 300 a byte.
            fuel_per_byte: 10_000,
            deadline_ms: 10_000,
            memory: 64 << 20,
            table_elements: 10_000,
            output: 16 << 20,
            log_lines: 100,
            component_size: 64 << 20,
        }
    }
}

impl Limits {
    /// The fuel of a call with `input` bytes.
    pub fn fuel(&self, input: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_byte.saturating_mul(input as u64))
    }
}
