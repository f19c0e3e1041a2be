//! The calls of one batch: split by size, run in parallel, bisected where they fail.
//!
//! | module | contents |
//! | --- | --- |
//! | `call` | the results of a call and of a batch |
//! | `part` | the part of a batch that a call is about |
//! | `bisect` | halving what fails |
//! | `parallel` | splitting a large batch and running its calls in parallel |
//! | `deadline` | the deadline of a batch |
//! | `size` | bytes of inputs and outputs |

pub(crate) mod bisect;
pub(crate) mod call;
pub(crate) mod deadline;
pub(crate) mod parallel;
pub(crate) mod part;
pub(crate) mod size;
