//! Child processes, for work that this process must survive: compiling a stranger's component and running native code.
//!
//! A worker is this program, started again: `alft` has a hidden command for it, and a program that embeds this crate names
//! one that calls [`serve`].
//!
//! | module | contents |
//! | --- | --- |
//! | `protocol` | frames and messages |
//! | `parent` | starting a worker and waiting for its replies |
//! | `child` | being a worker |
//! | `compile` | the job of compiling a component, on both sides |

pub(crate) mod child;
pub(crate) mod compile;
pub(crate) mod parent;
pub(crate) mod protocol;

pub use child::serve;
pub use parent::{Worker, WorkerError};
