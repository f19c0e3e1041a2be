//! Keys of numbers and of expressions with variables: exact fractions, decimals, and hashes of values at fixed points.

use dashu_int::ops::BitTest;
use dashu_ratio::RBig;

use crate::{
    complex::{Complex, rounded},
    decimal::{as_fraction, decimal},
    evaluate::evaluate,
    exact::exact,
    hash::{coordinate, hash},
    node::{Constant, Function, Node},
    real::Real,
    work::Work,
};

/// Significant digits of a number in a key.
const DIGITS: usize = 30;
/// Significant digits of a value in a hash.
const HASHED: usize = 24;
/// Points at which expressions are evaluated; equations, whose values count relative to the first, take one more.
const POINTS: i32 = 2;

/// A key, with the number that it stands for, or nearly, by which the elements of sets are in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    pub(crate) at: f64,
}

impl Key {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), at: f64::NAN }
    }
}

/// Returns the key of an expression.
pub(crate) fn number(node: &Node, work: &Work) -> Option<Key> {
    match node {
        Node::Constant(Constant::Infinity) => return Some(Key { text: "inf".to_owned(), at: f64::INFINITY }),
        Node::Multiply(factors) if *factors == [Node::number(-1), Node::Constant(Constant::Infinity)] => {
            return Some(Key { text: "-inf".to_owned(), at: f64::NEG_INFINITY });
        }
        _ => {}
    }
    if let Some(value) = exact(node, work) {
        work.write(value.numerator().bit_len() + value.denominator().bit_len())?;
        return Some(fraction(&value));
    }
    if let Node::Symbol(name) = node {
        return Some(Key::new(name.clone()));
    }
    let names = node.variables();
    if names.is_empty() {
        let Some(value) = at_point(node, 0, work) else { return written("expression", node) };
        return Some(if work.met_opaque() { hashed("f", node, &[texts(&value)]) } else { complex(&value) });
    }
    let Some(values) = at_points(node, POINTS, work) else { return written("expression", node) };
    let texts: Vec<String> = values.iter().map(texts).collect();
    // The variables may cancel.
    if texts.iter().all(|text| *text == texts[0]) {
        return Some(complex(&values[0]));
    }
    Some(hashed("f", node, &texts))
}

/// Returns the key of a relation between `difference` and 0, which a factor does not change; a positive one if `directed`.
pub(crate) fn up_to_a_factor(name: &str, difference: &Node, directed: bool, work: &Work) -> Option<Key> {
    let Some(values) = at_points(difference, POINTS + 1, work) else { return written(name, difference) };
    let first = &values[0];
    if values.iter().any(|value| value.im != Real::ZERO) || first.re == Real::ZERO {
        return written(name, difference);
    }
    let scale = if directed && first.re < Real::ZERO { -first.re.clone() } else { first.re.clone() };
    let parts: Vec<String> = values.iter().map(|value| decimal(&(&value.re / &scale), HASHED)).collect();
    Some(hashed(name, difference, &parts))
}

/// Returns the key of an expression without values: the way it is written.
fn written(name: &str, node: &Node) -> Option<Key> {
    Some(Key::new(format!("{name}:{}", node.source())))
}

fn hashed(name: &str, node: &Node, texts: &[String]) -> Key {
    let names: Vec<String> = node.variables().into_iter().collect();
    Key::new(format!("{name}[{}]:{:016x}", names.join(","), hash(&texts.join(";"))))
}

fn texts(value: &Complex) -> String {
    format!("{},{}", decimal(&value.re, HASHED), decimal(&value.im, HASHED))
}

/// Evaluates an expression at so many fixed points. Variables are positive there, as `\sqrt{x^2} = x` and
/// `\ln xy = \ln x + \ln y` mean it, unless an absolute value makes a difference: then one more point has negative ones.
fn at_points(node: &Node, count: i32, work: &Work) -> Option<Vec<Complex>> {
    let mut values = (0..count).map(|point| at_point(node, point, work)).collect::<Option<Vec<_>>>()?;
    let absolute = |node: &Node| matches!(node, Node::Function(Function::Abs, inner) if !inner.variables().is_empty());
    if node.any(&absolute) {
        let (negative, without) = (at_point(node, -1, work)?, without_abs(node));
        let same = |point: i32, value: &Complex| {
            at_point(&without, point, work).is_some_and(|other| texts(&other) == texts(value))
        };
        if !same(0, &values[0]) || !same(-1, &negative) {
            values.push(negative);
        }
    }
    Some(values)
}

fn without_abs(node: &Node) -> Node {
    match node {
        Node::Function(Function::Abs, inner) => without_abs(inner),
        other => other.map(&without_abs),
    }
}

/// Evaluates an expression at a fixed point, whose coordinates depend on the names of the variables.
fn at_point(node: &Node, point: i32, work: &Work) -> Option<Complex> {
    let coordinate = |name: &str| {
        let value = coordinate(&format!("{point}/{name}"));
        if point < 0 { -value } else { value }
    };
    evaluate(node, &coordinate, work)
}

fn fraction(value: &RBig) -> Key {
    Key { text: value.to_string(), at: rounded(value).to_f64().value() }
}

fn complex(value: &Complex) -> Key {
    let real = |part: &Real| match as_fraction(part) {
        Some(value) => value.to_string(),
        None => format!("~{}", decimal(part, DIGITS)),
    };
    let at = value.re.to_f64().value();
    if value.im == Real::ZERO {
        return Key { text: real(&value.re), at };
    }
    Key { text: format!("{}+{}i", real(&value.re), real(&value.im)), at }
}
