//! The limits of a plugin's calls.

use serde::{Deserialize, Serialize};

/// The limits of a plugin's calls. Fuel stops a component: it counts instructions, so it stops the same call at the same
/// instruction every time. The deadline is the emergency stop behind the fuel, and all that stops a native library in a
/// child process.
// The order of the fields is part of the ledger's format, which has its defaults for the fields that were added later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Fuel of every call, in units of about one instruction.
    pub fuel_base: u64,
    /// Additional fuel for each byte of a call's input.
    pub fuel_per_byte: u64,
    /// Processor time of a component's call, in milliseconds: the time for which its thread runs, however busy the machine
    /// is. Fuel should end a call before its deadline does. For a native library, wall-clock time of all calls of one batch
    /// together: a call that runs past it fails as a whole, and the rest of the batch is not called.
    pub deadline_ms: u64,
    /// Bytes of input above which a batch is split into several calls, which run in parallel. It bounds the fuel of a call,
    /// and so the time that a single bad item can cost.
    pub batch_bytes: usize,
    /// Bytes of all linear memories of an instance together. For a child process: bytes of writable memory above those
    /// that the process itself needs.
    pub memory: usize,
    /// Elements of all tables of an instance together.
    pub table_elements: usize,
    /// Bytes of a component's stack. The same for all plugins of a run.
    pub stack: usize,
    /// Core instances, memories and tables of a component, each. Rust makes three or four, Python about forty.
    pub instances: usize,
    /// Bytes that a call may return.
    pub output: usize,
    /// Bytes of an answer key. A key goes to every other plugin and into the records of a run. The output of a call may not
    /// exceed this many bytes for each text or answer, because it is kept in memory until it is recorded.
    pub key_bytes: usize,
    /// Lines of diagnostics that are kept of a batch.
    pub log_lines: usize,
    /// Bytes to which a line of diagnostics is truncated.
    pub log_bytes: usize,
    /// Bytes of a plugin's file.
    pub component_size: u64,
    /// Wall-clock time of compiling a component, in milliseconds. Compiled code is cached.
    pub compile_ms: u64,
    /// Bytes of a component's compiled code with its static data.
    pub compiled_size: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A short call of the reference plugins uses some ten thousand; 50 million is about 50 ms.
            fuel_base: 50_000_000,
            // The reference plugins use 30 to 300 a byte.
            fuel_per_byte: 10_000,
            deadline_ms: 10_000,
            // At most 0.7 billion units of fuel a call, which is less than a second.
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
            compiled_size: 128 << 20,
        }
    }
}

/// The least [`Limits::stack`], in bytes.
const MIN_STACK: usize = 32 << 10;

/// The greatest [`Limits::stack`], in bytes. A component runs on its caller's stack, and an overflow of that one would end
/// the host.
pub const MAX_STACK: usize = 1 << 20;

/// The greatest [`Limits::compiled_size`], in bytes.
const MAX_COMPILED_SIZE: u64 = 2 << 30;

/// A limit that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`limits.{key}` must be at least {min}{}, and is {value}", max.map_or(String::new(), |max| format!(" and at most {max}")))]
pub struct InvalidLimit {
    /// The limit's key in the table `limits`.
    pub key: &'static str,
    /// The limit's value.
    pub value: u64,
    /// The least valid value.
    pub min: u64,
    /// The greatest valid value, if there is one.
    pub max: Option<u64>,
}

impl Limits {
    /// Returns the fuel of a call with `input_bytes` bytes of input.
    pub fn fuel(&self, input_bytes: usize) -> u64 {
        self.fuel_base.saturating_add(self.fuel_per_byte.saturating_mul(input_bytes as u64))
    }

    /// Returns these limits, with those that size an engine raised to at least the values of `other`. An engine with the
    /// result runs plugins with either limits.
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

    /// Checks that a plugin can run under the limits.
    ///
    /// # Errors
    /// Returns the first limit that is too small or too large.
    pub fn check(&self) -> Result<(), InvalidLimit> {
        let bounds = [
            ("stack", self.stack as u64, MIN_STACK as u64, Some(MAX_STACK as u64)),
            ("fuel_base", self.fuel_base, 1, None),
            ("deadline_ms", self.deadline_ms, 1, None),
            ("batch_bytes", self.batch_bytes as u64, 1, None),
            ("memory", self.memory as u64, 1, None),
            ("instances", self.instances as u64, 1, None),
            ("output", self.output as u64, 1, None),
            ("component_size", self.component_size, 1, None),
            ("compile_ms", self.compile_ms, 1, None),
            // The reply of the compiler has a length of four bytes.
            ("compiled_size", self.compiled_size, 1, Some(MAX_COMPILED_SIZE)),
        ];
        match bounds.into_iter().find(|(_, value, min, max)| value < min || max.is_some_and(|max| *value > max)) {
            Some((key, value, min, max)) => Err(InvalidLimit { key, value, min, max }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_limit_is_named_with_its_bounds() {
        assert_eq!(Limits::default().check(), Ok(()));
        let text = |limits: Limits| limits.check().unwrap_err().to_string();
        assert_eq!(text(Limits { memory: 0, ..Limits::default() }), "`limits.memory` must be at least 1, and is 0");
        assert_eq!(
            text(Limits { stack: 2 << 20, ..Limits::default() }),
            "`limits.stack` must be at least 32768 and at most 1048576, and is 2097152"
        );
    }
}
