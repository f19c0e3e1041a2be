//! Native libraries.

pub(crate) mod library;
pub(crate) mod process;
