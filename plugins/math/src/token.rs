//! Tokens of LaTeX and of plain text.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

use crate::number::with_scripts;
use crate::vocabulary::{BEFORE_BRACKETS, COMMANDS, FONTS, LOOKS, TEXTS, is_command, is_unit, plain, same};

/// Most tokens of an answer. A longer text is no answer.
const MOST_TOKENS: usize = 4000;
/// Most digits of a number.
const MOST_DIGITS: usize = 1000;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// A number, and its digits as they stand if it has nothing but digits.
    Number(RBig, Option<String>),
    /// One letter, or the name of a Greek one.
    Letter(String),
    /// Several letters side by side in plain text.
    Run(String),
    /// Text within LaTeX.
    Text(String),
    /// A command of LaTeX, or the plain word for one, without the backslash.
    Command(String),
    /// Any other sign. `S` and `s` open and close the braces of a set, `B` and `b` the
    /// bars of an absolute value, `N` begins a new row, `D` is a degree.
    Sign(char),
}

/// Splits a text into tokens; `None` if it has too many, or signs that no answer has.
pub(crate) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut plain_text = String::with_capacity(text.len());
    with_scripts(text).chars().for_each(|c| plain(c, &mut plain_text));
    let text = plain_text;
    let mut lexer = Lexer { text: &text, rest: &text, tokens: Vec::new(), depth: 0 };
    while lexer.next()? {
        if lexer.tokens.len() > MOST_TOKENS {
            return None;
        }
    }
    Some(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
    tokens: Vec<Token>,
    /// Depth of brackets, within which a comma is no thousands separator.
    depth: usize,
}

impl Lexer<'_> {
    /// Reads a token. Returns false at the end.
    fn next(&mut self) -> Option<bool> {
        let Some(first) = self.rest.chars().next() else { return Some(false) };
        if first.is_ascii_digit() || (first == '.' && self.rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
            self.number()?;
            return Some(true);
        }
        if first == '\\' {
            self.command()?;
            return Some(true);
        }
        if first.is_alphabetic() {
            let before = self.text[..self.text.len() - self.rest.len()].chars().next_back();
            return self.letters(before.is_some_and(|c| c.is_ascii_digit()));
        }
        self.rest = &self.rest[first.len_utf8()..];
        match first {
            ' ' | '$' | '~' | '"' | '`' => {}
            '*' if self.rest.starts_with('*') => {
                self.rest = &self.rest[1..];
                self.tokens.push(Token::Sign('^'));
            }
            '<' | '>' | '!' if self.rest.starts_with('=') => {
                self.rest = &self.rest[1..];
                let sign = match first {
                    '<' => '≤',
                    '>' => '≥',
                    _ => '≠',
                };
                self.tokens.push(Token::Sign(sign));
            }
            '=' if self.rest.starts_with('=') => {
                self.rest = &self.rest[1..];
                self.tokens.push(Token::Sign('='));
            }
            '.' if self.rest.starts_with("..") => {
                self.rest = self.rest.trim_start_matches('.');
                self.tokens.push(Token::Sign('…'));
            }
            // The full stop of a sentence.
            '.' if self.rest.trim().is_empty() => {}
            '(' | '[' | '{' => {
                self.depth += 1;
                self.tokens.push(Token::Sign(first));
            }
            ')' | ']' | '}' => {
                self.depth = self.depth.saturating_sub(1);
                self.tokens.push(Token::Sign(first));
            }
            '+' | '-' | '*' | '/' | '^' | '_' | '!' | '|' | ',' | ';' | ':' | '=' | '<' | '>' | '≤' | '≥' | '≠'
            | '≈' | '%' | '&' | '\'' | '…' | '?' => self.tokens.push(Token::Sign(first)),
            _ => return None,
        }
        Some(true)
    }

    /// Reads a number with thousands separators, a decimal point and an exponent. Returns `None` for one that cannot be
    /// read whole: no other number is made of its parts.
    fn number(&mut self) -> Option<()> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut whole = self.rest[..digits(self.rest)].to_owned();
        let mut rest = &self.rest[whole.len()..];
        if (1..=3).contains(&whole.len()) && whole != "0" {
            // No number has a base of three digits.
            let underscores = rest.starts_with('_');
            let separated = |rest| if underscores { str::strip_prefix(rest, '_') } else { self.separated(rest) };
            while let Some(after) = separated(rest).filter(|after| digits(after) == 3) {
                whole.push_str(&after[..3]);
                rest = &after[3..];
            }
        }
        let mut alone = true;
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.').or(rest.strip_prefix("{.}")) {
            fraction = &after[..digits(after)];
            if !fraction.is_empty() || after.starts_with("\\overline") {
                alone = false;
                rest = &after[fraction.len()..];
            }
        }
        if whole.len() + fraction.len() > MOST_DIGITS {
            return None;
        }
        let units: IBig = format!("0{whole}{fraction}").parse().ok()?;
        let mut value = RBig::from_parts(units, UBig::from(10u8).pow(fraction.len()));
        if let Some(repeated) = rest.strip_prefix("\\overline{").filter(|_| !alone) {
            let period = &repeated[..digits(repeated)];
            if !period.is_empty() && period.len() < 50 && repeated[period.len()..].starts_with('}') {
                let nines: UBig = UBig::from(10u8).pow(period.len()) - UBig::ONE;
                let shift = UBig::from(10u8).pow(fraction.len());
                value += RBig::from_parts(period.parse().ok()?, nines * shift);
                rest = &repeated[period.len() + 1..];
            }
        }
        if let Some(after) = rest.strip_prefix(['e', 'E']) {
            let signed = after.strip_prefix(['-', '+']).unwrap_or(after);
            let (exponent, after_exponent) = signed.split_at(digits(signed));
            if exponent.len() > 3 || (!exponent.is_empty() && after_exponent.starts_with(char::is_alphabetic)) {
                return None;
            }
            if !exponent.is_empty() {
                let power = RBig::from(UBig::from(10u8).pow(exponent.parse().ok()?));
                value = if after.starts_with('-') { value / power } else { value * power };
                rest = after_exponent;
                alone = false;
            }
        }
        // A version, a point or an apostrophe between thousands, and a number in a base that is told before its digits.
        let second = rest.strip_prefix(['.', '\'']).is_some_and(|after| digits(after) > 0);
        let based = alone && whole == "0" && {
            let is_hex = |c: char| c.is_ascii_hexdigit();
            rest.strip_prefix(['x', 'X']).is_some_and(|after| after.starts_with(is_hex))
                || rest.strip_prefix(['b', 'B', 'o', 'O']).is_some_and(|after| digits(after) > 0)
        };
        if second || based {
            return None;
        }
        self.rest = rest;
        self.tokens.push(Token::Number(value, alone.then_some(whole)));
        Some(())
    }

    /// Returns the text after a thousands separator, if one is there.
    fn separated<'b>(&self, rest: &'b str) -> Option<&'b str> {
        if let Some(after) = rest.strip_prefix("{,}") {
            return Some(after);
        }
        if let Some(after) = rest.strip_prefix(",\\!") {
            return Some(after.trim_start_matches(' '));
        }
        let after = rest.strip_prefix([',', ' '])?;
        (self.depth == 0).then_some(after)
    }

    fn command(&mut self) -> Option<()> {
        let after = &self.rest[1..];
        let name: String = after.chars().take_while(char::is_ascii_alphabetic).collect();
        if name.is_empty() {
            let Some(sign) = after.chars().next() else {
                self.rest = after;
                return Some(());
            };
            self.rest = &after[sign.len_utf8()..];
            match sign {
                '{' => {
                    self.depth += 1;
                    self.tokens.push(Token::Sign('S'));
                }
                '}' => {
                    self.depth = self.depth.saturating_sub(1);
                    self.tokens.push(Token::Sign('s'));
                }
                '%' | '|' => self.tokens.push(Token::Sign(sign)),
                // Some texts have every backslash twice: `\\frac`.
                '\\' if is_command(self.rest) => self.rest = after,
                '\\' => self.tokens.push(Token::Sign('N')),
                ',' | '!' | ';' | ':' | ' ' | '$' | '(' | ')' | '[' | ']' | '/' | '&' | '#' | '_' => {}
                _ => return None,
            }
            return Some(());
        }
        // Some texts have no space behind a space: `\\quadx`.
        let name = if name.starts_with("quad") { "quad" } else { name.as_str() };
        self.rest = &after[name.len()..];
        if LOOKS.contains(&name) {
            // `\left.` is a bracket that is not seen.
            if name.ends_with(['t', 'l', 'r']) && !name.starts_with("text") {
                self.delimiter(name.ends_with('l') || name == "left");
            }
            return Some(());
        }
        if let Some(name) = self.operator(name) {
            self.tokens.push(Token::Command(name));
            return Some(());
        }
        if TEXTS.contains(&name) {
            if let Some((text, rest)) = group(self.rest.trim_start()) {
                self.tokens.push(Token::Text(text.trim().to_owned()));
                self.rest = rest;
            }
            return Some(());
        }
        if FONTS.contains(&name) {
            return Some(());
        }
        let sign = same(name);
        let mut letters = sign.chars();
        match (letters.next(), letters.next()) {
            (Some('{'), None) => self.tokens.push(Token::Sign('S')),
            (Some('}'), None) => self.tokens.push(Token::Sign('s')),
            (Some(sign), None) => self.tokens.push(Token::Sign(sign)),
            _ => self.tokens.push(Token::Command(sign.to_owned())),
        }
        Some(())
    }

    /// Reads the delimiter behind `\left`, if it is a bar or one that is not seen.
    fn delimiter(&mut self, opens: bool) {
        if let Some(rest) = self.rest.strip_prefix('.') {
            self.rest = rest;
        } else if let Some(rest) =
            ["|", "\\vert", "\\lvert", "\\rvert"].iter().find_map(|bar| self.rest.trim_start().strip_prefix(bar))
        {
            self.rest = rest;
            self.tokens.push(Token::Sign(if opens { 'B' } else { 'b' }));
        }
    }

    /// Reads the name of a function in a group of another font: `\operatorname{lcm}`.
    fn operator(&mut self, font: &str) -> Option<String> {
        if !TEXTS.contains(&font) && !FONTS.contains(&font) {
            return None;
        }
        let (name, rest) = group(self.rest.trim_start())?;
        let name = name.trim();
        let named = COMMANDS.contains(&name) && rest.trim_start().starts_with(['(', '^', '\\', '{']);
        named.then(|| {
            self.rest = rest;
            same(name).to_owned()
        })
    }

    /// Returns true between a number and a power of ten, where an `x` is a sign.
    fn is_times(&self) -> bool {
        let power = self.rest.trim_start().strip_prefix("10").unwrap_or("");
        matches!(self.tokens.last(), Some(Token::Number(..))) && (power.starts_with('^') || power.starts_with("**"))
    }

    /// Reads letters. A word that a digit runs into is none, unless it is a unit.
    fn letters(&mut self, after_digit: bool) -> Option<bool> {
        let run: String = self.rest.chars().take_while(|c| c.is_alphabetic()).collect();
        self.rest = &self.rest[run.len()..];
        let lower = run.to_lowercase();
        self.tokens.push(match lower.as_str() {
            "inf" | "infinity" | "oo" => Token::Command("infty".to_owned()),
            "and" | "or" => Token::Command(lower),
            "pct" | "percent" => Token::Sign('%'),
            "degree" | "degrees" | "deg" => Token::Sign('D'),
            "union" => Token::Command("cup".to_owned()),
            _ if COMMANDS.contains(&run.as_str())
                && (!BEFORE_BRACKETS.contains(&run.as_str()) || self.rest.trim_start().starts_with(['(', '{'])) =>
            {
                Token::Command(same(&run).to_owned())
            }
            "x" if self.is_times() => Token::Sign('*'),
            _ if run.chars().count() == 1 => Token::Letter(run),
            _ if after_digit && run.chars().count() > 2 && !is_unit(&run) => return None,
            _ => Token::Run(run),
        });
        Some(true)
    }
}

/// Returns the content of the group that a text begins with, and the rest.
pub(crate) fn group(text: &str) -> Option<(&str, &str)> {
    let inner = text.strip_prefix('{')?;
    let mut depth = 1;
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                if depth == 0 {
                    return Some((&inner[..at], &inner[at + 1..]));
                }
            }
            _ => {}
        }
    }
    None
}
