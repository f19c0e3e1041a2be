//! Generation: [`sample()`](sample::sample) draws completions, on top of the [`decode`] loop with its key-value cache.

pub(crate) mod decode;
pub(crate) mod sample;
