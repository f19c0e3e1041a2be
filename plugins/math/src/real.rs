//! Real numbers, and their exponential, logarithm, sine and cosine, computed with whole numbers of a fixed scale. Those of dashu
//! took most of the time of answers that have such functions; the tests here compare the two.

use std::sync::LazyLock;

use alft_sdk::math;
use dashu_float::{FBig, round::mode::HalfEven};
use dashu_int::{
    IBig, UBig,
    ops::{BitTest, DivEuclid, RemEuclid},
};

/// A real number.
pub(crate) type Real = FBig<HalfEven, 2>;

/// A number x is the whole number x · 2^SCALE; arguments are reduced with 64 bits more.
const SCALE: usize = 320;
const WIDE: usize = SCALE + 64;

static HALF_PI: LazyLock<IBig> = LazyLock::new(|| {
    constant("1921fb54442d18469898cc51701b839a252049c1114cf98e804177d4c76273644a29410f31c6809bbdf2a33679a748636")
});
static LN_2: LazyLock<IBig> = LazyLock::new(|| {
    constant("b17217f7d1cf79abc9e3b39803f2f6af40f343267298b62d8a0d175b8baafa2be7b876206debac98559552fb4afa1b10")
});

/// Returns a constant by its digits, in the scale of 2^WIDE.
fn constant(digits: &str) -> IBig {
    IBig::from(UBig::from_str_radix(digits, 16).unwrap_or_default())
}

/// Returns a number in a scale of so many bits.
fn fixed(value: &Real, bits: usize) -> IBig {
    let repr = value.repr();
    let shift = repr.exponent() + bits as isize;
    let significand = repr.significand().clone();
    if shift >= 0 { significand << shift as usize } else { significand >> shift.unsigned_abs() }
}

/// Returns the number of a whole number in the scale of 2^SCALE, times a power of two.
fn real(value: IBig, exponent: isize) -> Real {
    Real::from_parts(value, exponent - SCALE as isize)
}

/// Returns the nearest whole number of a fraction.
fn nearest(numerator: &IBig, denominator: &IBig) -> IBig {
    (numerator * IBig::from(2) + denominator).div_euclid(denominator * IBig::from(2))
}

fn product(a: &IBig, b: &IBig) -> IBig {
    (a * b) >> SCALE
}

/// Returns e to a number of at most 2^17 in size.
pub(crate) fn exp(x: &Real) -> Real {
    let (value, exponent) = exp_fixed(fixed(x, WIDE));
    real(value, exponent)
}

/// Returns e to a number in the scale of 2^WIDE, as a number in that of 2^SCALE and an exponent of two.
fn exp_fixed(x: IBig) -> (IBig, isize) {
    const HALVINGS: usize = 8;
    let count = nearest(&x, &LN_2);
    let rest = (x - &count * &*LN_2) >> (WIDE - SCALE + HALVINGS);
    let mut sum = IBig::ONE << SCALE;
    let mut term = sum.clone();
    for n in 1.. {
        term = product(&term, &rest) / n;
        // A negative number is rounded towards the next smaller one, and never comes to 0.
        if term.is_zero() || term == IBig::NEG_ONE {
            break;
        }
        sum += &term;
    }
    for _ in 0..HALVINGS {
        sum = product(&sum, &sum);
    }
    (sum, isize::try_from(count).unwrap_or_default())
}

/// Returns the natural logarithm of a positive number.
pub(crate) fn ln(x: &Real) -> Real {
    let repr = x.repr();
    let bits = repr.significand().bit_len() as isize;
    let exponent = repr.exponent() + bits - 1;
    // From 1 to 2.
    let mantissa = fixed(&Real::from_parts(repr.significand().clone(), 1 - bits), SCALE);
    let short = u64::try_from(&mantissa >> (SCALE - 52)).unwrap_or(1 << 52);
    let start = math::ln(short as f64 / (1u64 << 52) as f64);
    let mut y = IBig::from((start * (1u64 << 60) as f64) as i64) << (SCALE - 60);
    // Halley's iteration triples the digits: 50, 150, and all.
    for _ in 0..2 {
        let (power, exponent) = exp_fixed(&y << (WIDE - SCALE));
        let power = if exponent >= 0 { power << exponent as usize } else { power >> exponent.unsigned_abs() };
        y += ((&mantissa - &power) << (SCALE + 1)) / (&mantissa + power);
    }
    real(y + ((IBig::from(exponent) * &*LN_2) >> (WIDE - SCALE)), 0)
}

/// Returns sine and cosine of a number of at most 2^64 in size.
pub(crate) fn sin_cos(x: &Real) -> (Real, Real) {
    const HALVINGS: usize = 6;
    let x = fixed(x, WIDE);
    let count = nearest(&x, &HALF_PI);
    let rest = (x - &count * &*HALF_PI) >> (WIDE - SCALE + HALVINGS);
    let square = product(&rest, &rest);
    // The cosine less 1, which would lose its digits beside the 1.
    let (mut sin, mut cos) = (rest.clone(), IBig::ZERO);
    let mut term = rest;
    let mut even = IBig::ONE << SCALE;
    for n in 1..60u32 {
        even = -product(&even, &square) / ((2 * n - 1) * (2 * n));
        term = -product(&term, &square) / ((2 * n) * (2 * n + 1));
        cos += &even;
        sin += &term;
        if even.bit_len() <= 2 {
            break;
        }
    }
    for _ in 0..HALVINGS {
        let both = product(&sin, &cos);
        sin = (sin + both) << 1;
        // cos 2t − 1 = 2 (cos t − 1)² + 4 (cos t − 1).
        cos = (product(&cos, &cos) + (cos << 1)) << 1;
    }
    cos += IBig::ONE << SCALE;
    let quadrant = u8::try_from(count.rem_euclid(IBig::from(4))).unwrap_or_default();
    let (sin, cos) = match quadrant {
        0 => (sin, cos),
        1 => (cos, -sin),
        2 => (-sin, -cos),
        _ => (-cos, sin),
    };
    (real(sin, 0), real(cos, 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn number(significand: i64, exponent: i32) -> Real {
        Real::from_parts(significand.into(), exponent as isize).with_precision(224).value()
    }

    /// Asserts that two numbers agree in 200 bits, or to 2^−250.
    fn agree(ours: &Real, theirs: &Real) -> Result<(), TestCaseError> {
        let ours = ours.clone().with_precision(224).value();
        let error = (&ours - theirs).repr().clone();
        let size = |repr: &dashu_float::Repr<2>| repr.exponent() + repr.significand().bit_len() as isize;
        let nothing = error.significand().is_zero();
        prop_assert!(nothing || size(&error) < (size(theirs.repr()) - 200).max(-250), "{ours} and {theirs}");
        Ok(())
    }

    proptest! {
        #[test]
        fn they_agree_with_the_library(significand in -(1i64 << 50)..1i64 << 50, exponent in -100i32..=-34) {
            let x = number(significand, exponent);
            prop_assume!(significand != 0);
            agree(&exp(&x), &x.exp())?;
            let (sin, cos) = sin_cos(&x);
            agree(&sin, &x.sin())?;
            agree(&cos, &x.cos())?;
            let positive = number(significand.abs(), exponent);
            agree(&ln(&positive), &positive.ln())?;
        }
    }
}
