//! Loads plugins and runs them without trusting them.
//!
//! A plugin is a WebAssembly component (sandboxed: fuel, a deadline, a memory cap, no way to the outside) or a native
//! library (not sandboxed: opened only where the user says so, in a child process unless the user says otherwise). Both
//! are the one type [`Plugin`]; its calls take a whole step's batch, and give a result *for each item*: a value that was
//! checked, or a [`Failure`].
//!
//! Invariants:
//! - No component runs without fuel, deadline and memory cap, and every batch meets a fresh instance.
//! - No score leaves this crate unchecked: right length, finite, within the promised range.
//! - A failed call is never a number. The batch is taken apart until what failed stands alone; the rest is kept.
//! - Calls and their fuel depend on the batch alone: not on the machine, its cores or its load.
//!
//! | module | holds |
//! | --- | --- |
//! | [`plugin`] | `Plugin`: open, describe, and the three calls |
//! | [`isolate`] | taking a failed batch apart |
//! | `deadline` | the time that a batch has |
//! | `permits` | how many calls run at once |
//! | `spread`, `size` | splitting a large batch over the cores; bytes of input |
//! | [`failure`] | why one item has no value |
//! | [`limits`] | what a call may use |
//! | [`mod@file`] | reading a plugin's file, and its hash |
//! | [`engine`] | the WebAssembly engine, shared by all plugins |
//! | [`inspect`] | what a plugin's file says of itself, read without running it |
//! | `component`, `wire` | components: loading, calling, and the records that cross the boundary |
//! | `native` | libraries, through the C ABI of `alft_sdk::abi` |
//! | `remote` | libraries in a child process |
//! | [`worker`] | child processes, and how to be one |
//! | [`ledger`], [`replay`] | every call of a run on file; making them again, with the same plugin or another |
//! | [`lock`] | `alft.lock`: what the plugins of a run were when they were approved |
//! | `cache` | alft's own folder: compiled code and copies of libraries |

mod cache;
mod component;
mod deadline;
pub mod engine;
mod error;
pub mod failure;
pub mod file;
pub mod inspect;
pub mod isolate;
pub mod ledger;
pub mod limits;
pub mod lock;
mod native;
mod permits;
pub mod plugin;
mod remote;
pub mod replay;
mod size;
mod spread;
mod wire;
pub mod worker;

pub use engine::Engine;
pub use error::Error;
pub use failure::{Failure, FailureKind};
pub use isolate::{Bill, Called};
pub use limits::Limits;
pub use plugin::{Form, NativeTrust, Plugin, Role, Source};
pub use worker::Worker;
