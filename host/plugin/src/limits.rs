//! What one call of a plugin may use.

use serde::{Deserialize, Serialize};

/// The limits of one call. Fuel is what stops a component: it counts instructions, so it stops the same call at the
/// same place every time. The deadline is the emergency stop behind it, and all that holds a native library in a child
/// process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel (about one instruction each) that every call has.
    pub fuel_base: u64,
    /// Fuel for each byte of input on top of that.
    pub fuel_per_byte: u64,
    /// Wall-clock time of all calls on a batch together, in milliseconds: what a plugin can hold up a step in one of its
    /// roles. A call stopped by it fails as a whole, for where it stops is chance, and what is left of the batch is not
    /// asked any more. Keep the fuel below it.
    pub deadline_ms: u64,
    /// Bytes of input above which a batch is split into several calls, spread over the cores. It bounds what one call
    /// may burn, and so how long a single bad item can hold a step up.
    pub batch_bytes: usize,
    /// Linear memory of an instance, all its memories together, in bytes; of a child process, its writable memory
    /// above what the process itself needs.
    pub memory: usize,
    /// Elements of all tables of an instance.
    pub table_elements: usize,
    /// Stack of a guest, in bytes. One for all plugins of a run.
    pub stack: usize,
    /// Core instances, memories and tables that a component may have, each. Rust makes three or four, Python some forty.
    pub instances: usize,
    /// Bytes that a call may hand back.
    pub output: usize,
    /// Bytes of the key of an answer that a reader gives: every other plugin gets it, and the records of a run. No call of
    /// any role hands back more than this for each of its texts or answers, for all of it is kept until it is on record.
    pub key_bytes: usize,
    /// Lines of diagnostics kept of a batch.
    pub log_lines: usize,
    /// Bytes to which a line of diagnostics is cut.
    pub log_bytes: usize,
    /// Size of a plugin's file, in bytes.
    pub component_size: u64,
    /// Wall-clock time of compiling a component, in milliseconds. Compiled code is cached, so it is spent once.
    pub compile_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A short call of the reference plugins takes some ten thousand; 50 million is about 50 ms.
            fuel_base: 50_000_000,
            // The reference plugins take 30 to 300 a byte.
            fuel_per_byte: 10_000,
            deadline_ms: 10_000,
            // At most 0.7 billion of fuel a call, which is below a second.
            batch_bytes: 64 << 10,
            memory: 64 << 20,
            table_elements: 10_000,
            stack: 512 << 10,
            instances: 128,
            output: 16 << 20,
            key_bytes: 64 << 10,
            log_lines: 100,
            log_bytes: 1000,
            component_size: 64 << 20,
            compile_ms: 180_000,
        }
    }
}

/// A guest's stack lies on its caller's thread, and an overflow there would be the host's own end.
pub const MOST_STACK: usize = 1 << 20;

impl Limits {
    /// The fuel of a call with `input` bytes.
    pub fn fuel(&self, input: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_byte.saturating_mul(input as u64))
    }

    /// The larger of both wherever an engine must be made for the largest.
    #[must_use]
    pub fn covering(self, other: &Self) -> Self {
        Self {
            memory: self.memory.max(other.memory),
            table_elements: self.table_elements.max(other.table_elements),
            stack: self.stack.max(other.stack),
            instances: self.instances.max(other.instances),
            ..self
        }
    }

    /// The first limit that cannot work: its key, and why.
    ///
    /// # Errors
    /// As said.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        let least_stack = 32 << 10;
        if !(least_stack..=MOST_STACK).contains(&self.stack) {
            let stack = self.stack;
            return Err(("stack", format!("limits.stack = {stack}: it takes {least_stack} to {MOST_STACK} bytes")));
        }
        let positive = [
            ("fuel_base", self.fuel_base),
            ("deadline_ms", self.deadline_ms),
            ("batch_bytes", self.batch_bytes as u64),
            ("memory", self.memory as u64),
            ("instances", self.instances as u64),
            ("output", self.output as u64),
            ("component_size", self.component_size),
            ("compile_ms", self.compile_ms),
        ];
        match positive.iter().find(|(_, value)| *value == 0) {
            Some((key, _)) => Err((key, format!("limits.{key} = 0: nothing would run; it takes 1 or more"))),
            None => Ok(()),
        }
    }
}
