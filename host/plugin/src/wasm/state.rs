//! The state of an instance: its limits, the resources that it has used and the diagnostics of the call.

use wasmtime::{ResourceLimiter, Trap, WasmBacktrace};

use super::records::Level;
use crate::batch::deadline::Deadline;
use crate::failure::{Failure, FailureKind};
use crate::foreign::{sanitize, single_line};
use crate::limits::Limits;

/// Names of functions in a backtrace are truncated to this many bytes: the component's author chooses them.
const FUNCTION_NAME_BYTES: usize = 300;

/// Frames that are kept of a backtrace. A recursion has thousands.
const MAX_FRAMES: usize = 20;

/// The state of an instance.
pub(super) struct State {
    limits: Limits,
    log: Vec<String>,
    /// The last diagnostic at the level `error`, truncated. If a trap follows, it is the message of a panic.
    last_error: Option<String>,
    /// Bytes of all memories together, as far as they were granted.
    memory: usize,
    /// Elements of all tables together, as far as they were granted.
    table_elements: usize,
    /// The message about a memory or table that could not grow.
    refused_growth: Option<String>,
}

impl State {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            limits: limits.clone(),
            log: Vec::new(),
            last_error: None,
            memory: 0,
            table_elements: 0,
            refused_growth: None,
        }
    }

    /// Returns the bytes of all memories together.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the lines of diagnostics.
    pub(super) fn into_log(self) -> Vec<String> {
        self.log
    }

    /// Keeps a line of diagnostics.
    pub(super) fn push_log(&mut self, level: Level, mut message: String) {
        // One byte more than is shown tells that the message is longer.
        message.truncate(message.floor_char_boundary(self.limits.log_bytes.saturating_add(4)));
        // A component pays a fixed price for a message, so only messages that are shown are made fit for it.
        if self.log.len() < self.limits.log_lines {
            self.log.push(format!("{}: {}", level.name(), sanitize(message.clone(), self.limits.log_bytes)));
        }
        if matches!(level, Level::Error) {
            self.last_error = Some(message);
        }
    }

    /// Returns the failure of a call with `input_bytes` bytes of input. The state has what the error does not: a refused
    /// growth, and the message of a panic.
    pub(super) fn failure(&self, error: &wasmtime::Error, input_bytes: usize, deadline: Deadline) -> Failure {
        let Self { limits, refused_growth, last_error, .. } = self;
        let (kind, detail) = match (refused_growth, error.downcast_ref::<Trap>()) {
            (Some(refused), _) => (FailureKind::Memory, refused.clone()),
            (_, Some(Trap::OutOfFuel)) => {
                return Failure { backtrace: backtrace(error), ..self.out_of_fuel(input_bytes) };
            }
            (_, Some(Trap::Interrupt)) => return deadline.exceeded(),
            (_, Some(Trap::StackOverflow)) => {
                (FailureKind::StackOverflow, format!("its stack of {} bytes is full", limits.stack))
            }
            // The sdk logs the message of a panic as an error, as the last thing before the trap.
            (_, Some(Trap::UnreachableCodeReached)) if last_error.is_some() => {
                let message = last_error.clone().unwrap_or_default();
                (FailureKind::Panic, sanitize(message, limits.log_bytes))
            }
            (_, Some(trap)) => (FailureKind::Trap, trap.to_string()),
            (_, None) if is_of_system(error) => (FailureKind::System, format!("{error:#}")),
            (_, None) => {
                let message = format!("{error:#}");
                // wasmtime has no type for this error.
                match message.contains("fuel allocated for hostcalls") {
                    true => {
                        let detail = format!("returned more than the {} bytes of `limits.output`", limits.output);
                        (FailureKind::Output, detail)
                    }
                    false => (FailureKind::Trap, sanitize(message, limits.log_bytes)),
                }
            }
        };
        Failure { backtrace: backtrace(error), ..Failure::new(kind, detail) }
    }

    /// Returns the failure of a call with `input_bytes` bytes of input that used up its fuel.
    pub(super) fn out_of_fuel(&self, input_bytes: usize) -> Failure {
        let (fuel, base, per_byte) = (self.limits.fuel(input_bytes), self.limits.fuel_base, self.limits.fuel_per_byte);
        let granted = format!("{base} and {per_byte} for each of {input_bytes} bytes of input");
        Failure::new(FailureKind::OutOfFuel, format!("used its {fuel} units of fuel: {granted}"))
    }

    /// Ends the call if a resource exceeds its limit. A component that only learned that it cannot grow might go on with
    /// half of its data.
    fn check_growth(&mut self, resource: &str, key: &str, wanted: usize, limit: usize) -> wasmtime::Result<()> {
        if wanted <= limit {
            return Ok(());
        }
        let refused = format!("asked for {wanted} {resource} in total; `limits.{key}` is {limit}");
        self.refused_growth = Some(refused.clone());
        Err(wasmtime::Error::msg(refused))
    }
}

/// Returns true if the system refused an operation of wasmtime's, such as the reservation of an instance's memory.
fn is_of_system(error: &wasmtime::Error) -> bool {
    error.chain().any(|cause| {
        #[cfg(unix)]
        if cause.is::<rustix::io::Errno>() {
            return true;
        }
        cause.is::<std::io::Error>()
    })
}

/// Returns true if a module asks for more than its own maximum: the instruction fails, as its author expects, and nothing
/// is granted.
fn exceeds_own_maximum(desired: usize, maximum: Option<usize>) -> bool {
    maximum.is_some_and(|maximum| desired > maximum)
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if exceeds_own_maximum(desired, maximum) {
            return Ok(false);
        }
        let wanted = self.memory.saturating_add(desired - current);
        self.check_growth("bytes of memory", "memory", wanted, self.limits.memory)?;
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if exceeds_own_maximum(desired, maximum) {
            return Ok(false);
        }
        let wanted = self.table_elements.saturating_add(desired - current);
        self.check_growth("table elements", "table_elements", wanted, self.limits.table_elements)?;
        self.table_elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}

/// Returns the functions on the component's stack, innermost first, without those that handle a panic.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<String> =
        names.map(|name| single_line(format!("{:#}", rustc_demangle::demangle(name)), FUNCTION_NAME_BYTES)).collect();
    let handles_panic =
        |name: &String| ["rust_panic", "std::", "core::panicking", "__rust"].iter().any(|part| name.contains(part));
    let skipped = names.iter().take_while(|name| handles_panic(name)).count();
    names.into_iter().skip(skipped).take(MAX_FRAMES).collect()
}
