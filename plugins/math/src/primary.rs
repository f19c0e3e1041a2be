//! The smallest parts of an answer: numbers, symbols, sets, brackets and text.

use crate::{
    node::{Constant, Function, Interval, Node},
    parse::{Parser, parse},
    token::Token,
};

/// Functions that are known by their letters alone.
const FUNCTIONS: [&str; 8] = ["f", "g", "h", "F", "G", "H", "P", "Q"];

impl Parser<'_> {
    pub(crate) fn primary(&mut self) -> Option<Node> {
        let token = self.peek()?;
        self.at += 1;
        match token {
            Token::Number(value, digits) => {
                if self.sees('_')
                    && let Some(digits) = digits
                {
                    self.at += 1;
                    return match self.argument()? {
                        Node::Number(base) => {
                            let base = u32::try_from(base.numerator().clone()).ok()?;
                            (2..=36).contains(&base).then(|| Node::Base(digits.clone(), base))
                        }
                        _ => None,
                    };
                }
                Some(Node::Number(value.clone()))
            }
            Token::Letter(letter) => self.symbol(letter.clone()),
            Token::Run(run) => {
                if self.is_word(run) {
                    return None;
                }
                let letters: Vec<String> = run.chars().map(String::from).collect();
                let (last, first) = letters.split_last()?;
                let mut factors: Vec<Node> = first.iter().map(|letter| constant(letter)).collect();
                factors.push(self.symbol(last.clone())?);
                Some(Node::Multiply(factors))
            }
            Token::Text(text) => self.text(text),
            Token::Command(name) => self.command(name),
            Token::Sign('(') => self.bracket('('),
            Token::Sign('[') => self.bracket('['),
            Token::Sign('{') => {
                let node = self.within(|parser| parser.list(&['}']))?;
                self.take('}').then_some(node)
            }
            Token::Sign('S') => self.set(),
            Token::Sign('B') => {
                let node = self.within(|parser| parser.sum())?;
                self.take('b').then(|| Node::of(Function::Abs, node))
            }
            Token::Sign('|') => {
                self.bars += 1;
                let node = self.deeper(|parser| parser.sum())?;
                self.bars -= 1;
                self.take('|').then(|| Node::of(Function::Abs, node))
            }
            _ => None,
        }
    }

    /// Returns the result of `part`, one level deeper and within brackets.
    pub(crate) fn within<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let bars = std::mem::take(&mut self.bars);
        let result = self.deeper(part);
        self.bars = bars;
        result
    }

    /// Parses the rest of a set in braces: its elements, or a condition on them as in `{x | x > 3}`.
    fn set(&mut self) -> Option<Node> {
        if self.take('s') {
            return Some(Node::Constant(Constant::Empty));
        }
        let start = self.at;
        if let Some(condition) = self.within(|parser| parser.condition()) {
            return Some(condition);
        }
        self.at = start;
        let node = self.within(|parser| parser.list(&['s']))?;
        let items = match node {
            Node::Set(items) => items,
            one => vec![one],
        };
        self.take('s').then_some(Node::Set(items))
    }

    fn condition(&mut self) -> Option<Node> {
        let Token::Letter(letter) = self.peek()? else { return None };
        self.at += 1;
        self.symbol(letter.clone())?;
        if self.take_command(&["in"]) {
            self.bars += 1;
            self.union()?;
            self.bars -= 1;
        }
        if !self.take('|') && !self.take(':') {
            return None;
        }
        let node = self.list(&['s'])?;
        self.take('s').then_some(node)
    }

    /// Parses what follows a letter: an index, and the arguments of a function.
    pub(crate) fn symbol(&mut self, letter: String) -> Option<Node> {
        let mut name = letter.clone();
        let mut indexed = false;
        if self.sees('_') {
            self.at += 1;
            let index = if self.sees('{') || !matches!(self.peek(), Some(Token::Run(_))) {
                self.argument()?.source()
            } else {
                let Some(Token::Run(run)) = self.peek() else { return None };
                self.at += 1;
                run.clone()
            };
            name = format!("{name}_{index}");
            indexed = true;
        }
        if FUNCTIONS.contains(&letter.as_str()) && self.sees('(') {
            self.at += 1;
            let arguments = self.within(|parser| parser.list(&[')']))?;
            return self.take(')').then(|| Node::Symbol(format!("{name}({})", arguments.source())));
        }
        Some(if indexed { Node::Symbol(name) } else { constant(&name) })
    }

    /// Parses `\text{…}`: a value if there is one in it, and else text.
    fn text(&mut self, text: &str) -> Option<Node> {
        let inner = text.trim_matches(|c: char| c == '(' || c == ')' || c == '.' || c.is_whitespace());
        match self.deeper(|_| parse(inner))? {
            node @ (Node::Number(_) | Node::Constant(_) | Node::Symbol(_)) => Some(node),
            _ => None,
        }
    }

    /// Parses the rest of a bracket: a value, a tuple or an interval.
    fn bracket(&mut self, open: char) -> Option<Node> {
        let mut items = Vec::new();
        let ends = [')', ']'];
        if !self.is_end(&ends) {
            items = self.within(|parser| parser.bracket_items(&ends))?;
        }
        let close = if self.take(')') {
            ')'
        } else if self.take(']') {
            ']'
        } else {
            return None;
        };
        match (items.len(), open, close) {
            (0, ..) => None,
            (1, '(', ')') | (1, '[', ']') => items.pop(),
            (_, '(', ')') => Some(Node::Tuple(items)),
            (2, ..) => {
                let last = items.pop()?;
                let ends = [Box::new(items.pop()?), Box::new(last)];
                Some(Node::Interval(Interval { ends, closed: [open == '[', close == ']'] }))
            }
            (_, '[', ']') => Some(Node::Tuple(items)),
            _ => None,
        }
    }

    fn bracket_items(&mut self, ends: &[char]) -> Option<Vec<Node>> {
        let mut items = vec![self.item(ends)?];
        while self.take(',') || self.take(';') {
            items.push(self.item(ends)?);
        }
        Some(items)
    }
}

/// Returns the constant or the variable of a letter.
pub(crate) fn constant(letter: &str) -> Node {
    match letter {
        "e" => Node::Constant(Constant::E),
        "i" => Node::Constant(Constant::I),
        other => Node::Symbol(other.to_owned()),
    }
}
