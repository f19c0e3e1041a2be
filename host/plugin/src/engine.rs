//! The WebAssembly engine: one for all plugins, so that one clock and one pool of instances serve them.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Config, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::{Error, Limits};

/// How often the engine's epoch advances: the grain of deadlines.
const TICK: Duration = Duration::from_millis(10);

/// Stack of a guest. Threads that call guests need more than this, or an overflow would be the host's own.
const GUEST_STACK: usize = 512 << 10;

/// A running engine. Cheap to clone; its clock stops when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Engine(Arc<wasmtime::Engine>);

impl Engine {
    /// Starts the engine. `limits` size its pool of instances; where the system does not grant the pool its address
    /// space, instances are made on demand.
    ///
    /// # Errors
    /// The machine cannot run WebAssembly.
    pub fn new(limits: &Limits) -> Result<Self, Error> {
        let engine = wasmtime::Engine::new(&config(Some(limits)))
            .or_else(|_| wasmtime::Engine::new(&config(None)))
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
        Ok(Self(Arc::new(engine)))
    }

    pub(crate) fn wasmtime(&self) -> &wasmtime::Engine {
        &self.0
    }
}

/// Epochs until a deadline. One more than the division says: the first tick may come at once.
pub(crate) fn ticks(deadline_ms: u64) -> u64 {
    deadline_ms / TICK.as_millis() as u64 + 1
}

fn config(pool: Option<&Limits>) -> Config {
    let mut config = Config::new();
    config.consume_fuel(true).epoch_interruption(true).max_wasm_stack(GUEST_STACK);
    // Same bits everywhere: NaN payloads and relaxed SIMD are the two places where WebAssembly leaves a choice.
    config.cranelift_nan_canonicalization(true).wasm_relaxed_simd(false).relaxed_simd_deterministic(true);
    // Nothing a plugin needs, and less to get wrong.
    config.wasm_memory64(false).wasm_multi_memory(false);
    if let Some(limits) = pool {
        let mut pooling = PoolingAllocationConfig::new();
        pooling
            .total_component_instances(64)
            .total_core_instances(256)
            .total_memories(64)
            .total_tables(256)
            .max_memory_size(limits.memory)
            .table_elements(limits.table_elements);
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
    }
    config
}
