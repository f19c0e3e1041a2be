//! The policy/target game of Answer-Level Fine-Tuning, from samples: groups of answers in, advantages out.
//!
//! Pure f64: no tensors, no plugins, no input or output. A step of the game is a chain of functions, in this order:
//!
//! | module | step |
//! | --- | --- |
//! | [`reading`] | what became of each sample: an answer, ⊥, or dropped; and the bundle of classes that objectives see |
//! | [`reward`] | from a value for each answer to a reward for each sample |
//! | [`advantage`] | from rewards to GRPO advantages |
//! | [`multiplier`] | dual ascent for objectives that are constraints |
//! | [`measure`] | what is reported: answer entropy, Jensen–Shannon divergence, accuracy |
//!
//! Invariants: a dropped sample has no advantage and no part in any estimate; ⊥ is never rewarded for being different;
//! sums over answers run in the order of their keys.

pub mod advantage;
pub mod measure;
pub mod multiplier;
pub mod reading;
pub mod reward;

pub use advantage::{AdvantageConfig, Combine, Scale};
pub use reading::Reading;
