//! The policy/target game of Answer-Level Fine-Tuning: played from samples, and solved exactly.
//!
//! Pure f64: no tensors, no plugins, no input or output. A step of the game from samples is a chain of functions, groups
//! of answers in and advantages out, in this order:
//!
//! | module | step |
//! | --- | --- |
//! | [`reading`] | what became of each sample: an answer, ⊥, or dropped; and the bundle of classes that objectives see |
//! | [`estimator`] | how counts become estimates of −log ν, and how good those are |
//! | [`target`] | the other player: what of earlier steps it remembers, and where objectives are evaluated |
//! | [`reward`] | from a value for each answer to a reward for each sample |
//! | [`group`] | from rewards of single samples to those of a whole group, as for pass@k |
//! | [`advantage`] | from rewards to GRPO advantages |
//! | [`multiplier`] | dual ascent for objectives that are constraints |
//! | [`measure`] | what is reported: answer entropy, Jensen–Shannon divergence, accuracy |
//!
//! Apart from it, [`exact`] solves a game whose probabilities are known, with a certificate.
//!
//! Invariants: a dropped sample has no advantage and no part in any estimate; ⊥ is never rewarded for being different;
//! sums over answers run in the order of their keys.

pub mod advantage;
pub mod estimator;
pub mod exact;
pub mod group;
pub mod measure;
pub mod multiplier;
pub mod reading;
pub mod reward;
pub mod target;

pub use advantage::{AdvantageConfig, Combine, Scale};
pub use estimator::{EstimatorKind, SurprisalEstimator};
pub use group::GroupObjective;
pub use reading::Reading;
pub use target::{Target, TargetConfig, TargetDynamics};
