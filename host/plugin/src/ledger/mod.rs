//! The calls of a run on file.

pub mod replay;
mod writer;

pub use writer::*;
