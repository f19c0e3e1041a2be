//! Fuzzing of everything that alft reads and did not write itself, or that may have been changed since it did.
//!
//! Each target in `fuzz_targets/` calls the function that the product calls, and asserts more than that it returns: what can
//! be read is written and read back equal, an error names its file and line, and memory stays within [`memory::LIMIT`].
//!
//! | module | contents |
//! | --- | --- |
//! | [`calls`] | a small batch for each role |
//! | [`loader`] | opening any bytes as a plugin, and calling it |
//! | [`mutate`] | mutations of valid components |
//! | [`memory`] | an allocator that ends the process beyond a limit |
//! | [`scratch`] | files for readers that take a path |
//! | [`model`] | a model's folder in which one file is the input |

pub mod calls;
pub mod loader;
pub mod memory;
pub mod model;
pub mod mutate;
pub mod scratch;
