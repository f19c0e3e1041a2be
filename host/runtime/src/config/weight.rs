//! A plugin's weight: a number, or a function of the step.

use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The largest weight and the largest score: a loss is computed in `f32`.
pub(super) const MOST: f64 = f32::MAX as f64;

/// The factor of a plugin's rewards.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Weight {
    /// The same weight at every step.
    Constant(f64),
    /// A weight that moves with the step.
    Ramp(Ramp),
}

/// A schedule from one weight to another: `from` up to step `after`, then `over` steps on the way, then `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ramp {
    from: f64,
    to: f64,
    /// Steps of the run before the weight leaves `from`.
    #[serde(default)]
    after: u64,
    /// Steps from `from` to `to`; 0 is a jump.
    over: u64,
    #[serde(default)]
    shape: Shape,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Shape {
    #[default]
    Linear,
    /// Slow at both ends.
    Cosine,
}

impl Weight {
    /// Returns the weight in force when `step` steps of the run are done.
    pub fn at(&self, step: u64) -> f64 {
        match self {
            Self::Constant(weight) => *weight,
            Self::Ramp(Ramp { from, to, after, over, shape }) => {
                let gone = step.saturating_sub(*after);
                let done = if gone >= *over { 1.0 } else { gone as f64 / *over as f64 };
                let done = match shape {
                    // A jump is due when `after` steps are done, and not before.
                    _ if step < *after => 0.0,
                    Shape::Linear => done,
                    Shape::Cosine => 0.5 - 0.5 * (std::f64::consts::PI * done).cos(),
                };
                from + (to - from) * done
            }
        }
    }

    /// Refuses negative and non-finite weights: a negative one would make a completion without an answer the best
    /// choice.
    ///
    /// # Errors
    /// The weight and the range that is allowed.
    pub fn check(&self) -> Result<(), String> {
        let ends = match self {
            Self::Constant(weight) => [*weight; 2],
            Self::Ramp(Ramp { from, to, .. }) => [*from, *to],
        };
        if ends.iter().all(|weight| (0.0..=MOST).contains(weight)) {
            return Ok(());
        }
        Err(format!("must be 0 or more and at most {MOST:e}, not {self}"))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(weight) => write!(f, "{weight:?}"),
            Self::Ramp(Ramp { from, to, after, over, .. }) => {
                write!(f, "{from:?} to {to:?} in steps {after} to {}", after.saturating_add(*over))
            }
        }
    }
}

impl Default for Weight {
    fn default() -> Self {
        Self::Constant(1.0)
    }
}

/// Written by hand: serde's untagged enums do not name a misspelt key.
impl<'de> Deserialize<'de> for Weight {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Weight;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a schedule such as { from = 0.0, to = 0.3, over = 100 }")
            }

            fn visit_f64<E: Error>(self, weight: f64) -> Result<Weight, E> {
                Ok(Weight::Constant(weight))
            }

            fn visit_i64<E: Error>(self, weight: i64) -> Result<Weight, E> {
                Ok(Weight::Constant(weight as f64))
            }

            fn visit_u64<E: Error>(self, weight: u64) -> Result<Weight, E> {
                Ok(Weight::Constant(weight as f64))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Weight, A::Error> {
                Ramp::deserialize(MapAccessDeserializer::new(map)).map(Weight::Ramp)
            }
        }
        deserializer.deserialize_any(Either)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(text: &str) -> Result<Weight, toml::de::Error> {
        #[derive(Deserialize)]
        struct Entry {
            weight: Weight,
        }
        toml::from_str::<Entry>(&format!("weight = {text}")).map(|entry| entry.weight)
    }

    #[test]
    fn a_weight_follows_its_schedule() {
        let at = |text: &str, steps: &[u64]| -> Vec<f64> {
            let weight = weight(text).unwrap();
            steps.iter().map(|step| weight.at(*step)).collect()
        };
        assert_eq!(at("2", &[0, 9]), [2.0, 2.0]);
        let linear = "{ from = 0.0, to = 0.5, over = 10, after = 20 }";
        assert_eq!(at(linear, &[0, 20, 25, 30, 1000]), [0.0, 0.0, 0.25, 0.5, 0.5]);
        let cosine = at("{ from = 1, to = 0, over = 4, shape = \"cosine\" }", &[0, 1, 2, 3, 4]);
        assert_eq!((cosine[0], cosine[4]), (1.0, 0.0));
        assert!((cosine[2] - 0.5).abs() < 1e-12 && cosine[1] > 0.75 && cosine[3] < 0.25, "{cosine:?}");
        assert_eq!(at("{ from = 1.0, to = 0.0, over = 0, after = 3 }", &[0, 2, 3]), [1.0, 1.0, 0.0]);
    }

    #[test]
    fn a_bad_weight_is_named() {
        let wrong = |text: &str| weight(text).unwrap_err().message().to_owned();
        assert!(wrong("{ from = 0.0, too = 1.0, over = 3 }").starts_with("unknown field `too`"));
        assert!(wrong("\"much\"").contains("a number, or a schedule"));
        let from_nan = "{ from = nan, to = 1.0, over = 9223372036854775807, after = 9223372036854775807 }";
        for negative in ["-1", "{ from = 1.0, to = -1.0, over = 3 }", "nan", "inf", "1e308", from_nan] {
            assert!(weight(negative).unwrap().check().unwrap_err().contains("0 or more"), "{negative}");
        }
    }
}
