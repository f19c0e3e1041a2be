//! Products, signs, powers and the arguments of commands.

use dashu_ratio::RBig;

use crate::{node::Node, parse::Parser, token::Token, vocabulary::is_unit};

/// Words of two letters that are no product of variables.
const WORDS: [&str; 18] =
    ["of", "is", "it", "to", "at", "by", "as", "so", "on", "an", "we", "he", "if", "no", "be", "my", "us", "do"];

impl Parser<'_> {
    pub(crate) fn signed(&mut self) -> Option<Node> {
        if self.take('-') {
            return Some(self.deeper(|parser| parser.signed())?.negative());
        }
        if self.take('+') {
            return self.deeper(|parser| parser.signed());
        }
        self.product()
    }

    pub(crate) fn product(&mut self) -> Option<Node> {
        let mut value = self.power()?;
        // True behind a number, which no other number multiplies without an operator: `1 50` is none of their numbers.
        let mut number = matches!(value, Node::Number(_));
        loop {
            if self.take('*') {
                let other = self.factor()?;
                number = matches!(other, Node::Number(_));
                value = multiply(value, other);
            } else if self.sees('/') {
                self.at += 1;
                let other = self.factor()?;
                number = matches!(other, Node::Number(_));
                value = value.over(other);
            } else if self.begins_factor() {
                let whole = matches!(&value, Node::Number(value) if value.is_int());
                let fraction = self.sees_command(&["frac"]);
                let other = match self.plain_fraction(whole) {
                    Some(fraction) => {
                        value = Node::Add(vec![value, fraction]);
                        continue;
                    }
                    None if number && matches!(self.peek(), Some(Token::Number(..))) => return None,
                    None => self.power()?,
                };
                number = matches!(other, Node::Number(_));
                // `2\frac{1}{2}` is two and a half.
                value = match (&value, &other) {
                    (Node::Number(a), Node::Multiply(parts)) if whole && fraction && is_fraction(parts) => {
                        Node::Add(vec![Node::Number(a.clone()), other])
                    }
                    _ => multiply(value, other),
                };
            } else {
                return Some(value);
            }
        }
    }

    /// Parses the rest of a mixed number in plain text, `1/4` of `1 1/4`: a fraction of at most 1.
    fn plain_fraction(&mut self, whole: bool) -> Option<Node> {
        let [Token::Number(a, Some(_)), Token::Sign('/'), Token::Number(b, Some(_))] =
            self.tokens.get(self.at..self.at + 3)?
        else {
            return None;
        };
        if !whole || *b == RBig::ZERO || a > b {
            return None;
        }
        self.at += 3;
        Some(Node::Number(a / b))
    }

    /// Parses a factor behind an operator, with its sign.
    fn factor(&mut self) -> Option<Node> {
        if self.take('-') {
            return Some(self.deeper(|parser| parser.factor())?.negative());
        }
        self.power()
    }

    /// Returns true if the next token multiplies without an operator.
    fn begins_factor(&self) -> bool {
        match self.peek() {
            Some(Token::Letter(letter)) => {
                // A unit behind a space is left to `with_unit`, but for those that are variables as often.
                !letter.is_empty()
            }
            Some(Token::Number(..)) => true,
            Some(Token::Run(run)) => !self.is_word(run),
            // `(mod 7)` is no factor.
            Some(Token::Sign('(')) => !matches!(self.after(1), Some(Token::Command(name)) if name == "mod"),
            // Within bars, another one closes them.
            Some(Token::Sign('|')) => self.bars == 0,
            Some(Token::Sign(sign)) => matches!(sign, '{' | '[' | 'B'),
            Some(Token::Command(name)) => ![
                "in", "cup", "cap", "and", "or", "pm", "end", "to", "equiv", "forall", "circ", "mod", "pmod",
                "setminus", "rfloor", "choose", "over", "rceil",
            ]
            .contains(&name.as_str()),
            _ => false,
        }
    }

    /// Returns true if letters side by side are no product of variables.
    pub(crate) fn is_word(&self, run: &str) -> bool {
        is_unit(run) || WORDS.contains(&run) || run.chars().count() > 2
    }

    pub(crate) fn power(&mut self) -> Option<Node> {
        let mut base = self.deeper(|parser| parser.primary())?;
        loop {
            if self.take('!') {
                base = Node::Factorial(Box::new(base));
            } else if self.take('\'') {
                base = Node::Symbol(format!("{}'", base.source()));
            } else if self.take('D') {
            } else if self.sees('^') {
                self.at += 1;
                if self.take('D') || self.take_command(&["circ"]) {
                    continue;
                }
                if self.sees('{') && matches!(self.after(1), Some(Token::Command(name)) if name == "circ") {
                    self.at += 2;
                    if !self.take('}') {
                        return None;
                    }
                    continue;
                }
                if self.sees('{') && matches!(self.after(1), Some(Token::Sign('D'))) {
                    self.at += 2;
                    if !self.take('}') {
                        return None;
                    }
                    continue;
                }
                let exponent = self.argument()?;
                base = base.raised(exponent);
            } else {
                return Some(base);
            }
        }
    }

    /// Parses the argument of a command, an exponent or an index: a group, or one sign.
    pub(crate) fn argument(&mut self) -> Option<Node> {
        if self.take('-') {
            return Some(self.deeper(|parser| parser.argument())?.negative());
        }
        if self.sees('{') {
            return self.deeper(|parser| parser.primary());
        }
        if let Some(Token::Run(_) | Token::Text(_)) = self.peek() {
            return None;
        }
        let base = self.deeper(|parser| parser.primary())?;
        // Right associative: a tower.
        if self.take('^') { Some(base.raised(self.deeper(|parser| parser.argument())?)) } else { Some(base) }
    }

    /// Parses the argument of `\frac` or `\sqrt`, of which LaTeX takes one digit.
    pub(crate) fn digit_or_group(&mut self) -> Option<(Node, Option<String>)> {
        if let Some(Token::Number(_, Some(digits))) = self.peek() {
            self.at += 1;
            let (first, rest) = digits.split_at(1);
            return Some((Node::number(first.parse::<u8>().ok()?), (!rest.is_empty()).then(|| rest.to_owned())));
        }
        Some((self.argument()?, None))
    }
}

pub(crate) fn multiply(value: Node, other: Node) -> Node {
    match value {
        Node::Multiply(mut factors) => {
            factors.push(other);
            Node::Multiply(factors)
        }
        value => Node::Multiply(vec![value, other]),
    }
}

/// Returns true for the factors of a fraction of two whole numbers.
fn is_fraction(factors: &[Node]) -> bool {
    match factors {
        [Node::Number(numerator), Node::Power(denominator, _)] => {
            numerator.is_int() && matches!(&**denominator, Node::Number(value) if value.is_int())
        }
        _ => false,
    }
}
