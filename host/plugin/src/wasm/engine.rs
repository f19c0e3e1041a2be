//! The WebAssembly engine: one for all plugins, so that one clock and one pool of instances serve them.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, Enabled, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::wasm::semaphore::Permits;
use crate::{Error, Limits, Worker};

/// wasmtime's major version. Fuel is the same number for the same call within one.
pub const WASMTIME: u32 = 48;

/// Calls that run at once at most. A pool that is full would fail a call, and fail it by chance.
const AT_ONCE: u32 = 32;

/// How often the engine's epoch advances: the grain of deadlines.
const TICK: Duration = Duration::from_millis(10);

/// A running engine. Cheap to clone; its clock stops when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Engine {
    wasmtime: wasmtime::Engine,
    worker: Worker,
    permits: Arc<Permits>,
}

impl Engine {
    /// Starts the engine. `limits` size its stacks and its pool of instances, so they must cover those of every plugin
    /// that is opened with it (see [`Limits::covering`]); where the system does not grant the pool its address space,
    /// instances are made on demand. `worker` compiles components and runs native libraries apart.
    ///
    /// # Errors
    /// The machine cannot run WebAssembly.
    pub fn new(limits: &Limits, worker: Worker) -> Result<Self, Error> {
        let engine = wasmtime::Engine::new(&pooled(limits))
            .or_else(|_| wasmtime::Engine::new(&config(limits)))
            .map_err(|error| Error::Engine { reason: error.to_string() })?;
        let clock = engine.weak();
        std::thread::Builder::new()
            .name("alft-epoch".into())
            .spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| Error::Engine { reason: error.to_string() })?;
        Ok(Self { wasmtime: engine, worker, permits: Arc::new(Permits::new(AT_ONCE)) })
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Every call takes one before it asks for an instance.
    pub(crate) fn permits(&self) -> &Arc<Permits> {
        &self.permits
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }
}

/// Epochs until a deadline. One more than the division says: the first tick may come at once.
pub(crate) fn ticks(left: Duration) -> u64 {
    left.div_duration_f64(TICK) as u64 + 1
}

/// What decides how code is compiled and how it behaves.
pub(crate) fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true).max_wasm_stack(limits.stack);
    // Same bits everywhere: NaN payloads and relaxed SIMD are the two places where WebAssembly leaves a choice.
    config.cranelift_nan_canonicalization(true).wasm_relaxed_simd(false).relaxed_simd_deterministic(true);
    // Nothing a plugin needs, and less to get wrong. (Of several memories in a module there is need: wasmtime's own glue
    // between the modules of a component, as JavaScript's have them, uses two.)
    config.wasm_memory64(false);
    config
}

/// The same with a pool of instances. Its slots are larger than any limit that is likely to be set, for address space
/// costs nothing: what is above a limit should be refused in the limit's own words.
fn pooled(limits: &Limits) -> Config {
    const PARTS: u32 = 256;
    const MEMORIES: u32 = 32;
    let mut pooling = PoolingAllocationConfig::new();
    pooling
        .total_component_instances(AT_ONCE)
        .total_core_instances(AT_ONCE * PARTS)
        .total_memories(AT_ONCE * MEMORIES)
        .total_tables(AT_ONCE * PARTS)
        .max_memory_size(1 << 32)
        .table_elements(limits.table_elements.max(100_000))
        .max_core_instances_per_component(PARTS)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(PARTS)
        .max_tables_per_module(PARTS);
    // What a call has written to is wiped for the next instance rather than given back to the system and faulted in anew.
    // For memories that pays only where the kernel can tell which pages those are: a call is then a third shorter.
    pooling.table_keep_resident(64 << 10);
    if PoolingAllocationConfig::is_pagemap_scan_available() {
        pooling.pagemap_scan(Enabled::Yes).linear_memory_keep_resident(2 << 20);
    }
    let mut config = config(limits);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    config
}
