//! The key of a value: the same text for the same value, however it is written.
//!
//! | value | its key | decided |
//! | --- | --- | --- |
//! | number | a fraction, as `-3/4` | exactly |
//! | other number | its first 30 digits, as `~1.41421356…` | two with the same are equal but for a chance below 10⁻²⁵ |
//! | expression with variables | its variables, and a hash of its values at two points | likewise |
//! | equation, inequality | its variables, and a hash of such values over the first of them: up to a factor | likewise |
//! | inequality of one variable | the interval of its solutions, with the variable before it | as its ends |
//! | tuple, set, interval, union, matrix | its parts; the elements of a set in order | as its parts |
//! | text | itself in lower case | exactly |

use dashu_ratio::RBig;

use crate::{
    exact::exact,
    fingerprint::{Key, number, up_to_a_factor},
    node::{Constant, Interval, Node, Operation, Order},
    solve::solution,
    work::Work,
};

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
        Node::Union(parts) if parts.iter().all(|part| matches!(part, Node::Set(_))) => set(parts, work),
        Node::Interval(_) | Node::Union(_) | Node::Constant(Constant::Reals) => Some(union(spans(node, work)?)),
        Node::Constant(Constant::Empty) => Some(Key::new("{}")),
        Node::Without(all, some) => match spans(node, work) {
            Some(spans) => Some(union(spans)),
            None => Some(Key::new(format!("{}\\{}", key_of(all, work)?.text, key_of(some, work)?.text))),
        },
        Node::Modulo(value, modulus) => congruence(value, modulus, work),
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
#[derive(Clone)]
struct Span {
    ends: [Key; 2],
    closed: [bool; 2],
}

/// Returns the intervals of a set of numbers; `None` for another set.
fn spans(node: &Node, work: &Work) -> Option<Vec<Span>> {
    let ends = |ends: [&Node; 2]| Some([key_of(ends[0], work)?, key_of(ends[1], work)?]);
    match node {
        Node::Interval(Interval { ends: [low, high], closed }) => {
            Some(vec![Span { ends: ends([low, high])?, closed: *closed }])
        }
        // Within a union.
        Node::Tuple(pair) if pair.len() == 2 => {
            Some(vec![Span { ends: ends([&pair[0], &pair[1]])?, closed: [false; 2] }])
        }
        Node::Constant(Constant::Reals) => {
            let infinity = Node::Constant(Constant::Infinity);
            Some(vec![Span { ends: ends([&infinity.clone().negative(), &infinity])?, closed: [false; 2] }])
        }
        Node::Union(parts) => {
            let spans = parts.iter().map(|part| spans(part, work)).collect::<Option<Vec<_>>>()?;
            Some(spans.into_iter().flatten().collect())
        }
        Node::Without(all, some) => {
            let Node::Set(points) = &**some else { return None };
            let mut left = spans(all, work)?;
            for point in points.iter().flat_map(elements) {
                let point = key_of(&point, work)?;
                if point.at.is_nan() {
                    return None;
                }
                left = left.into_iter().flat_map(|span| span.without(&point)).collect();
            }
            Some(left)
        }
        _ => None,
    }
}

impl Span {
    fn without(mut self, point: &Key) -> Vec<Self> {
        for (end, closed) in self.ends.iter().zip(&mut self.closed) {
            *closed &= end.text != point.text;
        }
        let [low, high] = &self.ends;
        if low.text == point.text || high.text == point.text || low.at >= point.at || high.at <= point.at {
            return vec![self];
        }
        let below = Self { ends: [low.clone(), point.clone()], closed: [self.closed[0], false] };
        let above = Self { ends: [point.clone(), high.clone()], closed: [false, self.closed[1]] };
        vec![below, above]
    }
}

/// Returns the key of a union of intervals, in order, and with those joined that touch.
fn union(mut spans: Vec<Span>) -> Key {
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
    Key::new(merged.into_iter().map(text).collect::<Vec<_>>().join("u"))
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

/// Returns the key of a value modulo a number, or of a congruence: the rest of what a variable is congruent to.
fn congruence(value: &Node, modulus: &Node, work: &Work) -> Option<Key> {
    let value = match value {
        Node::Relation(values, orders) if orders.iter().all(|order| *order == Order::Equal) => match &values[..] {
            [Node::Symbol(_), rest] => rest.clone(),
            [left, right] => left.clone().minus(right.clone()),
            _ => return None,
        },
        Node::Relation(..) => return None,
        value => value.clone(),
    };
    // Several rests: `1, 3 (mod 4)`.
    let rests = match value {
        Node::Set(items) => items,
        value => elements(&value),
    };
    let rest = |value: Node| match (exact(&value, work), exact(modulus, work)) {
        (Some(_), Some(_)) => key_of(&Node::Operation(Operation::Mod, vec![value, modulus.clone()]), work),
        _ => key_of(&value, work),
    };
    let mut keys = rests.into_iter().map(rest).collect::<Option<Vec<_>>>()?;
    keys.sort_by(|a, b| a.at.total_cmp(&b.at).then_with(|| a.text.cmp(&b.text)));
    let rests: Vec<String> = keys.into_iter().map(|key| key.text).collect();
    Some(Key::new(format!("{}(mod {})", rests.join(","), key_of(modulus, work)?.text)))
}

fn relation(values: &[Node], orders: &[Order], work: &Work) -> Option<Key> {
    // A rounded value at the end is not the answer.
    if let Some(about) = orders.iter().position(|order| *order == Order::About) {
        let kept = &values[..=about];
        return if about == 0 { key_of(&kept[0], work) } else { relation(kept, &orders[..about], work) };
    }
    if orders.iter().all(|order| *order == Order::Equal) {
        let (first, last) = (&values[0], values.last()?);
        let has_variables = !last.variables().is_empty();
        let function = matches!(first, Node::Symbol(name) if name.contains('('));
        if is_name(first) && (!has_variables || function || !matches!(first, Node::Symbol(_))) {
            return key_of(last, work);
        }
        if values.len() == 2 {
            // `f(x) = x` is no equation of a line.
            if is_structure(last) {
                return key_of(last, work);
            }
            return up_to_a_factor("eq", &first.clone().minus(last.clone()), false, work);
        }
        let keys = values.iter().map(|value| Some(key_of(value, work)?.text)).collect::<Option<Vec<_>>>()?;
        return Some(Key::new(keys.join("=")));
    }
    if let Some((name, set)) = solution(values, orders, work) {
        return Some(Key::new(format!("{name}:{}", key_of(&set, work)?.text)));
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
