//! Child processes.

mod parent;

pub use parent::{Worker, serve};
pub(crate) use parent::*;
