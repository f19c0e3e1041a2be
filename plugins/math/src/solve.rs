//! Inequalities of one variable, and the sets of their solutions.

use dashu_ratio::RBig;

use crate::{
    evaluate::evaluate,
    exact::exact,
    node::{Constant, Function, Interval, Node, Order},
    real::Real,
    work::Work,
};

/// Returns the variable of inequalities whose sides are linear in it, or in its absolute value, and the set of their
/// solutions: `x` and (−∞, 3) of `x < 3`.
pub(crate) fn solution(values: &[Node], orders: &[Order], work: &Work) -> Option<(String, Node)> {
    let bound = |value: &Node, order: Order, other: &Node| -> Option<(String, bool, Order, Node)> {
        let (name, absolute) = unknown(value).or_else(|| unknown(other))?;
        let difference = value.clone().minus(other.clone());
        let at = |x: i32| number_at(&difference, &name, absolute, x, work);
        let (zero, one, two) = (at(0)?, at(1)?, at(2)?);
        let slope = &one - &zero;
        if &two - &one != slope || slope.is_zero() {
            return None;
        }
        let root = -zero / slope.clone();
        Some((name, absolute, if slope < RBig::ZERO { order.flipped() } else { order }, Node::Number(root)))
    };
    // Roots that are no fractions: the variable alone on one side.
    let alone = |value: &Node, order: Order, other: &Node| -> Option<(String, bool, Order, Node)> {
        let side = |node: &Node| match node {
            Node::Symbol(name) => Some((name.clone(), false)),
            Node::Function(Function::Abs, inner) => match &**inner {
                Node::Symbol(name) => Some((name.clone(), true)),
                _ => None,
            },
            _ => None,
        };
        if let Some((name, absolute)) = side(value)
            && other.variables().is_empty()
        {
            return Some((name, absolute, order, other.clone()));
        }
        let (name, absolute) = side(other)?;
        value.variables().is_empty().then(|| (name, absolute, order.flipped(), value.clone()))
    };
    let find =
        |value: &Node, order: Order, other: &Node| alone(value, order, other).or_else(|| bound(value, order, other));
    let infinity = || Node::Constant(Constant::Infinity);
    let low = |value: Node, closed| ([value, infinity()], [closed, false]);
    let high = |value: Node, closed| ([infinity().negative(), value], [false, closed]);
    let (name, absolute, ends, closed) = match (values, orders) {
        ([a, b], [order]) => {
            let (name, absolute, order, root) = find(a, *order, b)?;
            let (ends, closed) = match order {
                Order::Less => high(root, false),
                Order::LessEqual => high(root, true),
                Order::Greater => low(root, false),
                Order::GreaterEqual => low(root, true),
                _ => return None,
            };
            (name, absolute, ends, closed)
        }
        ([a, b, c], [first, second]) => {
            let (name, absolute, left, from) = find(a, *first, b)?;
            let (other, also, right, to) = find(b, *second, c)?;
            if name != other || absolute != also || b.variables().is_empty() {
                return None;
            }
            let closed = |order: Order| matches!(order, Order::LessEqual | Order::GreaterEqual);
            match (left.falls(), right.falls()) {
                (true, false) => (name, absolute, [from, to], [closed(left), closed(right)]),
                (false, true) => (name, absolute, [to, from], [closed(right), closed(left)]),
                _ => return None,
            }
        }
        _ => return None,
    };
    let span = |ends: [Node; 2], closed| Node::Interval(Interval { ends: ends.map(Box::new), closed });
    if !absolute {
        return Some((name, span(ends, closed)));
    }
    let [from, to] = &ends;
    let mirrored = [to.clone().negative(), from.clone().negative()];
    let positive = evaluate(from, &|_| RBig::ZERO, work).is_some_and(|value| value.re > Real::ZERO);
    let set = if positive {
        Node::Union(vec![span(mirrored, [closed[1], closed[0]]), span(ends, closed)])
    } else {
        // Less than a number: from its negative on.
        span([to.clone().negative(), to.clone()], [closed[1]; 2])
    };
    Some((name, set))
}

/// Returns the only variable of an expression, and true if only its absolute value is in it.
fn unknown(node: &Node) -> Option<(String, bool)> {
    let names = node.variables();
    if names.len() != 1 {
        return None;
    }
    let name = names.into_iter().next()?;
    let absolute = matches!(node, Node::Function(Function::Abs, inner) if **inner == Node::Symbol(name.clone()));
    Some((name, absolute))
}

/// Returns the exact value of an expression with a number in the place of a variable, or of its absolute value.
fn number_at(node: &Node, name: &str, absolute: bool, x: i32, work: &Work) -> Option<RBig> {
    let value = Node::number(x);
    exact(&if absolute { with_absolute(node, name, &value) } else { node.with(name, &value) }, work)
}

fn with_absolute(node: &Node, name: &str, value: &Node) -> Node {
    match node {
        Node::Function(Function::Abs, inner) if **inner == Node::Symbol(name.to_owned()) => value.clone(),
        other => other.map(&|part| with_absolute(part, name, value)),
    }
}
