//! Values of expressions as complex numbers, with a number for each variable.

use dashu_ratio::RBig;

use crate::{
    complex::{
        Complex, E, LOST, PI, PRECISION, apply, bounded, checked, exp, integer_power, is_zero, ln, magnitude, one,
        positive_root, rounded, scaled, times,
    },
    decimal::decimal,
    exact::{exact, terms, whole},
    hash::coordinate,
    node::{Binder, Constant, Function, Node, Operation},
    real::Real,
    work::{ELEMENTARY, Work},
};

/// Largest degree of a root that is taken of a whole number; others are powers of e.
const LARGEST_DEGREE: u32 = 64;

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
    work.meet_opaque();
    Some(Complex { re: rounded(&coordinate(&format!("{name}({})", texts.join(";")))), im: Real::ZERO })
}

/// Returns the levels of expressions with variables of their own.
fn nesting(node: &Node) -> usize {
    let mut deepest = 0;
    node.visit(&mut |part| deepest = deepest.max(nesting(part)));
    deepest + usize::from(matches!(node, Node::Bound(_)))
}
