//! Values of expressions: exact fractions where there are, and else complex numbers of 224 bits.

use std::{cell::Cell, sync::LazyLock};

use dashu_int::{
    IBig, UBig,
    ops::{BitTest, DivRem, Gcd},
};
use dashu_ratio::RBig;

use crate::{
    hash::coordinate,
    node::{Binder, Bound, Constant, Function, Node, Operation},
    real::{self, Real},
};

/// Bits of a real number.
const PRECISION: usize = 224;
/// Bits that rounding may have cost. A sum that is smaller than its terms by more is 0.
const LOST: isize = 60;
/// Most bits of an exact number.
const MOST_BITS: usize = 1 << 15;
/// Largest exponent of two of a real number, whose digits are a division by as many bits.
const MOST_REAL_BITS: isize = 1 << 14;
/// Largest argument of a factorial, and largest exponent of an exact power.
const MOST: u32 = 10_000;
/// Largest degree of a root that is taken of a whole number; others are powers of e.
const LARGEST_DEGREE: u32 = 64;

/// Work that an answer may take, in about the words of 64 bits that are multiplied: some milliseconds.
const WORK: u64 = 2_000_000;
/// Work of an elementary function.
const ELEMENTARY: u64 = 1_000;

static PI: LazyLock<Real> = LazyLock::new(|| Real::pi(PRECISION));
static E: LazyLock<Real> = LazyLock::new(|| bounded(real::exp(&one())));

/// The work that is left for an answer. An expression that takes more has no value.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<u64>,
    met_opaque: Cell<bool>,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(WORK), met_opaque: Cell::new(false) }
    }

    fn spend(&self, work: u64) -> Option<()> {
        self.left.set(self.left.get().checked_sub(work)?);
        Some(())
    }

    /// Spends the work of writing a number of so many bits in decimal digits.
    pub(crate) fn write(&self, bits: usize) -> Option<()> {
        let words = bits as u64 / 64;
        self.spend(words * words)
    }

    /// Returns true if an operation without a value was met since this was asked before.
    pub(crate) fn met_opaque(&self) -> bool {
        self.met_opaque.take()
    }
}

/// Returns the exact value of an expression of fractions without variables; `None` if there is none, or a large one.
pub(crate) fn exact(node: &Node, work: &Work) -> Option<RBig> {
    let small = |value: RBig| {
        let bits = value.numerator().bit_len() + value.denominator().bit_len();
        let words = bits as u64 / 64 + 1;
        work.spend(words * words / 4 + 20)?;
        (bits < MOST_BITS).then_some(value)
    };
    let exact = |node: &Node| exact(node, work);
    match node {
        Node::Number(value) => Some(value.clone()),
        Node::Add(terms) => terms.iter().try_fold(RBig::ZERO, |sum, term| small(sum + exact(term)?)),
        Node::Multiply(factors) => {
            factors.iter().try_fold(RBig::ONE, |product, factor| small(product * exact(factor)?))
        }
        Node::Power(base, exponent) => {
            let (base, exponent) = (exact(base)?, exact(exponent)?);
            if exponent.is_int() {
                return small(power(&base, exponent.numerator())?);
            }
            let degree = usize::try_from(exponent.denominator().clone()).ok().filter(|degree| *degree <= 64)?;
            small(power(&root(&base, degree)?, exponent.numerator())?)
        }
        Node::Root(base, degree) => root(&exact(base)?, *degree as usize),
        Node::Factorial(argument) => {
            let n = whole(&exact(argument)?)?;
            let mut product = UBig::ONE;
            for factor in 2..=n {
                product *= UBig::from(factor);
                work.spend(product.bit_len() as u64 / 32 + 30)?;
            }
            small(RBig::from(product))
        }
        Node::Choose(n, k) => {
            let (n, k) = (whole(&exact(n)?)?, whole(&exact(k)?)?);
            if k > n {
                return Some(RBig::ZERO);
            }
            let mut value = UBig::ONE;
            for index in 0..k.min(n - k) {
                value = value * UBig::from(n - index) / UBig::from(index + 1);
                work.spend(value.bit_len() as u64 / 16 + 60)?;
            }
            small(RBig::from(value))
        }
        Node::Function(Function::Abs, argument) => {
            let value = exact(argument)?;
            Some(if value < RBig::ZERO { -value } else { value })
        }
        Node::Operation(operation, parts) => {
            let parts = parts.iter().map(exact).collect::<Option<Vec<_>>>()?;
            small(parts.into_iter().map(Some).reduce(|a, b| operate(*operation, a?, b?))??)
        }
        Node::Bound(bound) => {
            let mut value = if bound.binder == Binder::Sum { RBig::ZERO } else { RBig::ONE };
            for term in terms(bound, work)? {
                let term = exact(&term)?;
                value = small(if bound.binder == Binder::Sum { value + term } else { value * term })?;
            }
            Some(value)
        }
        Node::Function(Function::Floor, argument) => Some(RBig::from(exact(argument)?.floor())),
        Node::Function(Function::Ceil, argument) => Some(RBig::from(exact(argument)?.ceil())),
        _ => None,
    }
}

fn operate(operation: Operation, a: RBig, b: RBig) -> Option<RBig> {
    let natural = |value: &RBig| UBig::try_from(value.numerator().clone()).ok().filter(|_| value.is_int());
    Some(match operation {
        Operation::Max => a.max(b),
        Operation::Min => a.min(b),
        Operation::Mod if b > RBig::ZERO => a.clone() - RBig::from((a / &b).floor()) * b,
        Operation::Mod => return None,
        Operation::Gcd | Operation::Lcm => {
            let (a, b) = (natural(&a)?, natural(&b)?);
            if a.is_zero() || b.is_zero() {
                return None;
            }
            let gcd = (&a).gcd(&b);
            RBig::from(if operation == Operation::Gcd { gcd } else { a / gcd * b })
        }
    })
}

/// Returns the terms of a sum, or the factors of a product, over a finite range.
fn terms<'a>(bound: &'a Bound, work: &Work) -> Option<impl Iterator<Item = Node> + 'a> {
    let (Binder::Sum | Binder::Product, [from, to]) = (bound.binder, &bound.range[..]) else { return None };
    let end = |node| i32::try_from(exact(node, work).filter(RBig::is_int)?.numerator().clone()).ok();
    let (from, to) = (end(from)?, end(to)?);
    if to.checked_sub(from)? > MOST as i32 {
        return None;
    }
    Some((from..=to).map(|value| bound.body.with(&bound.variable, &Node::number(value))))
}

fn whole(value: &RBig) -> Option<u32> {
    let number = u32::try_from(value.numerator().clone()).ok().filter(|_| value.is_int())?;
    (number <= MOST).then_some(number)
}

fn power(base: &RBig, exponent: &IBig) -> Option<RBig> {
    if *base == RBig::ONE {
        return Some(RBig::ONE);
    }
    let size = u32::try_from(if *exponent < IBig::ZERO { -exponent } else { exponent.clone() }).ok()?;
    let bits = base.numerator().bit_len().max(base.denominator().bit_len());
    if bits.checked_mul(size as usize)? > MOST_BITS || (*exponent < IBig::ZERO && *base == RBig::ZERO) {
        return None;
    }
    let value = base.pow(size as isize);
    Some(if *exponent < IBig::ZERO { RBig::ONE / value } else { value })
}

/// Returns the root of a fraction if it is one.
fn root(value: &RBig, degree: usize) -> Option<RBig> {
    if degree == 0 || (*value < RBig::ZERO && degree.is_multiple_of(2)) {
        return None;
    }
    let exact = |number: UBig| {
        let root = number.nth_root(degree);
        (root.pow(degree) == number).then_some(root)
    };
    let (sign, numerator) = value.numerator().clone().into_parts();
    let root = RBig::from_parts(IBig::from_parts(sign, exact(numerator)?), exact(value.denominator().clone())?);
    Some(root)
}

/// A complex number.
#[derive(Debug, Clone)]
pub(crate) struct Complex {
    pub(crate) re: Real,
    pub(crate) im: Real,
}

/// Evaluates an expression, with a value for each variable. Returns `None` where it is not defined, or too large.
pub(crate) fn evaluate(node: &Node, variable: &dyn Fn(&str) -> RBig, work: &Work) -> Option<Complex> {
    let elementary = || work.spend(ELEMENTARY);
    work.spend(100)?;
    let real = |value: &RBig| Complex { re: rounded(value), im: Real::ZERO };
    let value = match node {
        Node::Number(value) => real(value),
        Node::Symbol(name) => real(&variable(name)),
        Node::Constant(Constant::Pi) => Complex { re: PI.clone(), im: Real::ZERO },
        Node::Constant(Constant::E) => Complex { re: E.clone(), im: Real::ZERO },
        Node::Constant(Constant::I) => Complex { re: Real::ZERO, im: one() },
        Node::Add(terms) => {
            let terms = terms.iter().map(|term| evaluate(term, variable, work)).collect::<Option<Vec<_>>>()?;
            let sum = |part: fn(&Complex) -> &Real| {
                let sum = terms.iter().fold(Real::ZERO, |sum, term| bounded(sum + part(term)));
                let largest = terms.iter().filter_map(|term| magnitude(part(term))).max();
                // Nothing but rounding is left.
                let nothing = magnitude(&sum)
                    .is_none_or(|left| largest.is_some_and(|most| left < most - PRECISION as isize + LOST));
                if nothing { Real::ZERO } else { sum }
            };
            Complex { re: sum(|term| &term.re), im: sum(|term| &term.im) }
        }
        Node::Multiply(factors) => {
            let mut product = Complex { re: one(), im: Real::ZERO };
            for factor in factors {
                product = checked(times(&product, &evaluate(factor, variable, work)?))?;
            }
            product
        }
        Node::Power(base, exponent) => {
            if let Some(exponent) = exact(exponent, work).filter(RBig::is_int) {
                return integer_power(&evaluate(base, variable, work)?, exponent.numerator());
            }
            if let Some(exponent) = exact(exponent, work)
                && let Some(degree) =
                    u32::try_from(exponent.denominator().clone()).ok().filter(|degree| *degree <= LARGEST_DEGREE)
            {
                let base = evaluate(base, variable, work)?;
                if base.im == Real::ZERO && base.re > Real::ZERO {
                    elementary()?;
                    return integer_power(&positive_root(&base.re, degree), exponent.numerator());
                }
            }
            elementary()?;
            let (base, exponent) = (evaluate(base, variable, work)?, evaluate(exponent, variable, work)?);
            if is_zero(&base) {
                return (exponent.re > Real::ZERO).then_some(base);
            }
            exp(&checked(times(&exponent, &ln(&base)?))?)?
        }
        Node::Root(base, degree) => {
            elementary()?;
            let base = evaluate(base, variable, work)?;
            if is_zero(&base) {
                return Some(base);
            }
            let small = *degree <= LARGEST_DEGREE;
            if small && base.im == Real::ZERO && base.re > Real::ZERO {
                return Some(positive_root(&base.re, *degree));
            }
            // Real for a negative number and an odd degree.
            if small && base.im == Real::ZERO && degree % 2 == 1 {
                let root = positive_root(&-base.re, *degree);
                return Some(Complex { re: -root.re, im: root.im });
            }
            exp(&scaled(&ln(&base)?, &(RBig::ONE / RBig::from(*degree))))?
        }
        Node::Function(function, argument) => {
            elementary()?;
            // Fractional points say too little of a step function.
            if matches!(function, Function::Floor | Function::Ceil) && !argument.variables().is_empty() {
                return opaque(&format!("{function:?}"), &[argument], variable, work);
            }
            apply(*function, &evaluate(argument, variable, work)?)?
        }
        Node::Factorial(argument) => match exact(node, work) {
            Some(value) => real(&value),
            None => return opaque("factorial", &[argument], variable, work),
        },
        Node::Choose(n, k) => match (exact(node, work), exact(k, work).as_ref().and_then(whole)) {
            (Some(value), _) => real(&value),
            (None, Some(k)) if k <= 30 => {
                let n = evaluate(n, variable, work)?;
                (0..k).try_fold(Complex { re: one(), im: Real::ZERO }, |product, index| {
                    let down = Complex { re: bounded(&n.re - Real::from(index)), im: n.im.clone() };
                    checked(scaled(&times(&product, &down), &(RBig::ONE / RBig::from(index + 1))))
                })?
            }
            _ => return opaque("choose", &[n, k], variable, work),
        },
        Node::Operation(operation, parts) => match (exact(node, work), operation) {
            (Some(value), _) => real(&value),
            (None, Operation::Max | Operation::Min) if node.variables().is_empty() => {
                let mut values = parts.iter().map(|part| evaluate(part, variable, work)).collect::<Option<Vec<_>>>()?;
                if values.iter().any(|value| value.im != Real::ZERO) {
                    return None;
                }
                values.sort_by(|a, b| a.re.cmp(&b.re));
                if *operation == Operation::Max { values.pop()? } else { values.swap_remove(0) }
            }
            _ => return opaque(&format!("{operation:?}"), &parts.iter().collect::<Vec<_>>(), variable, work),
        },
        Node::Bound(bound) => {
            let Some(mut terms) = terms(bound, work) else {
                // The same for every name of the variable, and another one for each level of nesting.
                let inner = Node::Symbol(format!("\u{1}{}", nesting(&bound.body)));
                let body = bound.body.with(&bound.variable, &inner);
                let parts: Vec<&Node> = bound.range.iter().chain([&body]).collect();
                return opaque(&format!("{:?}", bound.binder), &parts, variable, work);
            };
            let first = if bound.binder == Binder::Sum { Real::ZERO } else { one() };
            terms.try_fold(Complex { re: first, im: Real::ZERO }, |value, term| {
                let term = evaluate(&term, variable, work)?;
                checked(match bound.binder {
                    Binder::Sum => Complex { re: bounded(value.re + term.re), im: bounded(value.im + term.im) },
                    _ => times(&value, &term),
                })
            })?
        }
        _ => return None,
    };
    checked(value)
}

/// Returns a number in the place of an operation that has no value, the same where the values of its arguments are.
fn opaque(name: &str, arguments: &[&Node], variable: &dyn Fn(&str) -> RBig, work: &Work) -> Option<Complex> {
    let text = |node: &&Node| {
        if node.any(&|part| *part == Node::Constant(Constant::Infinity)) {
            return Some(node.source());
        }
        let value = evaluate(node, variable, work)?;
        Some(format!("{},{}", decimal(&value.re, 24), decimal(&value.im, 24)))
    };
    let mut texts = arguments.iter().map(text).collect::<Option<Vec<_>>>()?;
    if ["Gcd", "Lcm", "Max", "Min"].contains(&name) {
        texts.sort();
        texts.dedup();
    }
    work.met_opaque.set(true);
    Some(Complex { re: rounded(&coordinate(&format!("{name}({})", texts.join(";")))), im: Real::ZERO })
}

/// Returns the levels of expressions with variables of their own.
fn nesting(node: &Node) -> usize {
    let mut deepest = 0;
    node.visit(&mut |part| deepest = deepest.max(nesting(part)));
    deepest + usize::from(matches!(node, Node::Bound(_)))
}

fn one() -> Real {
    Real::from(1u8).with_precision(PRECISION).value()
}

pub(crate) fn rounded(value: &RBig) -> Real {
    let of = |number: IBig| Real::from(number).with_precision(PRECISION).value();
    bounded(of(value.numerator().clone()) / of(value.denominator().clone().into()))
}

fn bounded(value: Real) -> Real {
    value.with_precision(PRECISION).value()
}

fn is_zero(value: &Complex) -> bool {
    value.re == Real::ZERO && value.im == Real::ZERO
}

/// Returns the binary exponent of a number; `None` for 0.
fn magnitude(value: &Real) -> Option<isize> {
    let repr = value.repr();
    (!repr.significand().is_zero()).then(|| repr.exponent() + repr.significand().bit_len() as isize)
}

/// Returns a number unless it is too large or too small to go on with. A part that is only rounding is 0.
fn checked(value: Complex) -> Option<Complex> {
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

fn times(a: &Complex, b: &Complex) -> Complex {
    if a.im == Real::ZERO && b.im == Real::ZERO {
        return Complex { re: bounded(&a.re * &b.re), im: Real::ZERO };
    }
    Complex {
        re: bounded(bounded(&a.re * &b.re) - bounded(&a.im * &b.im)),
        im: bounded(bounded(&a.re * &b.im) + bounded(&a.im * &b.re)),
    }
}

fn scaled(a: &Complex, factor: &RBig) -> Complex {
    times(a, &Complex { re: rounded(factor), im: Real::ZERO })
}

fn inverse(a: &Complex) -> Option<Complex> {
    if is_zero(a) {
        return None;
    }
    if a.im == Real::ZERO {
        return Some(Complex { re: bounded(one() / &a.re), im: Real::ZERO });
    }
    let norm = bounded(bounded(&a.re * &a.re) + bounded(&a.im * &a.im));
    Some(Complex { re: bounded(&a.re / &norm), im: bounded(-&a.im / &norm) })
}

fn integer_power(base: &Complex, exponent: &IBig) -> Option<Complex> {
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
fn positive_root(value: &Real, degree: u32) -> Complex {
    let repr = value.repr();
    let degree = degree as isize;
    let bits = PRECISION as isize * degree - repr.significand().bit_len() as isize;
    // A multiple of the degree is left of the exponent.
    let shift = bits.max(0) + (repr.exponent() - bits.max(0)).rem_euclid(degree);
    let whole = repr.significand().clone().into_parts().1 << shift as usize;
    let root = IBig::from(whole.nth_root(degree as usize));
    Complex { re: bounded(Real::from_parts(root, (repr.exponent() - shift) / degree)), im: Real::ZERO }
}

fn exp(a: &Complex) -> Option<Complex> {
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

fn ln(a: &Complex) -> Option<Complex> {
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

fn apply(function: Function, a: &Complex) -> Option<Complex> {
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
