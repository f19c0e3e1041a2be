//! One batch of a plugin: its calls, and what comes of them.

pub mod bisect;
pub(crate) mod deadline;
pub(crate) mod parallel;
pub(crate) mod size;
