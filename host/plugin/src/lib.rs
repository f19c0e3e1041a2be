//! Loads plugins and runs them without trusting them.
//!
//! A plugin is a WebAssembly component (sandboxed: fuel, a deadline, a memory cap, no way to the outside) or a native
//! library (not sandboxed: opened only where the user says so). Both are the one type [`Plugin`]; its calls take a
//! whole step's batch, and give a result *for each item*: a value that was checked, or a [`Failure`].
//!
//! Invariants:
//! - No component runs without fuel, deadline and memory cap, and every batch meets a fresh instance.
//! - No score leaves this crate unchecked: right length, finite, within the promised range.
//! - A failed call is never a number. The batch is taken apart until what failed stands alone; the rest is kept.
//!
//! | module | holds |
//! | --- | --- |
//! | [`plugin`] | `Plugin`: open, describe, and the three calls |
//! | [`isolate`] | taking a failed batch apart |
//! | [`failure`] | why one item has no value |
//! | [`limits`] | what a call may use |
//! | [`engine`] | the WebAssembly engine, shared by all plugins |
//! | [`inspect`] | what a plugin's file says of itself, read without running it |
//! | `component`, `wire` | components: loading, calling, and the records that cross the boundary |
//! | `native` | libraries, through the C ABI of `alft_sdk::native` |

mod component;
pub mod engine;
mod error;
pub mod failure;
pub mod inspect;
pub mod isolate;
pub mod limits;
mod native;
pub mod plugin;
mod wire;

pub use engine::Engine;
pub use error::Error;
pub use failure::{Failure, FailureKind};
pub use isolate::{Bill, Called};
pub use limits::Limits;
pub use plugin::{Plugin, Role, Source};
