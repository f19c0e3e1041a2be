//! The ledger: every plugin call of a run, so that anyone can repeat the calls and compare the results.
//!
//! | module | contents |
//! | --- | --- |
//! | `format` | records, frames and their errors |
//! | `writer` | [`Ledger`]: appending records |
//! | `reader` | [`read`]: the records of a ledger |
//! | [`replay`] | repeating recorded calls |

mod format;
mod reader;
pub mod replay;
mod writer;

pub use format::{Error, FrameError, PluginRecord, Record};
pub(crate) use format::{Link, link};
pub use reader::{Records, read};
pub use writer::Ledger;
