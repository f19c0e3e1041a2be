//! From tokens to the tree of an answer. All of the tokens are used, or there is no tree: a part is never taken for the
//! whole.

use dashu_ratio::RBig;

use crate::{
    node::{Constant, Function, Interval, Node, Order},
    token::{Token, is_unit, tokens},
};

/// Deepest nesting.
const DEEPEST: usize = 60;

/// Words of two letters that are no product of variables.
const WORDS: [&str; 18] =
    ["of", "is", "it", "to", "at", "by", "as", "so", "on", "an", "we", "he", "if", "no", "be", "my", "us", "do"];

/// Functions that are known by their letters alone.
const FUNCTIONS: [&str; 8] = ["f", "g", "h", "F", "G", "H", "P", "Q"];

/// Parses a whole text.
pub(crate) fn parse(text: &str) -> Option<Node> {
    let tokens = tokens(text)?;
    let mut parser = Parser { tokens: &tokens, at: 0, depth: 0, bars: 0 };
    let node = parser.list(&[])?;
    (parser.at == tokens.len()).then_some(node)
}

/// A parser with its place. `command` has the rest of it.
pub(crate) struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Bars `|` that are open within the innermost brackets.
    bars: usize,
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

    fn is_end(&self, ends: &[char]) -> bool {
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
        (!words.is_empty()).then(|| Node::Text(words.join(" ")))
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

    fn union(&mut self) -> Option<Node> {
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
        loop {
            if self.take('*') {
                let other = self.factor()?;
                value = multiply(value, other);
            } else if self.sees('/') {
                self.at += 1;
                let other = self.factor()?;
                value = value.over(other);
            } else if self.begins_factor() {
                let whole = matches!(&value, Node::Number(value) if value.is_int());
                let fraction = self.sees_command(&["frac"]);
                let other = match self.plain_fraction(whole) {
                    Some(fraction) => {
                        value = Node::Add(vec![value, fraction]);
                        continue;
                    }
                    None => self.power()?,
                };
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

    /// Parses the rest of a mixed number in plain text, `1/4` of `1 1/4`.
    fn plain_fraction(&mut self, whole: bool) -> Option<Node> {
        let [Token::Number(a, Some(_)), Token::Sign('/'), Token::Number(b, Some(_))] =
            self.tokens.get(self.at..self.at + 3)?
        else {
            return None;
        };
        if !whole || *b == RBig::ZERO {
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
    fn is_word(&self, run: &str) -> bool {
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

/// Returns the constant or the variable of a letter.
pub(crate) fn constant(letter: &str) -> Node {
    match letter {
        "e" => Node::Constant(Constant::E),
        "i" => Node::Constant(Constant::I),
        other => Node::Symbol(other.to_owned()),
    }
}
