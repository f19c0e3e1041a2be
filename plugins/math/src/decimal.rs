//! Real numbers as the fractions that they are near to, and in decimal digits.

use dashu_int::{
    IBig, UBig,
    ops::{BitTest, DivRem},
};
use dashu_ratio::RBig;

use crate::{
    complex::{LOST, PRECISION, magnitude},
    real::Real,
};

/// Returns the fraction that a number is, if it is one of a few bits: a number with as many bits that is not, but is so near
/// to one, is less likely than one in 2⁸⁰.
pub(crate) fn as_fraction(value: &Real) -> Option<RBig> {
    let Some(size) = magnitude(value) else { return Some(RBig::ZERO) };
    if size.abs() > 48 {
        return None;
    }
    let repr = value.repr();
    let (significand, exponent) = (repr.significand().clone(), repr.exponent());
    let (sign, significand) = significand.into_parts();
    let (numerator, denominator) = if exponent >= 0 {
        (significand << exponent as usize, UBig::ONE)
    } else {
        (significand, UBig::ONE << (-exponent) as usize)
    };
    // The convergents of its continued fraction, to the first one that is as near as the number is known.
    let known = usize::try_from(PRECISION as isize - LOST - size).ok()?;
    let (mut above, mut below) = (numerator.clone(), denominator.clone());
    let (mut last, mut before) = ((UBig::ONE, UBig::ZERO), (UBig::ZERO, UBig::ONE));
    while !below.is_zero() {
        let (quotient, remainder) = above.div_rem(&below);
        (above, below) = (below, remainder);
        let next = (&quotient * &last.0 + before.0, &quotient * &last.1 + before.1);
        before = std::mem::replace(&mut last, next);
        if last.0.bit_len() + last.1.bit_len() > 80 {
            return None;
        }
        let (ours, theirs) = (&last.0 * &denominator, &last.1 * &numerator);
        let error = if ours > theirs { ours - theirs } else { theirs - ours };
        if error << known <= &last.1 * &denominator {
            return Some(RBig::from_parts(IBig::from_parts(sign, last.0), last.1));
        }
    }
    None
}

/// Returns the decimal digits of a number: `digits` significant ones, without zeros at the end.
pub(crate) fn decimal(value: &Real, digits: usize) -> String {
    let Some(size) = magnitude(value) else { return "0".to_owned() };
    // The digits before the point, or one less than there are.
    let whole = (size as f64 * std::f64::consts::LOG10_2).floor() as isize;
    let (mut units, mut point) = scaled_to_integer(value, digits as isize - whole);
    if units.to_string().trim_start_matches('-').len() > digits {
        (units, point) = scaled_to_integer(value, digits as isize - whole - 1);
    }
    let text = units.to_string();
    let (sign, text) = text.strip_prefix('-').map_or(("", text.as_str()), |rest| ("-", rest));
    let kept = text.trim_end_matches('0');
    point += text.len() as isize;
    match point {
        -5..=0 => format!("{sign}0.{}{kept}", "0".repeat(-point as usize)),
        1..=40 if kept.len() as isize > point => {
            format!("{sign}{}.{}", &kept[..point as usize], &kept[point as usize..])
        }
        1..=40 => format!("{sign}{kept}{}", "0".repeat(point as usize - kept.len())),
        _ => format!("{sign}0.{kept}e{point}"),
    }
}

/// Returns a number times 10 to the power `places`, rounded, and minus `places`.
fn scaled_to_integer(value: &Real, places: isize) -> (IBig, isize) {
    let repr = value.repr();
    let (mut numerator, mut denominator) = (repr.significand().clone(), UBig::ONE);
    let ten = UBig::from(10u8).pow(places.unsigned_abs());
    if places >= 0 {
        numerator *= ten;
    } else {
        denominator *= ten;
    }
    if repr.exponent() >= 0 {
        numerator <<= repr.exponent() as usize;
    } else {
        denominator <<= repr.exponent().unsigned_abs();
    }
    // Without the greatest common divisor that a fraction would be reduced by.
    let (sign, size) = numerator.into_parts();
    (IBig::from_parts(sign, (size * 2u8 + &denominator) / (denominator * 2u8)), -places)
}
