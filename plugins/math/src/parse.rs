//! From tokens to the tree of an answer. All of the tokens are used, or there is no tree: a part is never taken for the
//! whole.

use crate::{
    node::{Node, Order},
    token::{Token, tokens},
    vocabulary::is_unit,
};

/// Deepest nesting.
const DEEPEST: usize = 60;

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Option<Node> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, bars: 0 };
    let node = parser.list(&[])?;
    (parser.at == tokens.len()).then_some(node)
}

/// A parser with its place. `factor`, `primary` and `command` have the rest of it.
pub(crate) struct Parser<'a> {
    pub(crate) tokens: &'a [Token],
    pub(crate) at: usize,
    depth: usize,
    /// Bars `|` that are open within the innermost brackets.
    pub(crate) bars: usize,
}

impl<'a> Parser<'a> {
    pub(crate) fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub(crate) fn after(&self, ahead: usize) -> Option<&'a Token> {
        self.tokens.get(self.at + ahead)
    }

    /// Passes over tokens.
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(crate) fn sees(&self, sign: char) -> bool {
        matches!(self.peek(), Some(Token::Sign(seen)) if *seen == sign)
    }

    pub(crate) fn sees_command(&self, names: &[&str]) -> bool {
        matches!(self.peek(), Some(Token::Command(name)) if names.contains(&name.as_str()))
    }

    pub(crate) fn take(&mut self, sign: char) -> bool {
        let sees = self.sees(sign);
        self.at += usize::from(sees);
        sees
    }

    pub(crate) fn take_command(&mut self, names: &[&str]) -> bool {
        let sees = self.sees_command(names);
        self.at += usize::from(sees);
        sees
    }

    /// Returns the result of `part`, one level deeper.
    pub(crate) fn deeper<T>(&mut self, part: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        self.depth += 1;
        let result = (self.depth < DEEPEST).then(|| part(self)).flatten();
        self.depth -= 1;
        result
    }

    pub(crate) fn is_end(&self, ends: &[char]) -> bool {
        match self.peek() {
            None => true,
            Some(Token::Sign(sign)) => ends.contains(sign),
            Some(_) => false,
        }
    }

    /// Takes the words between the items of a list.
    fn separator(&mut self) -> bool {
        let mut any = false;
        loop {
            let word = match self.peek() {
                Some(Token::Text(text)) => {
                    let word = text.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase();
                    matches!(word.as_str(), "and" | "or" | "") && !(word.is_empty() && text.contains('('))
                }
                _ => false,
            };
            if !(word || self.sees_command(&["and", "or"]) || self.sees(',')) {
                return any;
            }
            self.at += 1;
            any = true;
        }
    }

    /// Parses items up to one of `ends`, or to the end: one item as it is, and several as a set. Groups between semicolons are
    /// tuples if all of their items are named.
    pub(crate) fn list(&mut self, ends: &[char]) -> Option<Node> {
        let mut groups = vec![self.items(ends)?];
        while self.take(';') {
            if self.is_end(ends) {
                break;
            }
            groups.push(self.items(ends)?);
        }
        let named = |item: &Node| matches!(item, Node::Relation(_, orders) if orders[0] == Order::Equal);
        let several = groups.len() > 1;
        let tuple = |group: Vec<Node>| {
            if several && group.len() > 1 && group.iter().all(named) { vec![Node::Tuple(group)] } else { group }
        };
        let mut items: Vec<Node> = groups.into_iter().flat_map(tuple).collect();
        if items.len() == 1 {
            return items.pop();
        }
        // `1, 3 (mod 4)`: the modulus belongs to all of them.
        let shared = items.iter().filter(|item| matches!(item, Node::Modulo(..))).count() == 1;
        Some(match items.pop()? {
            Node::Modulo(last, modulus) if shared => {
                items.push(*last);
                Node::Modulo(Box::new(Node::Set(items)), modulus)
            }
            last => {
                items.push(last);
                Node::Set(items)
            }
        })
    }

    fn items(&mut self, ends: &[char]) -> Option<Vec<Node>> {
        self.separator();
        let mut items = vec![self.item(ends)?];
        while self.separator() && !self.is_end(ends) && !self.sees(';') {
            items.push(self.item(ends)?);
        }
        Some(items)
    }

    /// Parses an item: an expression, a chain of relations, or text.
    pub(crate) fn item(&mut self, ends: &[char]) -> Option<Node> {
        let (start, bars) = (self.at, self.bars);
        if let Some(node) = self.deeper(|parser| parser.relation())
            && self.item_ends(ends)
        {
            return Some(node);
        }
        (self.at, self.bars) = (start, bars);
        self.words(ends)
    }

    fn item_ends(&mut self, ends: &[char]) -> bool {
        if self.is_end(ends) || self.sees(';') {
            return true;
        }
        let at = self.at;
        let separated = self.separator();
        self.at = at;
        separated
    }

    /// Parses text: words, letters and `\text` up to the end of the item.
    fn words(&mut self, ends: &[char]) -> Option<Node> {
        let mut words: Vec<String> = Vec::new();
        while !self.is_end(ends) && !self.sees(';') && !self.sees(',') {
            match self.peek()? {
                Token::Text(text) => words.push(text.clone()),
                Token::Letter(text) | Token::Run(text) => words.push(text.clone()),
                Token::Command(name) if ["and", "or"].contains(&name.as_str()) => words.push(name.clone()),
                Token::Number(_, Some(digits)) => words.push(digits.clone()),
                Token::Sign('-' | '\'' | '!' | '?' | ':') => {}
                _ => return None,
            }
            self.at += 1;
        }
        // Numbers alone are no text.
        let is_word = |word: &String| !word.bytes().all(|byte| byte.is_ascii_digit());
        words.iter().any(is_word).then(|| Node::Text(words.join(" ")))
    }

    fn order(&mut self) -> Option<Order> {
        let order = match self.peek()? {
            Token::Sign('=') => Order::Equal,
            Token::Sign('≠') => Order::Unequal,
            Token::Sign('<') => Order::Less,
            Token::Sign('≤') => Order::LessEqual,
            Token::Sign('>') => Order::Greater,
            Token::Sign('≥') => Order::GreaterEqual,
            Token::Sign('≈') => Order::About,
            Token::Command(name) if name == "equiv" => Order::Equal,
            _ => return None,
        };
        self.at += 1;
        Some(order)
    }

    pub(crate) fn relation(&mut self) -> Option<Node> {
        let mut values = vec![self.ratio()?];
        let mut orders = Vec::new();
        if self.take_command(&["in"]) {
            let set = self.ratio()?;
            return Some(Node::Member(Box::new(values.pop()?), Box::new(set)));
        }
        while let Some(order) = self.order() {
            orders.push(order);
            values.push(self.ratio()?);
        }
        let node = if orders.is_empty() { values.pop()? } else { Node::Relation(values, orders) };
        Some(match self.modulus() {
            Some(modulus) => Node::Modulo(Box::new(node), Box::new(modulus)),
            None => node,
        })
    }

    /// Parses `\pmod 7`, `(mod 7)` or `mod 7` behind a value.
    fn modulus(&mut self) -> Option<Node> {
        if self.take_command(&["pmod"]) {
            return self.argument();
        }
        let start = self.at;
        let bracket = self.take('(');
        if self.take_command(&["mod"])
            && let Some(modulus) = self.sum()
            && (!bracket || self.take(')'))
        {
            return Some(modulus);
        }
        self.at = start;
        None
    }

    fn ratio(&mut self) -> Option<Node> {
        let mut parts = vec![self.union()?];
        while self.sees(':') && !matches!(self.after(1), None | Some(Token::Sign('='))) {
            self.at += 1;
            // A time of day.
            if let (Node::Number(_), Some(Token::Number(_, Some(digits)))) = (&parts[0], self.peek())
                && digits.len() == 2
                && digits.starts_with('0')
            {
                let hours = parts.pop()?;
                self.at += 1;
                let Node::Number(hours) = hours else { return None };
                return Some(Node::Text(format!("{hours}:{digits}")));
            }
            parts.push(self.union()?);
        }
        if parts.len() == 1 { parts.pop() } else { Some(Node::Ratio(parts)) }
    }

    pub(crate) fn union(&mut self) -> Option<Node> {
        let mut parts = vec![self.sum()?];
        while self.take_command(&["cup"]) {
            parts.push(self.sum()?);
        }
        let set = if parts.len() == 1 { parts.pop()? } else { Node::Union(parts) };
        if self.take_command(&["setminus"]) {
            return Some(Node::Without(Box::new(set), Box::new(self.sum()?)));
        }
        Some(set)
    }

    pub(crate) fn sum(&mut self) -> Option<Node> {
        let mut value = if self.take_command(&["pm"]) {
            Node::PlusMinus(Box::new(Node::number(0)), Box::new(self.product()?))
        } else {
            self.signed()?
        };
        loop {
            if self.sees('+') || self.sees('-') {
                let negative = self.take('-') || !self.take('+');
                let other = self.signed()?;
                let other = if negative { other.negative() } else { other };
                value = match value {
                    Node::Add(mut terms) => {
                        terms.push(other);
                        Node::Add(terms)
                    }
                    value => Node::Add(vec![value, other]),
                };
            } else if self.take_command(&["pm"]) {
                value = Node::PlusMinus(Box::new(value), Box::new(self.product()?));
            } else if self.take_command(&["choose"]) {
                value = Node::Choose(Box::new(value), Box::new(self.deeper(|parser| parser.sum())?));
            } else if self.take_command(&["over"]) {
                value = value.over(self.deeper(|parser| parser.sum())?);
            } else {
                return self.with_unit(value);
            }
        }
    }

    /// Leaves out the unit or the remark behind a value.
    fn with_unit(&mut self, value: Node) -> Option<Node> {
        if self.take('%') {
            return self.with_unit(Node::Percent(Box::new(value)));
        }
        let start = self.at;
        while let Some(token) = self.peek() {
            match token {
                Token::Text(text) if !["and", "or"].contains(&text.trim_matches(|c: char| !c.is_alphanumeric())) => {}
                Token::Run(_) => {}
                Token::Letter(letter) if self.at > start || is_unit(letter) => {}
                Token::Sign('/' | '.') if self.at > start => {}
                Token::Sign('^') if self.at > start && matches!(self.after(1), Some(Token::Number(..))) => self.at += 1,
                _ => break,
            }
            self.at += 1;
        }
        Some(value)
    }
}
