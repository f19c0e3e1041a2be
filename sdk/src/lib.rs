//! The contract of alft's plugins, and all that is needed to write one in Rust. One source runs linked into a program,
//! as a native library and as a sandboxed WebAssembly component, with the same bits as the result.
//!
//! A plugin is a struct. Its fields are its configuration, deserialized from the plugin's table of the run file. Its
//! traits are its roles. [`export!`] makes the rest:
//!
//! ```
//! use alft_sdk::serde::Deserialize;
//! use alft_sdk::{Bundle, Group, Manifest, Objective, Plugin, Result, Valuation, export, manifest};
//!
//! /// Gini diversity: U(ν) = 1 − Σ ν(z)². An answer earns −2 ν(z).
//! #[derive(Deserialize)]
//! #[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
//! struct Gini {}
//!
//! impl Plugin for Gini {
//!     fn manifest(&self) -> Manifest {
//!         Manifest { concave: true, gradient: true, ..manifest!("Rewards rare answers.") }
//!     }
//! }
//!
//! impl Objective for Gini {
//!     fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
//!         let squares = |group: &Group| group.answers.iter().map(|a| a.frequency * a.leave_one_out).sum::<f64>();
//!         Ok(Valuation {
//!             utility: bundle.mean(|group| 1.0 - squares(group)),
//!             rewards: bundle.rewards(|_, answer| -2.0 * answer.leave_one_out),
//!             violation: None,
//!         })
//!     }
//! }
//!
//! export!(Gini: Objective);
//! ```
//!
//! An author depends on this crate alone: `serde` is re-exported. The crate `alft-conformance`, a dev-dependency, tests
//! the plugin.
//!
//! | module | holds |
//! | --- | --- |
//! | [`plugin`] | the trait [`Plugin`] and its manifest |
//! | [`roles`] | the traits [`Reader`], [`Grader`], [`Verifier`] and [`Objective`], and all else that tells roles apart |
//! | [`bundle`] | the data of an objective: answers, groups, bundles, valuations |
//! | [`estimate`] | estimates of probabilities and surprisals from counts |
//! | [`samples`] | bundles made from samples or from known marginals |
//! | [`answer`] | the place of the answer in a completion |
//! | [`question`] | a question's gold answer and metadata |
//! | [`answer_values`] | a number for each answer, from a table or from a verifier's score |
//! | [`attribute`] | a name for each answer, and the probability of each name |
//! | [`math`] | functions whose results are the same on every target |
//! | [`diagnostics`] | log messages, the only import of a plugin |
//! | [`call`] | the data of a call: entries, items, outputs |
//! | [`dispatch`] | calls by configuration text over whole batches |
//! | [`linked`](mod@linked) | a plugin that is linked into a program |
//! | [`abi`] | the C ABI of native libraries |
//! | `native`, `component` | the two sides of [`export!`] |
//!
//! The contract itself is `wit/objective.wit`; `include/alft.h` is the same contract in C.

#[cfg(not(target_arch = "wasm32"))]
pub mod abi;
pub mod answer;
pub mod answer_values;
pub mod attribute;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings;
pub mod bundle;
pub mod call;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
pub mod diagnostics;
pub mod dispatch;
pub mod estimate;
mod export;
mod level;
pub mod linked;
pub mod math;
#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod native;
pub mod plugin;
pub mod question;
pub mod roles;
pub mod samples;

pub use serde;

pub use bundle::{Answer, Bundle, Group, Prompt, Valuation};
pub use linked::Linked;
pub use plugin::{Error, Manifest, Plugin, Result};
pub use roles::traits::*;
