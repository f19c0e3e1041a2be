//! Loads plugins and calls them without trusting them.
//!
//! A plugin is a WebAssembly component (sandboxed: fuel, a deadline, a memory limit and no access to the system) or a
//! native library (not sandboxed: run only with the user's permission, and by default in a child process). Both are a
//! [`Plugin`]. [`Plugin::call`] calls it with a whole [`Batch`](alft_sdk::roles::Batch) and returns a validated value or a
//! [`Failure`] for each item.
//!
//! Invariants:
//! - No component runs without fuel, a deadline and a memory limit, and every call has a fresh instance.
//! - No value leaves this crate unchecked: its shape fits the batch, its numbers are finite, its scores are in the
//!   promised range.
//! - A failed call is never a number. Its part of the batch is bisected until the failing items stand alone; the other
//!   items keep their values.
//! - Calls and their fuel depend on the batch alone, and not on the machine, its cores or its load.
//!
//! | module | contents |
//! | --- | --- |
//! | [`plugin`] | `Plugin`: opening, describing and calling a plugin |
//! | [`source`] | the file, hash and trust that a plugin is opened with |
//! | `backend` | the trait of the three backends that run a plugin's code |
//! | `batch` | the calls of one batch: splitting, bisection, deadline, results |
//! | `validate` | checks of batches and outputs |
//! | [`failure`] | why an item has no value |
//! | [`limits`] | the limits of calls |
//! | [`error`] | why a plugin cannot be opened |
//! | `foreign` | text written by strangers, made safe to show |
//! | `wasm` | components: the shared engine, compiling, calling, the contract's records |
//! | `native` | libraries: examination, the C ABI, child processes |
//! | [`worker`] | child processes: starting one, and being one |
//! | [`ledger`] | recording every call of a run, reading and repeating the calls |
//! | [`lock`] | `alft.lock`: the plugins of a run as they were approved |
//! | [`inspect`] | the facts in a plugin's file |
//! | `cache` | compiled code and copies of libraries |
//! | `fuzzing` | entrances for the fuzz targets in `tests/fuzz` |

mod backend;
mod batch;
mod cache;
pub mod error;
pub mod failure;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
pub mod inspect;
pub mod ledger;
pub mod limits;
pub mod lock;
mod native;
pub mod plugin;
pub mod source;
mod validate;
mod wasm;
pub mod worker;

pub use backend::CONTRACT_VERSION;
pub use batch::call::{BatchResult, Call, Usage};
pub use batch::part::Part;
pub use cache::cache_folder;
pub use error::Error;
pub use failure::{Failure, FailureKind};
pub use foreign::ForeignError;
pub use limits::Limits;
pub use plugin::Plugin;
pub use source::{Form, NativeTrust, Source};
pub use wasm::engine::{Engine, EngineError, WASMTIME};
pub use wasm::prices::FUEL_RULES;
pub use worker::Worker;
