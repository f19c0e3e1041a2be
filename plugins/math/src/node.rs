//! The tree of an answer, as it is written.

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
    Matrix(Vec<Vec<Node>>),
    /// Values with the relations between neighbours.
    Relation(Vec<Node>, Vec<Order>),
    /// `x ∈ S`.
    Member(Box<Node>, Box<Node>),
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
