//! The rules of a configuration for units and percentages.

use alft_sdk::serde::Deserialize;

/// The rule for units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum UnitRule {
    /// A gold answer with a unit is answered by a number with a unit of the same kind.
    #[default]
    Required,
    /// It is answered by a number alone, too.
    Optional,
    /// Units are not read.
    Ignored,
}

/// The numbers that are accepted for a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum PercentRule {
    /// 28% is answered by 28%, 28 and 0.28, and 28 and 0.28 by 28%.
    #[default]
    Either,
    /// 28% is answered by 28% alone.
    Same,
}
