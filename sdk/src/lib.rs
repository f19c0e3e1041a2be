//! Write an answer-level objective once; run it linked in, as a native library and as a sandboxed WebAssembly
//! component, with the same bits coming out.
//!
//! A plugin is a plain struct. Its fields are its configuration, read by `serde` from the plugin's own table in the
//! run file; its traits are its roles; [`export!`] makes the rest:
//!
//! ```
//! use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, export, manifest};
//!
//! /// Gini diversity: U(ν) = 1 − Σ ν(z)², so an answer earns −2 ν(z).
//! #[derive(serde::Deserialize)]
//! #[serde(deny_unknown_fields)]
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
//!         let squares = |g: &alft_sdk::Group| g.answers.iter().map(|a| a.frequency * a.leave_one_out).sum::<f64>();
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
//! Where things live:
//!
//! | module | holds |
//! | --- | --- |
//! | [`roles`] | the traits `Plugin`, `Reader`, `Verifier`, `Objective`, and what they promise |
//! | [`bundle`] | what an objective sees and says: answers, groups, bundles, valuations |
//! | [`batch`] | the vocabulary of a call: roles, batches, outputs |
//! | [`estimate`] | from counts to probabilities and surprisals |
//! | [`answer_values`] | a number for each answer: a table's, or a verifier's score |
//! | [`attribute`] | a name for each answer, and the names' probabilities |
//! | [`math`] | portable functions: equal bits on every target |
//! | [`diagnostics`] | the one thing a plugin can call |
//! | [`dispatch`] | calls by configuration text, the way the host makes them |
//! | [`native`] | the C ABI, for libraries |
//! | [`kit`] | the conformance kit, for the author's own `cargo test`: [`conformance!`] |
//!
//! The contract itself is `wit/objective.wit`; `include/alft.h` says the same in C.

pub mod answer_values;
pub mod attribute;
pub mod batch;
pub mod bundle;
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod component;
mod conformance;
pub mod diagnostics;
pub mod dispatch;
pub mod estimate;
mod export;
#[cfg(not(target_arch = "wasm32"))]
pub mod kit;
pub mod math;
#[cfg(not(target_arch = "wasm32"))]
pub mod native;
pub mod roles;

pub use bundle::{Answer, Bundle, Group, Prompt, Valuation};
pub use roles::{Error, Manifest, Objective, Plugin, Reader, Result, Verifier};
