//! Numbers of JSON: integers exactly, and other numbers as floating-point numbers of 64 bits.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

/// A number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Num {
    Integer(i128),
    Float(f64),
}

impl Num {
    /// Returns a number of JSON. One without a fractional part is an integer: `1.0` is 1.
    pub(crate) fn of(number: &Number) -> Self {
        if let Some(integer) = number.as_i128() {
            return Self::Integer(integer);
        }
        let float = number.as_f64().unwrap_or(f64::NAN);
        // Below 2^100 the conversion is exact.
        let whole = float.abs() < 1e30 && float == (float as i128) as f64;
        if whole { Self::Integer(float as i128) } else { Self::Float(float) }
    }

    /// Returns true for an integer, however large.
    pub(crate) fn is_integer(self) -> bool {
        // Every floating-point number above 2^53 is an integer.
        matches!(self, Self::Integer(_)) || self.float().abs() > 1e17
    }

    /// Returns the order of two numbers.
    pub(crate) fn order(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => one.cmp(&other),
            _ => self.float().total_cmp(&other.float()),
        }
    }

    /// Returns true if the number is a multiple of a positive one, as decimals: 0.3 is a multiple of 0.1.
    pub(crate) fn is_multiple_of(self, other: Self) -> bool {
        let (Some(one), Some(other)) = (Decimal::of(self), Decimal::of(other)) else { return false };
        one.is_multiple_of(&other)
    }

    fn float(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Float(float) => float,
        }
    }
}

impl fmt::Display for Num {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(integer) => write!(f, "{integer}"),
            // The shortest text that is this number, with an exponent.
            Self::Float(float) => write!(f, "{float:e}"),
        }
    }
}

/// The shortest decimal of a number: digits times a power of ten.
struct Decimal {
    digits: u128,
    exponent: i32,
}

impl Decimal {
    fn of(number: Num) -> Option<Self> {
        match number {
            Num::Integer(integer) => Some(Self { digits: integer.unsigned_abs(), exponent: 0 }),
            Num::Float(float) => {
                let text = format!("{:e}", float.abs());
                let (mantissa, exponent) = text.split_once('e')?;
                let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
                let digits = mantissa.replace('.', "").parse().ok()?;
                Some(Self { digits, exponent: exponent.parse::<i32>().ok()? - decimals as i32 })
            }
        }
    }

    fn is_multiple_of(&self, other: &Self) -> bool {
        if other.digits == 0 || other.digits > u128::from(u64::MAX) {
            return other.digits != 0 && self.exponent == other.exponent && self.digits.is_multiple_of(other.digits);
        }
        let shift = self.exponent - other.exponent;
        if shift < 0 {
            // The digits must make up for the missing powers of ten.
            let power = 10u128.checked_pow(shift.unsigned_abs());
            let unit = power.and_then(|power| power.checked_mul(other.digits));
            return unit.map_or(self.digits == 0, |unit| self.digits.is_multiple_of(unit));
        }
        // Remainders stay below 2^64, so products fit.
        let mut rest = self.digits % other.digits;
        for _ in 0..shift {
            rest = rest * 10 % other.digits;
        }
        rest == 0
    }
}
