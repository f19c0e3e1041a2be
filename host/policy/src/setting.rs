//! Bounds of settings that computations read as `f32`.

use std::ops::RangeInclusive;

use crate::error::{Error, Result};

/// Checks a number that may not be below 0.
///
/// # Errors
/// [`Error::Setting`] for a number below 0, for one that is infinite as `f32`, and for NaN.
pub(crate) fn not_negative(name: &'static str, value: f64) -> Result<()> {
    within(name, value, 0.0..=f32::MAX.into())
}

/// Checks a number that has bounds.
///
/// # Errors
/// [`Error::Setting`] for a number out of bounds, and for NaN.
pub(crate) fn within(name: &'static str, value: f64, bounds: RangeInclusive<f64>) -> Result<()> {
    if bounds.contains(&value) {
        return Ok(());
    }
    let (least, most) = (bounds.start(), bounds.end());
    Err(Error::setting(name, format!("is {value:?}; it must be a number from {least:?} to {most:?}")))
}
