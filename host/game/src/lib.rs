//! The policy/target game of Answer-Level Fine-Tuning, played from samples and solved exactly.
//!
//! Pure f64: no tensors, no plugins, no input or output. A step of the game from samples is a chain of functions from the
//! answers of groups of samples to advantages, in this order:
//!
//! | module | step |
//! | --- | --- |
//! | [`answer`] | the answer of a sample: a key, ⊥, or dropped |
//! | [`bundle`] | the bundle that objectives see: distinct answers with estimates of their probabilities |
//! | [`estimator`] | estimates of −log ν from counts, and their quality |
//! | [`target`] | the other player: its memory of earlier steps, and the distribution at which objectives are evaluated |
//! | [`reward`] | the reward of each sample, from the value of its answer |
//! | [`group`] | rewards of a whole group in place of those of single samples, as for pass@k |
//! | [`advantage`] | GRPO advantages, from rewards |
//! | [`dual_ascent`] | the multipliers of objectives that are constraints |
//! | [`metrics`] | answer entropy and Jensen–Shannon divergence |
//!
//! [`exact`] is not part of that chain: it is an oracle that solves a game whose probabilities are known, with a
//! certificate. A reader of the trainer may skip it.
//!
//! Invariants: a dropped sample has no advantage and no part in any estimate; ⊥ is never rewarded for being rare; sums over
//! answers run in the order of their keys.

pub mod advantage;
pub mod answer;
pub mod bundle;
pub mod dual_ascent;
pub mod estimator;
pub mod exact;
pub mod group;
pub mod metrics;
pub mod reward;
pub mod target;

pub use advantage::{AdvantageConfig, Baseline, Combine, Scale};
pub use answer::Answer;
pub use estimator::{EstimatorKind, SurprisalEstimator};
pub use group::GroupObjective;
pub use target::{Target, TargetConfig, TargetDynamics};
