//! WebAssembly components: compiled once, and called under fuel, a deadline and a memory limit.

pub(crate) mod component;
pub(crate) mod engine;
pub(crate) mod prices;
pub(crate) mod records;
pub(crate) mod semaphore;
mod state;
