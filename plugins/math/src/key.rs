//! The key of a value: the same text for the same value, however it is written.
//!
//! | value | its key | decided |
//! | --- | --- | --- |
//! | number | a fraction, as `-3/4` | exactly |
//! | other number | its first 30 digits, as `~1.41421356…` | two with the same are equal but for a chance below 10⁻²⁵ |
//! | expression with variables | its variables, and a hash of its values at three points | likewise |
//! | equation, inequality | its variables, and a hash of such values over the first of them: up to a factor | likewise |
//! | inequality of one variable | the interval of its solutions, with the variable before it | as its ends |
//! | tuple, set, interval, union, matrix | its parts; the elements of a set in order | as its parts |
//! | text | itself in lower case | exactly |

use std::collections::BTreeSet;

use dashu_ratio::RBig;

use crate::{
    node::{Constant, Function, Interval, Node, Order},
    number::{Complex, Real, Work, as_fraction, decimal, evaluate, exact},
};

/// Significant digits of a number in a key.
const DIGITS: usize = 30;
/// Significant digits of a value in a hash.
const HASHED: usize = 24;

/// A key, with the number that it stands for, or nearly, by which the elements of sets are in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Key {
    pub(crate) text: String,
    at: f64,
}

impl Key {
    fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), at: f64::NAN }
    }
}

/// Returns the key of a value.
pub(crate) fn key(node: &Node) -> Option<Key> {
    key_of(node, &Work::new())
}

fn key_of(node: &Node, work: &Work) -> Option<Key> {
    match node {
        Node::Text(text) => text_key(text),
        Node::Percent(value) => {
            let Key { text, at } = key_of(value, work)?;
            Some(Key { text: format!("{text}%"), at })
        }
        Node::Base(digits, base) => Some(Key::new(format!("{}_{base}", digits.trim_start_matches('0').to_uppercase()))),
        Node::Set(items) => set(items, work),
        Node::Tuple(items) if items.iter().all(|item| named_value(item).is_some()) => {
            joined(items.iter().filter_map(named_value), ["(", ")"], work)
        }
        Node::Tuple(items) => joined(items, ["(", ")"], work),
        Node::Interval(interval) => union(vec![Span::of(interval, work)?]),
        Node::Union(parts) => parts_of_union(parts, work),
        Node::Constant(Constant::Reals) => Some(Key::new("(-inf,inf)")),
        Node::Constant(Constant::Empty) => Some(Key::new("{}")),
        Node::Matrix(rows) => matrix(rows, work),
        Node::Member(_, set) => key_of(set, work),
        Node::Ratio(parts) => ratio(parts, work),
        Node::Relation(values, orders) => relation(values, orders, work),
        Node::PlusMinus(..) => set(std::slice::from_ref(node), work),
        Node::Multiply(factors) if factors.iter().any(|factor| matches!(factor, Node::Matrix(_))) => {
            matrix(&matrix_product(factors)?, work)
        }
        _ => number(node, work),
    }
}

/// Returns the values that a gold answer accepts besides its own.
pub(crate) fn also(node: &Node) -> Vec<Node> {
    match node {
        // `y = 2x + 3` is answered by `2x + 3`.
        Node::Relation(values, orders)
            if orders.iter().all(|order| *order == Order::Equal) && matches!(values[0], Node::Symbol(_)) =>
        {
            values.last().cloned().into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn text_key(text: &str) -> Option<Key> {
    let text = text.to_lowercase();
    let words: Vec<&str> =
        text.split_whitespace().map(|word| word.trim_matches(|c: char| !c.is_alphanumeric())).collect();
    let text = words.join(" ").trim().to_owned();
    (!text.is_empty()).then(|| Key::new(text))
}

/// Returns the value of a named item: `5` of `x = 5`.
fn named_value(item: &Node) -> Option<&Node> {
    match item {
        Node::Relation(values, orders) if orders.iter().all(|order| *order == Order::Equal) && is_name(&values[0]) => {
            values.last()
        }
        _ => None,
    }
}

/// Returns true for what a value is assigned to: a variable, several, or a ratio of them.
fn is_name(node: &Node) -> bool {
    match node {
        Node::Symbol(_) => true,
        // `AB = 4` is a length.
        Node::Multiply(parts) | Node::Tuple(parts) | Node::Ratio(parts) => {
            parts.iter().all(|part| matches!(part, Node::Symbol(name) if !name.contains('(')))
                || matches!(node, Node::Tuple(_) | Node::Ratio(_)) && parts.iter().all(is_name)
        }
        Node::Text(_) => true,
        _ => false,
    }
}

fn set(items: &[Node], work: &Work) -> Option<Key> {
    let mut keys: Vec<Key> = Vec::new();
    for item in items.iter().flat_map(elements) {
        keys.push(key_of(&item, work)?);
    }
    keys.sort_by(|a, b| a.at.total_cmp(&b.at).then_with(|| a.text.cmp(&b.text)));
    keys.dedup_by(|a, b| a.text == b.text);
    if keys.len() == 1 { keys.pop() } else { joined_keys(keys, "{", "}") }
}

/// Returns the elements that an item of a set stands for: those of a set in it, and two for a `±`.
fn elements(item: &Node) -> Vec<Node> {
    match item {
        Node::Set(items) => items.iter().flat_map(elements).collect(),
        Node::PlusMinus(a, b) => {
            vec![Node::Add(vec![(**a).clone(), (**b).clone()]), (**a).clone().minus((**b).clone())]
        }
        Node::Relation(..) if named_value(item).is_some() => named_value(item).map(elements).unwrap_or_default(),
        other => signs(other),
    }
}

/// Returns an expression with each sign of the `±` within it.
fn signs(node: &Node) -> Vec<Node> {
    let Node::Multiply(factors) = node else { return vec![node.clone()] };
    let Some(index) = factors.iter().position(|factor| matches!(factor, Node::PlusMinus(..))) else {
        return vec![node.clone()];
    };
    let with = |value: Node| {
        let mut factors = factors.clone();
        factors[index] = value;
        Node::Multiply(factors)
    };
    elements(&factors[index]).into_iter().map(with).collect()
}

fn joined<'a>(items: impl IntoIterator<Item = &'a Node>, [open, close]: [&str; 2], work: &Work) -> Option<Key> {
    joined_keys(items.into_iter().map(|item| key_of(item, work)).collect::<Option<_>>()?, open, close)
}

fn joined_keys(keys: Vec<Key>, open: &str, close: &str) -> Option<Key> {
    let texts: Vec<String> = keys.into_iter().map(|key| key.text).collect();
    Some(Key::new(format!("{open}{}{close}", texts.join(","))))
}

/// An interval with the keys of its ends.
struct Span {
    ends: [Key; 2],
    closed: [bool; 2],
}

impl Span {
    fn of(interval: &Interval, work: &Work) -> Option<Self> {
        let [low, high] = &interval.ends;
        Some(Self { ends: [key_of(low, work)?, key_of(high, work)?], closed: interval.closed })
    }

    /// Returns the interval that a part of a union is.
    fn of_node(node: &Node, work: &Work) -> Option<Self> {
        match node {
            Node::Interval(interval) => Self::of(interval, work),
            Node::Tuple(ends) if ends.len() == 2 => {
                Some(Self { ends: [key_of(&ends[0], work)?, key_of(&ends[1], work)?], closed: [false; 2] })
            }
            _ => None,
        }
    }
}

fn parts_of_union(parts: &[Node], work: &Work) -> Option<Key> {
    if parts.iter().all(|part| matches!(part, Node::Set(_))) {
        return set(parts, work);
    }
    union(parts.iter().map(|part| Span::of_node(part, work)).collect::<Option<_>>()?)
}

/// Returns the key of a union of intervals, in order, and with those joined that touch.
fn union(mut spans: Vec<Span>) -> Option<Key> {
    spans.sort_by(|a, b| a.ends[0].at.total_cmp(&b.ends[0].at));
    let mut merged: Vec<Span> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last)
                if last.ends[1].at > span.ends[0].at
                    || (last.ends[1].text == span.ends[0].text && (last.closed[1] || span.closed[0])) =>
            {
                if span.ends[1].at >= last.ends[1].at {
                    last.closed[1] = span.closed[1] || (last.closed[1] && last.ends[1].text == span.ends[1].text);
                    last.ends[1] = span.ends[1].clone();
                }
            }
            _ => merged.push(span),
        }
    }
    let text = |span: Span| {
        let [low, high] = span.ends;
        let open = if span.closed[0] { '[' } else { '(' };
        let close = if span.closed[1] { ']' } else { ')' };
        format!("{open}{},{}{close}", low.text, high.text)
    };
    Some(Key::new(merged.into_iter().map(text).collect::<Vec<_>>().join("u")))
}

fn matrix(rows: &[Vec<Node>], work: &Work) -> Option<Key> {
    let width = rows.first()?.len();
    if rows.iter().any(|row| row.len() != width) {
        return None;
    }
    let rows = rows.iter().map(|row| joined(row, ["[", "]"], work)).collect::<Option<Vec<_>>>()?;
    joined_keys(rows, "[", "]")
}

/// Multiplies matrices, and numbers with them.
fn matrix_product(factors: &[Node]) -> Option<Vec<Vec<Node>>> {
    let mut product: Option<Vec<Vec<Node>>> = None;
    let mut scale = Vec::new();
    for factor in factors {
        match (factor, &product) {
            (Node::Matrix(rows), None) => product = Some(rows.clone()),
            (Node::Matrix(right), Some(left)) => {
                if right.len() > 20 || left.len() > 20 || left.iter().any(|row| row.len() != right.len()) {
                    return None;
                }
                let columns = right.first()?.len();
                let element = |row: &[Node], column: usize| {
                    let products = row.iter().zip(right);
                    let terms =
                        products.map(|(a, row)| Some(Node::Multiply(vec![a.clone(), row.get(column)?.clone()])));
                    terms.collect::<Option<Vec<_>>>().map(Node::Add)
                };
                let rows = left.iter().map(|row| (0..columns).map(|column| element(row, column)).collect());
                product = Some(rows.collect::<Option<_>>()?);
            }
            (other, _) => scale.push(other.clone()),
        }
    }
    let scaled = |element: Node| Node::Multiply(scale.iter().cloned().chain([element]).collect());
    Some(product?.into_iter().map(|row| row.into_iter().map(scaled).collect()).collect())
}

fn ratio(parts: &[Node], work: &Work) -> Option<Key> {
    let numbers: Option<Vec<RBig>> = parts.iter().map(|part| exact(part, work)).collect();
    match numbers.as_deref() {
        Some([first, rest @ ..]) if !first.is_zero() => {
            let parts: Vec<String> = rest.iter().map(|part| (part / first).to_string()).collect();
            Some(Key::new(format!("1:{}", parts.join(":"))))
        }
        _ => {
            let keys = parts.iter().map(|part| Some(key_of(part, work)?.text)).collect::<Option<Vec<_>>>()?;
            Some(Key::new(keys.join(":")))
        }
    }
}

fn relation(values: &[Node], orders: &[Order], work: &Work) -> Option<Key> {
    // A rounded value at the end is not the answer.
    if let Some(about) = orders.iter().position(|order| *order == Order::About) {
        let kept = &values[..=about];
        return if about == 0 { key_of(&kept[0], work) } else { relation(kept, &orders[..about], work) };
    }
    if orders.iter().all(|order| *order == Order::Equal) {
        let (first, last) = (&values[0], values.last()?);
        let has_variables = !variables(last).is_empty();
        let function = matches!(first, Node::Symbol(name) if name.contains('('));
        if is_name(first) && (!has_variables || function || !matches!(first, Node::Symbol(_))) {
            return key_of(last, work);
        }
        if values.len() == 2 {
            // `f(x) = x` is no equation of a line.
            return if is_structure(last) { key_of(last, work) } else { equation(first, last, work) };
        }
        let keys = values.iter().map(|value| Some(key_of(value, work)?.text)).collect::<Option<Vec<_>>>()?;
        return Some(Key::new(keys.join("=")));
    }
    if let Some(key) = solved(values, orders, work) {
        return Some(key);
    }
    if let ([left, right], [order]) = (values, orders) {
        let difference =
            if order.falls() { right.clone().minus(left.clone()) } else { left.clone().minus(right.clone()) };
        let name = match order {
            Order::Unequal => "ne",
            Order::Less | Order::Greater => "lt",
            _ => "le",
        };
        return up_to_a_factor(name, &difference, *order != Order::Unequal, work);
    }
    let reversed = orders.first()?.falls();
    let mut parts: Vec<String> = values.iter().map(|value| Some(key_of(value, work)?.text)).collect::<Option<_>>()?;
    let mut signs: Vec<Order> = orders.to_vec();
    if reversed {
        parts.reverse();
        signs.reverse();
        signs.iter_mut().for_each(|order| *order = order.flipped());
    }
    let sign = |order: Order| match order {
        Order::Less => "<",
        Order::LessEqual => "<=",
        Order::Greater => ">",
        Order::GreaterEqual => ">=",
        Order::Unequal => "!=",
        _ => "=",
    };
    let mut text = parts[0].clone();
    for (order, part) in signs.into_iter().zip(&parts[1..]) {
        text += sign(order);
        text += part;
    }
    Some(Key::new(text))
}

fn is_structure(node: &Node) -> bool {
    matches!(node, Node::Interval(_) | Node::Tuple(_) | Node::Set(_) | Node::Union(_) | Node::Matrix(_) | Node::Text(_))
}

fn equation(left: &Node, right: &Node, work: &Work) -> Option<Key> {
    up_to_a_factor("eq", &left.clone().minus(right.clone()), false, work)
}

/// Returns the key of `difference` and a relation to 0, which a factor does not change; a positive one if `directed`.
fn up_to_a_factor(name: &str, difference: &Node, directed: bool, work: &Work) -> Option<Key> {
    let names = variables(difference);
    let values = (0..4).map(|point| at_point(difference, point, work)).collect::<Option<Vec<_>>>();
    let Some(values) = values else { return fallback(name, difference) };
    let first = &values[0];
    if values.iter().any(|value| value.im != Real::ZERO) || first.re == Real::ZERO {
        return fallback(name, difference);
    }
    let scale = if directed && first.re < Real::ZERO { -first.re.clone() } else { first.re.clone() };
    let parts: Vec<String> = values.iter().map(|value| decimal(&(&value.re / &scale), HASHED)).collect();
    Some(Key::new(format!(
        "{name}[{}]:{:016x}",
        names.into_iter().collect::<Vec<_>>().join(","),
        hash(&parts.join(";"))
    )))
}

fn fallback(name: &str, node: &Node) -> Option<Key> {
    Some(Key::new(format!("{name}:{}", source(node))))
}

/// Returns the solutions of inequalities of one variable whose sides are linear in it: `x:(-inf,3)`.
fn solved(values: &[Node], orders: &[Order], work: &Work) -> Option<Key> {
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
            && variables(other).is_empty()
        {
            return Some((name, absolute, order, other.clone()));
        }
        let (name, absolute) = side(other)?;
        variables(value).is_empty().then(|| (name, absolute, order.flipped(), value.clone()))
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
            if name != other || absolute != also || variables(b).is_empty() {
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
    let span = |ends: [Node; 2], closed| Span::of(&Interval { ends: ends.map(Box::new), closed }, work);
    let key = if !absolute {
        union(vec![span(ends, closed)?])?
    } else {
        let [from, to] = &ends;
        let mirrored = [to.clone().negative(), from.clone().negative()];
        match evaluate(from, &|_| None, work).map(|value| value.re > Real::ZERO) {
            Some(true) => union(vec![span(mirrored, [closed[1], closed[0]])?, span(ends, closed)?])?,
            // Less than a number: from its negative on.
            _ => union(vec![span([to.clone().negative(), to.clone()], [closed[1]; 2])?])?,
        }
    };
    Some(Key::new(format!("{name}:{}", key.text)))
}

/// Returns the only variable of an expression, and true if only its absolute value is in it.
fn unknown(node: &Node) -> Option<(String, bool)> {
    let names = variables(node);
    if names.len() != 1 {
        return None;
    }
    let name = names.into_iter().next()?;
    let absolute = matches!(node, Node::Function(Function::Abs, inner) if **inner == Node::Symbol(name.clone()));
    Some((name, absolute))
}

fn number_at(node: &Node, name: &str, absolute: bool, x: i32, work: &Work) -> Option<RBig> {
    exact(&replaced(node, name, absolute, &RBig::from(x)), work)
}

/// Returns an expression with a number in the place of a variable, or of its absolute value.
fn replaced(node: &Node, name: &str, absolute: bool, value: &RBig) -> Node {
    let again = |node: &Node| replaced(node, name, absolute, value);
    let boxed = |node: &Node| Box::new(again(node));
    match node {
        Node::Function(Function::Abs, inner) if absolute && **inner == Node::Symbol(name.to_owned()) => {
            Node::Number(value.clone())
        }
        Node::Symbol(symbol) if symbol == name && !absolute => Node::Number(value.clone()),
        Node::Add(terms) => Node::Add(terms.iter().map(again).collect()),
        Node::Multiply(factors) => Node::Multiply(factors.iter().map(again).collect()),
        Node::Power(a, b) => Node::Power(boxed(a), boxed(b)),
        Node::Root(a, degree) => Node::Root(boxed(a), *degree),
        Node::Function(function, a) => Node::Function(*function, boxed(a)),
        other => other.clone(),
    }
}

/// Returns the key of an expression.
fn number(node: &Node, work: &Work) -> Option<Key> {
    match node {
        Node::Constant(Constant::Infinity) => return Some(Key { text: "inf".to_owned(), at: f64::INFINITY }),
        Node::Multiply(factors) if *factors == [Node::number(-1), Node::Constant(Constant::Infinity)] => {
            return Some(Key { text: "-inf".to_owned(), at: f64::NEG_INFINITY });
        }
        _ => {}
    }
    if let Some(value) = exact(node, work) {
        return Some(fraction(&value));
    }
    let names = variables(node);
    if names.is_empty() {
        return match evaluate(node, &|_| None, work) {
            Some(value) => Some(complex(&value)),
            None => fallback("expression", node),
        };
    }
    if let Node::Symbol(name) = node {
        return Some(Key::new(name.clone()));
    }
    let values = (0..3).map(|point| at_point(node, point, work)).collect::<Option<Vec<_>>>();
    let Some(values) = values else { return fallback("expression", node) };
    let texts: Vec<String> =
        values.iter().map(|value| format!("{},{}", decimal(&value.re, HASHED), decimal(&value.im, HASHED))).collect();
    // The variables may cancel.
    if texts.iter().all(|text| *text == texts[0]) {
        return Some(complex(&values[0]));
    }
    let names: Vec<String> = names.into_iter().collect();
    Some(Key::new(format!("f[{}]:{:016x}", names.join(","), hash(&texts.join(";")))))
}

fn fraction(value: &RBig) -> Key {
    Key { text: value.to_string(), at: crate::number::rounded(value).to_f64().value() }
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

/// Evaluates an expression at a fixed point, whose coordinates depend on the names of the variables.
fn at_point(node: &Node, point: u32, work: &Work) -> Option<Complex> {
    evaluate(
        node,
        &|name| {
            let bits = hash(&format!("{point}/{name}")) % (1 << 20);
            Some(RBig::from_parts(((1u64 << 18) + bits).into(), (1u64 << 20).into()))
        },
        work,
    )
}

/// Returns the names of the variables of an expression, in order.
fn variables(node: &Node) -> BTreeSet<String> {
    fn visit(node: &Node, names: &mut BTreeSet<String>) {
        match node {
            Node::Symbol(name) => drop(names.insert(name.clone())),
            Node::Add(parts)
            | Node::Multiply(parts)
            | Node::Set(parts)
            | Node::Tuple(parts)
            | Node::Union(parts)
            | Node::Ratio(parts) => parts.iter().for_each(|part| visit(part, names)),
            Node::Power(a, b) | Node::Choose(a, b) | Node::PlusMinus(a, b) | Node::Member(a, b) => {
                visit(a, names);
                visit(b, names);
            }
            Node::Root(a, _) | Node::Function(_, a) | Node::Factorial(a) | Node::Percent(a) => visit(a, names),
            Node::Matrix(rows) => rows.iter().flatten().for_each(|part| visit(part, names)),
            Node::Relation(parts, _) => parts.iter().for_each(|part| visit(part, names)),
            Node::Interval(interval) => interval.ends.iter().for_each(|part| visit(part, names)),
            Node::Number(_) | Node::Constant(_) | Node::Base(..) | Node::Text(_) => {}
        }
    }
    let mut names = BTreeSet::new();
    visit(node, &mut names);
    names
}

/// Returns a text for the way an expression is written: the same for the same tree.
pub(crate) fn source(node: &Node) -> String {
    let all = |parts: &[Node], sign: &str| parts.iter().map(source).collect::<Vec<_>>().join(sign);
    match node {
        Node::Number(value) => value.to_string(),
        Node::Symbol(name) => name.clone(),
        Node::Add(terms) => format!("({})", all(terms, "+")),
        Node::Multiply(factors) => format!("({})", all(factors, "*")),
        Node::Power(a, b) => format!("{}^{}", source(a), source(b)),
        Node::Set(items) | Node::Tuple(items) => all(items, ","),
        Node::Factorial(a) => format!("{}!", source(a)),
        other => format!("{other:?}").chars().filter(|c| !c.is_whitespace()).collect(),
    }
}

/// Returns FNV-1a's hash of a text, in 64 bits.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
