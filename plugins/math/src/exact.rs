//! Exact fractions: the values of expressions that have one.

use dashu_int::{
    IBig, UBig,
    ops::{BitTest, Gcd},
};
use dashu_ratio::RBig;

use crate::{
    node::{Binder, Bound, Function, Node, Operation},
    work::Work,
};

/// Most bits of an exact number.
const MOST_BITS: usize = 1 << 15;
/// Largest argument of a factorial, and largest exponent of an exact power.
const MOST: u32 = 10_000;

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
pub(crate) fn terms<'a>(bound: &'a Bound, work: &Work) -> Option<impl Iterator<Item = Node> + 'a> {
    let (Binder::Sum | Binder::Product, [from, to]) = (bound.binder, &bound.range[..]) else { return None };
    let end = |node| i32::try_from(exact(node, work).filter(RBig::is_int)?.numerator().clone()).ok();
    let (from, to) = (end(from)?, end(to)?);
    if to.checked_sub(from)? > MOST as i32 {
        return None;
    }
    Some((from..=to).map(|value| bound.body.with(&bound.variable, &Node::number(value))))
}

pub(crate) fn whole(value: &RBig) -> Option<u32> {
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
