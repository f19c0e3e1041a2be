//! The tolerance: the answers that a verifier accepts for a gold answer.

use alft_sdk::Result;
use dashu_int::UBig;
use dashu_ratio::RBig;

use crate::number::{leading, power_of_ten};
use crate::quantity::Quantity;
use crate::rule::{PercentRule, UnitRule};
use crate::unit::PERCENT;

/// Most bytes of an answer key. A reader's are shorter.
const LONGEST: usize = 4_000;

/// The largest accepted differences.
#[derive(Debug, Clone)]
pub(crate) struct Tolerance {
    absolute: RBig,
    relative: RBig,
    rounding: u32,
}

impl Tolerance {
    /// Makes a tolerance. The numbers mean the decimals that they are written as: 0.01 is 1/100.
    ///
    /// # Errors
    /// A number is negative or too large.
    pub(crate) fn new(absolute: f64, relative: f64, rounding: u32) -> Result<Self> {
        let exact = |key: &str, number: f64| {
            // The shortest decimal that is this number, without an exponent.
            let written = format!("{number}");
            let value = leading(&written).filter(|_| (0.0..1e30).contains(&number));
            value
                .map(|(value, _)| value)
                .ok_or_else(|| format!("{key} is {number}; it must be at least 0 and below 1e30"))
        };
        if rounding > 30 {
            return Err(format!("rounding is {rounding}; it must be at most 30 digits, or 0 for all").into());
        }
        if relative >= 1.0 {
            return Err(format!("relative is {relative}; it is a share of the gold answer and must be below 1").into());
        }
        Ok(Self { absolute: exact("absolute", absolute)?, relative: exact("relative", relative)?, rounding })
    }

    /// Returns true if a number is within the tolerance of the gold number.
    fn covers(&self, gold: &RBig, number: &RBig) -> bool {
        let difference = abs(gold - number);
        let rounded = || match (self.rounding, order(gold)) {
            (0, _) | (_, None) => RBig::ZERO,
            (digits, Some(order)) => {
                power_of_ten(order + 1 - i64::from(digits)).map_or(RBig::ZERO, |unit| unit / RBig::from(2))
            }
        };
        difference <= self.absolute || difference <= abs(gold.clone()) * &self.relative || difference <= rounded()
    }
}

/// Returns true if an answer key is accepted for the gold answer; `None` if the answer has a unit and the gold answer has
/// none.
pub(crate) fn accepts(
    gold: &Quantity,
    answer: &str,
    tolerance: &Tolerance,
    units: UnitRule,
    percent: PercentRule,
) -> Option<bool> {
    let (value, dimension) = answer.split_once(' ').unwrap_or((answer, ""));
    let Some(value) = parse(value) else { return Some(false) };
    let hundred = || RBig::from(100);
    let wanted = gold.unit.as_ref();
    let dimension_of_gold = wanted.map(|unit| unit.dimension()).unwrap_or_default();
    let either = percent == PercentRule::Either;
    Some(match (dimension_of_gold.as_str(), dimension) {
        (PERCENT, "") if either => {
            tolerance.covers(&gold.number, &value) || tolerance.covers(&gold.number, &(value * hundred()))
        }
        ("", PERCENT) if either => {
            tolerance.covers(&gold.number, &value) || tolerance.covers(&gold.number, &(value / hundred()))
        }
        (PERCENT, _) | (_, PERCENT) if dimension_of_gold != dimension => false,
        ("", "") => tolerance.covers(&gold.number, &value),
        ("", _) => return None,
        (_, "") => units == UnitRule::Optional && tolerance.covers(&gold.number, &value),
        (one, other) if one != other => false,
        _ => wanted.is_some_and(|unit| tolerance.covers(&gold.number, &unit.of_base(&value))),
    })
}

/// Returns the fraction of a key.
fn parse(text: &str) -> Option<RBig> {
    let (numerator, denominator) = text.split_once('/').unwrap_or((text, "1"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = numerator.strip_prefix('-').unwrap_or(numerator);
    if text.len() > LONGEST || !digits(unsigned) || !digits(denominator) {
        return None;
    }
    let (numerator, denominator): (UBig, UBig) = (unsigned.parse().ok()?, denominator.parse().ok()?);
    let value = (denominator != UBig::ZERO).then(|| RBig::from_parts(numerator.into(), denominator))?;
    Some(if text.starts_with('-') { -value } else { value })
}

/// Returns the exponent of the first significant digit; `None` for 0.
fn order(number: &RBig) -> Option<i64> {
    if number.is_zero() {
        return None;
    }
    let number = abs(number.clone());
    let length = |text: String| text.len() as i64;
    let most = length(number.numerator().to_string()) - length(number.denominator().to_string());
    Some(if number < power_of_ten(most)? { most - 1 } else { most })
}

fn abs(number: RBig) -> RBig {
    if number < RBig::ZERO { -number } else { number }
}
