//! The WebAssembly engine, shared by all plugins: one epoch clock and one pool of instances.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::prices;
use super::semaphore::Semaphore;
use crate::foreign::ForeignError;
use crate::limits::Limits;
use crate::worker::parent::{Worker, WorkerError};

/// wasmtime's major version. Within one, the same call uses the same fuel.
pub const WASMTIME: u32 = 48;

/// Calls that run at once. The pool has an instance for each: a call that found it empty would fail by chance.
const MAX_CALLS: u32 = 32;

/// Time between two increments of the engine's epoch: the resolution of deadlines.
const TICK: Duration = Duration::from_millis(10);

/// A running engine. Cheap to clone; its epoch clock stops when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    worker: Worker,
    semaphore: Arc<Semaphore>,
}

/// An engine that cannot start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum EngineError {
    #[error("the WebAssembly engine does not start")]
    Wasmtime(#[source] ForeignError),

    #[error("the epoch clock of the WebAssembly engine does not start")]
    Clock(#[source] io::Error),

    #[error("the WebAssembly engine has no worker program")]
    Worker(#[from] WorkerError),
}

impl Engine {
    /// Starts an engine. `limits` size its stacks and its pool of instances, and must cover those of every plugin that is
    /// opened with it; see [`Limits::covering`]. If the system does not grant the pool's address space, instances are
    /// allocated on demand. `worker` compiles components and runs native libraries in child processes.
    ///
    /// # Errors
    /// Fails if this machine cannot run WebAssembly or start a thread.
    pub fn new(limits: &Limits, worker: Worker) -> Result<Self, EngineError> {
        let wasmtime = wasmtime::Engine::new(&pooled_config(limits))
            .or_else(|_| wasmtime::Engine::new(&config(limits)))
            .map_err(|error| EngineError::Wasmtime(error.into()))?;
        let clock = wasmtime.weak();
        std::thread::Builder::new()
            .name("alft-epoch".into())
            .spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(EngineError::Clock)?;
        Ok(Self { wasmtime, worker, semaphore: Arc::new(Semaphore::new(MAX_CALLS)) })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Returns the semaphore of which every call holds a permit while it has an instance.
    pub(crate) fn semaphore(&self) -> &Arc<Semaphore> {
        &self.semaphore
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }
}

/// Returns the number of epochs until a deadline. One is added because the first tick may come at once.
pub(crate) fn ticks(remaining: Duration) -> u64 {
    remaining.div_duration_f64(TICK) as u64 + 1
}

/// Returns the settings that decide how code is compiled and how it behaves.
pub(crate) fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config.consume_fuel(true).operator_cost(prices::instructions());
    config.epoch_interruption(true).max_wasm_stack(limits.stack);
    // A module's memory may be stored as an image of up to twice its data. By default an image of 16 MiB is made even for
    // two bytes that lie so far apart.
    config.memory_guaranteed_dense_image_size(0);
    // The same bits on every machine: NaN payloads and relaxed SIMD are the two places where WebAssembly leaves a choice.
    config.cranelift_nan_canonicalization(true).wasm_relaxed_simd(false).relaxed_simd_deterministic(true);
    // No plugin needs 64-bit memories. Several memories in a module are needed: wasmtime's glue between the modules of a
    // component, such as JavaScript's, uses two.
    config.wasm_memory64(false);
    // By default a memory reserves 4 GiB of address space and more, so that the processor checks its bounds.
    if address_space_is_limited() {
        config.memory_reservation(limits.memory as u64).memory_reservation_for_growth(0).memory_guard_size(1 << 16);
    }
    config
}

/// Returns true under a limit of address space, as `ulimit -v` and some batch systems set one.
fn address_space_is_limited() -> bool {
    rustix::process::getrlimit(rustix::process::Resource::As).current.is_some()
}

/// Adds a pool of instances. Its slots are larger than any likely limit, because address space is free: what exceeds a
/// limit should fail with a message about this limit.
fn pooled_config(limits: &Limits) -> Config {
    const INSTANCES: u32 = 256;
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(MAX_CALLS)
        .total_core_instances(MAX_CALLS * INSTANCES)
        .total_memories(MAX_CALLS * INSTANCES)
        .total_tables(MAX_CALLS * INSTANCES)
        .max_memory_size(1 << 32)
        .table_elements(limits.table_elements.max(100_000))
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(INSTANCES)
        .max_memories_per_module(INSTANCES)
        .max_tables_per_component(INSTANCES)
        .max_tables_per_module(INSTANCES);
    // Pages that a call wrote to are cleared for the next instance instead of being returned to the system and faulted in
    // again. For memories this pays only if the kernel can tell which pages these are; a call is then a third shorter.
    pooling.table_keep_resident(64 << 10);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pooling.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(2 << 20);
    }
    let mut config = config(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    config
}
