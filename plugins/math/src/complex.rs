//! Complex numbers of 224 bits, and the elementary functions of them.

use std::sync::LazyLock;

use dashu_int::{IBig, ops::BitTest};
use dashu_ratio::RBig;

use crate::{
    node::Function,
    real::{self, Real},
};

/// Bits of a real number.
pub(crate) const PRECISION: usize = 224;
/// Bits that rounding may have cost. A sum that is smaller than its terms by more is 0.
pub(crate) const LOST: isize = 60;
/// Largest exponent of two of a real number, whose digits are a division by as many bits.
const MOST_REAL_BITS: isize = 1 << 14;

pub(crate) static PI: LazyLock<Real> = LazyLock::new(|| Real::pi(PRECISION));
pub(crate) static E: LazyLock<Real> = LazyLock::new(|| bounded(real::exp(&one())));

/// A complex number.
#[derive(Debug, Clone)]
pub(crate) struct Complex {
    pub(crate) re: Real,
    pub(crate) im: Real,
}

pub(crate) fn one() -> Real {
    Real::from(1u8).with_precision(PRECISION).value()
}

pub(crate) fn rounded(value: &RBig) -> Real {
    let of = |number: IBig| Real::from(number).with_precision(PRECISION).value();
    bounded(of(value.numerator().clone()) / of(value.denominator().clone().into()))
}

pub(crate) fn bounded(value: Real) -> Real {
    value.with_precision(PRECISION).value()
}

pub(crate) fn is_zero(value: &Complex) -> bool {
    value.re == Real::ZERO && value.im == Real::ZERO
}

/// Returns the binary exponent of a number; `None` for 0.
pub(crate) fn magnitude(value: &Real) -> Option<isize> {
    let repr = value.repr();
    (!repr.significand().is_zero()).then(|| repr.exponent() + repr.significand().bit_len() as isize)
}

/// Returns a number unless it is too large or too small to go on with. A part that is only rounding is 0.
pub(crate) fn checked(value: Complex) -> Option<Complex> {
    let (re, im) = (magnitude(&value.re), magnitude(&value.im));
    let limit = MOST_REAL_BITS;
    if re.into_iter().chain(im).any(|size| size.abs() > limit) {
        return None;
    }
    let lost = |part: Option<isize>, other: Option<isize>| match (part, other) {
        (Some(part), Some(other)) => part < other - PRECISION as isize + LOST,
        _ => false,
    };
    let (no_re, no_im) = (lost(re, im), lost(im, re));
    Some(Complex {
        re: if no_re { Real::ZERO } else { bounded(value.re) },
        im: if no_im { Real::ZERO } else { bounded(value.im) },
    })
}

pub(crate) fn times(a: &Complex, b: &Complex) -> Complex {
    if a.im == Real::ZERO && b.im == Real::ZERO {
        return Complex { re: bounded(&a.re * &b.re), im: Real::ZERO };
    }
    Complex {
        re: bounded(bounded(&a.re * &b.re) - bounded(&a.im * &b.im)),
        im: bounded(bounded(&a.re * &b.im) + bounded(&a.im * &b.re)),
    }
}

pub(crate) fn scaled(a: &Complex, factor: &RBig) -> Complex {
    times(a, &Complex { re: rounded(factor), im: Real::ZERO })
}

pub(crate) fn inverse(a: &Complex) -> Option<Complex> {
    if is_zero(a) {
        return None;
    }
    if a.im == Real::ZERO {
        return Some(Complex { re: bounded(one() / &a.re), im: Real::ZERO });
    }
    let norm = bounded(bounded(&a.re * &a.re) + bounded(&a.im * &a.im));
    Some(Complex { re: bounded(&a.re / &norm), im: bounded(-&a.im / &norm) })
}

pub(crate) fn integer_power(base: &Complex, exponent: &IBig) -> Option<Complex> {
    let mut left = u32::try_from(if *exponent < IBig::ZERO { -exponent } else { exponent.clone() }).ok()?;
    let mut square = if *exponent < IBig::ZERO { inverse(base)? } else { base.clone() };
    let mut result = Complex { re: one(), im: Real::ZERO };
    while left > 0 {
        if left % 2 == 1 {
            result = checked(times(&result, &square))?;
        }
        left /= 2;
        if left > 0 {
            square = checked(times(&square, &square))?;
        }
    }
    Some(result)
}

/// Returns the root of a positive number: of a whole number that is large enough, by the powers of two between them.
pub(crate) fn positive_root(value: &Real, degree: u32) -> Complex {
    let repr = value.repr();
    let degree = degree as isize;
    let bits = PRECISION as isize * degree - repr.significand().bit_len() as isize;
    // A multiple of the degree is left of the exponent.
    let shift = bits.max(0) + (repr.exponent() - bits.max(0)).rem_euclid(degree);
    let whole = repr.significand().clone().into_parts().1 << shift as usize;
    let root = IBig::from(whole.nth_root(degree as usize));
    Complex { re: bounded(Real::from_parts(root, (repr.exponent() - shift) / degree)), im: Real::ZERO }
}

pub(crate) fn exp(a: &Complex) -> Option<Complex> {
    // The exponent of the result has as many bits as a size has at most.
    if magnitude(&a.re).is_some_and(|size| size > 16) || magnitude(&a.im).is_some_and(|size| size > 63) {
        return None;
    }
    let size = if a.re == Real::ZERO { one() } else { bounded(real::exp(&a.re)) };
    if a.im == Real::ZERO {
        return Some(Complex { re: size, im: Real::ZERO });
    }
    let (sin, cos) = real::sin_cos(&a.im);
    Some(Complex { re: bounded(&size * cos), im: bounded(size * sin) })
}

fn abs(a: &Complex) -> Real {
    if a.im == Real::ZERO {
        return if a.re < Real::ZERO { -a.re.clone() } else { a.re.clone() };
    }
    bounded(bounded(bounded(&a.re * &a.re) + bounded(&a.im * &a.im)).sqrt())
}

pub(crate) fn ln(a: &Complex) -> Option<Complex> {
    if is_zero(a) {
        return None;
    }
    let size = abs(a);
    let re = if size == one() { Real::ZERO } else { bounded(real::ln(&size)) };
    let im = match (a.im == Real::ZERO, a.re < Real::ZERO) {
        (true, false) => Real::ZERO,
        (true, true) => PI.clone(),
        _ => bounded(a.im.atan2(&a.re)),
    };
    Some(Complex { re, im })
}

pub(crate) fn apply(function: Function, a: &Complex) -> Option<Complex> {
    let real = |value: Real| Some(Complex { re: bounded(value), im: Real::ZERO });
    match function {
        Function::Exp => return exp(a),
        Function::Ln => return ln(a),
        Function::Abs => return real(abs(a)),
        _ => {}
    }
    // The others are needed for real numbers alone.
    if a.im != Real::ZERO || magnitude(&a.re).is_some_and(|size| size > 63) {
        return None;
    }
    let (x, within) = (&a.re, a.re <= one() && a.re >= -one());
    match function {
        Function::Sin => real(small(bounded(real::sin_cos(x).0))),
        Function::Cos => real(small(bounded(real::sin_cos(x).1))),
        Function::Tan => {
            let (sin, cos) = real::sin_cos(x);
            let cos = small(bounded(cos));
            if cos == Real::ZERO { None } else { real(small(bounded(sin)) / cos) }
        }
        Function::Arcsin if within => real(x.asin()),
        Function::Arccos if within => real(x.acos()),
        Function::Arctan => real(x.atan()),
        Function::Floor => real(Real::from(x.floor().to_int().value())),
        Function::Ceil => real(Real::from(x.ceil().to_int().value())),
        _ => None,
    }
}

/// Returns a sine or cosine, and 0 for one that only rounding keeps from it.
fn small(value: Real) -> Real {
    if magnitude(&value).is_none_or(|size| size < LOST - PRECISION as isize) { Real::ZERO } else { value }
}
