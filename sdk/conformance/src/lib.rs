//! The conformance kit of alft: named [tests](TESTS) that a plugin passes before anyone trusts it, and the
//! [abuse table](abuse), which shows what each hack would earn.
//!
//! The kit runs on a plugin type that is linked into its crate's own tests. One line makes a `#[test]` of each test that
//! applies:
//!
//! ```
//! # use alft_sdk::{Bundle, Manifest, Objective, Plugin, Result, Valuation, manifest};
//! # #[derive(alft_sdk::serde::Deserialize)] #[serde(crate = "alft_sdk::serde")] struct Entropy {}
//! # impl Plugin for Entropy { fn manifest(&self) -> Manifest { manifest!("") } }
//! # impl Objective for Entropy { fn evaluate(&self, _: &Bundle) -> Result<Valuation> { Err("".into()) } }
//! #[cfg(test)]
//! alft_conformance::conformance!(Entropy: Objective);
//! ```
//!
//! It also runs on a component or a library, by `alft plugin check`. The file `kit.json` beside the sources holds what
//! a plugin needs to be tested, such as a configuration and a question that it can answer: see [`Settings`].
//!
//! | module | holds |
//! | --- | --- |
//! | [`subject`] | the plugin under test, behind the contract's calls |
//! | [`settings`] | `kit.json` |
//! | [`outcome`] | the result of a test |
//! | [`mod@test`] | a test, and how it runs |
//! | [`abuse`] | the rows of the table of what each hack would earn |
//! | [`load`] | inputs of a given size, for benchmarks |
//! | `suite` | the lists of tests and hacks; the tests: `general`, `hostile`, `fuel`, `twins`, and one module for each role |
//! | `case` | a test's view of the plugin: checked calls under one configuration |
//! | `calls` | checks of results, and comparisons to the last bit |
//! | `inputs`, `scene`, `hostile_texts` | ordinary inputs, exact games, and texts that break programs |

pub mod abuse;
mod calls;
mod case;
mod hostile_texts;
mod inputs;
pub mod load;
mod macros;
pub mod outcome;
mod scene;
pub mod settings;
pub mod subject;
mod suite;
pub mod test;

pub use outcome::Outcome;
pub use settings::Settings;
pub use subject::{Fault, Linked, Reply, Subject};
pub use suite::{TESTS, VERSION, abuse_table};
pub use test::{Test, Trial};

#[doc(hidden)]
pub use alft_sdk;
#[doc(hidden)]
pub use suite::pass;
