//! The tree of an answer, as it is written.

use std::collections::BTreeSet;

use dashu_ratio::RBig;

/// A node.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Number(RBig),
    Constant(Constant),
    /// A variable, with its index, or an unknown function with its arguments: `x_1`, `f(2)`.
    Symbol(String),
    Add(Vec<Node>),
    Multiply(Vec<Node>),
    Power(Box<Node>, Box<Node>),
    /// The root of some degree, which is real for a real number where it can be.
    Root(Box<Node>, u32),
    Function(Function, Box<Node>),
    Factorial(Box<Node>),
    /// Binomial coefficient.
    Choose(Box<Node>, Box<Node>),
    Operation(Operation, Vec<Node>),
    Bound(Box<Bound>),
    /// Sum and difference.
    PlusMinus(Box<Node>, Box<Node>),
    Percent(Box<Node>),
    /// Digits in a base.
    Base(String, u32),
    /// Values of which each is an answer: `1, 2`, `1 or 2`, `{1, 2}`.
    Set(Vec<Node>),
    /// `(a, b)`.
    Tuple(Vec<Node>),
    Interval(Interval),
    Union(Vec<Node>),
    /// A set without the elements of another one.
    Without(Box<Node>, Box<Node>),
    Matrix(Vec<Vec<Node>>),
    /// Values with the relations between neighbours.
    Relation(Vec<Node>, Vec<Order>),
    /// `x ∈ S`.
    Member(Box<Node>, Box<Node>),
    /// A value, or a congruence, modulo a number: `3 (mod 7)`, `x ≡ 3 (mod 7)`.
    Modulo(Box<Node>, Box<Node>),
    /// `a : b`.
    Ratio(Vec<Node>),
    Text(String),
}

/// An interval whose ends belong to it or not.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Interval {
    pub(crate) ends: [Box<Node>; 2],
    pub(crate) closed: [bool; 2],
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Constant {
    Pi,
    E,
    I,
    Infinity,
    Reals,
    Empty,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Function {
    Exp,
    Ln,
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
    Abs,
    Floor,
    Ceil,
}

/// A function of several numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Operation {
    Gcd,
    Lcm,
    Max,
    Min,
    /// The remainder.
    Mod,
}

/// An expression with a variable of its own: `\sum_{k=1}^n k`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Bound {
    pub(crate) binder: Binder,
    pub(crate) variable: String,
    /// Both ends of the variable's range, or the point that it goes to; empty without any.
    pub(crate) range: Vec<Node>,
    pub(crate) body: Node,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Binder {
    Sum,
    Product,
    Integral,
    Limit,
}

/// A relation between two values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Equal,
    Unequal,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    /// A rounded value follows, which is not the answer.
    About,
}

impl Node {
    pub(crate) fn number(value: impl Into<RBig>) -> Self {
        Node::Number(value.into())
    }

    pub(crate) fn negative(self) -> Self {
        match self {
            Node::Number(value) => Node::Number(-value),
            other => Node::Multiply(vec![Node::number(-1), other]),
        }
    }

    pub(crate) fn inverse(self) -> Self {
        Node::Power(Box::new(self), Box::new(Node::number(-1)))
    }

    pub(crate) fn over(self, denominator: Node) -> Self {
        Node::Multiply(vec![self, denominator.inverse()])
    }

    pub(crate) fn minus(self, other: Node) -> Self {
        Node::Add(vec![self, other.negative()])
    }

    pub(crate) fn raised(self, power: Node) -> Self {
        Node::Power(Box::new(self), Box::new(power))
    }

    pub(crate) fn of(function: Function, argument: Node) -> Self {
        Node::Function(function, Box::new(argument))
    }

    /// Returns the node with each of its parts replaced.
    pub(crate) fn map(&self, part: &dyn Fn(&Node) -> Node) -> Node {
        let boxed = |node: &Node| Box::new(part(node));
        let all = |nodes: &[Node]| nodes.iter().map(part).collect();
        match self {
            Node::Add(parts) => Node::Add(all(parts)),
            Node::Multiply(parts) => Node::Multiply(all(parts)),
            Node::Power(a, b) => Node::Power(boxed(a), boxed(b)),
            Node::Root(a, degree) => Node::Root(boxed(a), *degree),
            Node::Function(function, a) => Node::Function(*function, boxed(a)),
            Node::Factorial(a) => Node::Factorial(boxed(a)),
            Node::Choose(a, b) => Node::Choose(boxed(a), boxed(b)),
            Node::Operation(operation, parts) => Node::Operation(*operation, all(parts)),
            Node::Bound(bound) => {
                let Bound { binder, variable, range, body } = &**bound;
                let (range, body) = (all(range), part(body));
                Node::Bound(Box::new(Bound { binder: *binder, variable: variable.clone(), range, body }))
            }
            Node::PlusMinus(a, b) => Node::PlusMinus(boxed(a), boxed(b)),
            Node::Percent(a) => Node::Percent(boxed(a)),
            Node::Set(parts) => Node::Set(all(parts)),
            Node::Tuple(parts) => Node::Tuple(all(parts)),
            Node::Union(parts) => Node::Union(all(parts)),
            Node::Ratio(parts) => Node::Ratio(all(parts)),
            Node::Without(a, b) => Node::Without(boxed(a), boxed(b)),
            Node::Member(a, b) => Node::Member(boxed(a), boxed(b)),
            Node::Modulo(a, b) => Node::Modulo(boxed(a), boxed(b)),
            Node::Matrix(rows) => Node::Matrix(rows.iter().map(|row| all(row)).collect()),
            Node::Relation(parts, orders) => Node::Relation(all(parts), orders.clone()),
            Node::Interval(Interval { ends: [low, high], closed }) => {
                Node::Interval(Interval { ends: [boxed(low), boxed(high)], closed: *closed })
            }
            Node::Number(_) | Node::Constant(_) | Node::Symbol(_) | Node::Base(..) | Node::Text(_) => self.clone(),
        }
    }

    /// Calls a function with each of the node's parts.
    pub(crate) fn visit(&self, part: &mut dyn FnMut(&Node)) {
        match self {
            Node::Add(parts)
            | Node::Multiply(parts)
            | Node::Operation(_, parts)
            | Node::Set(parts)
            | Node::Tuple(parts)
            | Node::Union(parts)
            | Node::Ratio(parts)
            | Node::Relation(parts, _) => parts.iter().for_each(part),
            Node::Power(a, b)
            | Node::Choose(a, b)
            | Node::PlusMinus(a, b)
            | Node::Without(a, b)
            | Node::Member(a, b)
            | Node::Modulo(a, b) => {
                part(a);
                part(b);
            }
            Node::Root(a, _) | Node::Function(_, a) | Node::Factorial(a) | Node::Percent(a) => part(a),
            Node::Bound(bound) => bound.range.iter().chain([&bound.body]).for_each(part),
            Node::Matrix(rows) => rows.iter().flatten().for_each(part),
            Node::Interval(interval) => interval.ends.iter().for_each(|end| part(end)),
            Node::Number(_) | Node::Constant(_) | Node::Symbol(_) | Node::Base(..) | Node::Text(_) => {}
        }
    }

    /// Returns the expression with a value in the place of a variable.
    pub(crate) fn with(&self, variable: &str, value: &Node) -> Node {
        match self {
            Node::Symbol(name) if name == variable => value.clone(),
            // Another variable of the same name.
            Node::Bound(bound) if bound.variable == variable => self.clone(),
            other => other.map(&|part| part.with(variable, value)),
        }
    }

    /// Returns the names of the variables, in order.
    pub(crate) fn variables(&self) -> BTreeSet<String> {
        fn collect(node: &Node, names: &mut BTreeSet<String>) {
            match node {
                Node::Symbol(name) => drop(names.insert(name.clone())),
                Node::Bound(bound) => {
                    bound.range.iter().for_each(|part| collect(part, names));
                    names.extend(bound.body.variables().into_iter().filter(|name| *name != bound.variable));
                }
                other => other.visit(&mut |part| collect(part, names)),
            }
        }
        let mut names = BTreeSet::new();
        collect(self, &mut names);
        names
    }

    /// Returns true if the expression has a part for which `test` is true.
    pub(crate) fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        let mut found = test(self);
        self.visit(&mut |part| found = found || part.any(test));
        found
    }

    /// Returns a text for the way the expression is written: the same for the same tree.
    pub(crate) fn source(&self) -> String {
        let all = |parts: &[Node], sign: &str| parts.iter().map(Node::source).collect::<Vec<_>>().join(sign);
        match self {
            Node::Number(value) => value.to_string(),
            Node::Symbol(name) => name.clone(),
            Node::Add(terms) => format!("({})", all(terms, "+")),
            Node::Multiply(factors) => format!("({})", all(factors, "*")),
            Node::Power(a, b) => format!("{}^{}", a.source(), b.source()),
            Node::Set(items) | Node::Tuple(items) => all(items, ","),
            Node::Factorial(a) => format!("{}!", a.source()),
            Node::Constant(constant) => format!("{constant:?}"),
            Node::Root(a, degree) => format!("root{degree}({})", a.source()),
            Node::Function(function, a) => format!("{function:?}({})", a.source()),
            Node::Choose(n, k) => format!("choose({},{})", n.source(), k.source()),
            Node::Operation(operation, parts) => format!("{operation:?}({})", all(parts, ",")),
            Node::Bound(bound) => {
                let Bound { binder, variable, range, body } = &**bound;
                format!("{binder:?}({variable},{};{})", all(range, ","), body.source())
            }
            Node::PlusMinus(a, b) => format!("({}±{})", a.source(), b.source()),
            Node::Percent(a) => format!("{}%", a.source()),
            Node::Base(digits, base) => format!("{digits}_{base}"),
            Node::Interval(Interval { ends: [low, high], closed }) => {
                format!("interval({},{},{closed:?})", low.source(), high.source())
            }
            Node::Union(parts) => all(parts, "∪"),
            Node::Without(a, b) => format!("({}\\{})", a.source(), b.source()),
            Node::Matrix(rows) => rows.iter().map(|row| all(row, "&")).collect::<Vec<_>>().join(";"),
            Node::Relation(parts, orders) => format!("({} {orders:?})", all(parts, "~")),
            Node::Member(a, b) => format!("({}∈{})", a.source(), b.source()),
            Node::Modulo(a, b) => format!("({} mod {})", a.source(), b.source()),
            Node::Ratio(parts) => all(parts, ":"),
            Node::Text(text) => text.clone(),
        }
    }
}

impl Order {
    /// Returns the relation of the exchanged values.
    pub(crate) fn flipped(self) -> Self {
        match self {
            Order::Less => Order::Greater,
            Order::LessEqual => Order::GreaterEqual,
            Order::Greater => Order::Less,
            Order::GreaterEqual => Order::LessEqual,
            same => same,
        }
    }

    /// Returns true for `>` and `≥`.
    pub(crate) fn falls(self) -> bool {
        matches!(self, Order::Greater | Order::GreaterEqual)
    }
}
