//! WebAssembly components.

pub(crate) mod component;
pub mod engine;
pub(crate) mod records;
pub(crate) mod semaphore;
