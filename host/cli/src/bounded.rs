//! Numbers that training can add up. A plugin may say 1e300, which is finite, and the sum of two of them is not.

use alft_plugin_host::{Failure, FailureKind};
use alft_sdk::bundle::Valuation;

/// The magnitude up to which a score, a reward, a utility or a violation is taken: squares of it, added up over a model's
/// weights, are numbers in single precision.
const MOST: f64 = 1e12;

/// What a plugin gives for an item.
pub(crate) trait Bounded: Sized {
    /// The largest magnitude in it.
    fn largest(&self) -> f64;

    /// Itself, if its numbers can be added up.
    fn bounded(self) -> Result<Self, Failure> {
        match self.largest() {
            largest if largest > MOST => {
                let detail = format!("a number of the magnitude {largest:e}; training takes up to {MOST:e}");
                Err(Failure::new(FailureKind::OutOfRange, detail))
            }
            _ => Ok(self),
        }
    }
}

impl Bounded for Option<String> {
    fn largest(&self) -> f64 {
        0.0
    }
}

impl Bounded for f64 {
    fn largest(&self) -> f64 {
        self.abs()
    }
}

impl Bounded for Valuation {
    fn largest(&self) -> f64 {
        let rewards = self.rewards.iter().flatten();
        rewards.chain([&self.utility]).chain(&self.violation).fold(0.0, |most, number| most.max(number.abs()))
    }
}
