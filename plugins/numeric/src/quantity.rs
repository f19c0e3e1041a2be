//! Numbers with their units in a text.

use alft_sdk::answer::last_line;
use dashu_ratio::RBig;

use crate::number::{continued, is_minus, leading, run, starts};
use crate::plain::plain;
use crate::rule::UnitRule;
use crate::unit::Unit;

/// Most bytes of a place that numbers are looked for in.
const LOOKED_AT: usize = 2_000;

/// Words that make a number no answer.
const HEDGES: [&str; 9] = ["not", "never", "unless", "except", "isn't", "isn’t", "n't", "n’t", "neither"];

/// A number with its unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantity {
    /// The number as it is written.
    pub(crate) number: RBig,
    /// `None` for a number alone.
    pub(crate) unit: Option<Unit>,
}

impl Quantity {
    /// Returns the quantity with a unit for a number alone.
    pub(crate) fn with_default(self, unit: Option<&Unit>) -> Self {
        Self { unit: self.unit.or_else(|| unit.cloned()), ..self }
    }

    /// Returns the sum with a part in a smaller unit of the same kind: 5 ft 3 in.
    fn with_part(&self, part: &Self) -> Option<Self> {
        let (unit, smaller) = (self.unit.as_ref()?, part.unit.as_ref()?);
        let ratio = smaller.ratio(unit)?;
        let share = &part.number * &ratio;
        let fits = ratio < RBig::ONE && share >= RBig::ZERO && share < RBig::ONE;
        let sum = if self.number < RBig::ZERO { &self.number - share } else { &self.number + share };
        fits.then(|| Self { number: sum, unit: Some(unit.clone()) })
    }

    /// Returns the value in base units: a fraction, and the unit if there is one.
    pub(crate) fn key(&self) -> String {
        match &self.unit {
            None => self.number.to_string(),
            Some(unit) => format!("{} {}", unit.to_base(&self.number), unit.dimension()),
        }
    }
}

/// Returns the quantity of a text that is announced as the answer. It has one, however it is written: several are a hedge,
/// and so is a "not".
pub(crate) fn announced(text: &str, rule: UnitRule) -> Option<Quantity> {
    if text.len() > LOOKED_AT {
        return None;
    }
    let text = plain(text);
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’')));
    if words.any(|word| HEDGES.iter().any(|hedge| word.eq_ignore_ascii_case(hedge))) {
        return None;
    }
    let result = text.rsplit('=').next().unwrap_or(&text);
    let mut found = quantities(result, rule).into_iter();
    let first = found.next()??;
    let key = first.key();
    found.all(|other| other.is_some_and(|other| other.key() == key)).then_some(first)
}

/// Returns the last quantity of the last line that has one; `None` if that line is a question or one of the prompt's, whose
/// numbers a policy can repeat.
pub(crate) fn last(text: &str, prompt: &str, rule: UnitRule) -> Option<Quantity> {
    let mut text = text;
    loop {
        let end = text.rfind(starts)?;
        let line_end = text[end..].find('\n').map_or(text.len(), |at| end + at);
        let line = last_line(&text[..line_end]);
        let asked = || line.contains(char::is_whitespace) && prompt.lines().any(|asked| asked.trim() == line);
        if line.ends_with('?') || asked() {
            return None;
        }
        let mut begin = line.len().saturating_sub(LOOKED_AT);
        while !line.is_char_boundary(begin) {
            begin += 1;
        }
        // A part of a number or word is not looked at.
        let cut = if begin == 0 { line } else { line[begin..].split_once(char::is_whitespace)?.1 };
        if let Some(last) = quantities(&plain(cut), rule).pop() {
            return last;
        }
        text = text[..line_end].trim_end().rsplit_once('\n')?.0;
    }
}

/// Returns the quantities of a plain text, from left to right; `None` for one that cannot be read, such as a date or a
/// number with letters behind it. Digits within a word, as in `x1`, are none.
fn quantities(text: &str, rule: UnitRule) -> Vec<Option<Quantity>> {
    let mut found: Vec<Option<Quantity>> = Vec::new();
    // The end of the quantity before, and true if that has parts.
    let (mut end, mut in_parts) = (0, false);
    let mut at = 0;
    while let Some(next) = text[at..].find(|c| starts(c) || c == '.') {
        let mut begin = at + next;
        let before = text[..begin].chars().next_back();
        let c = text[begin..].chars().next().unwrap_or('.');
        // A full stop, or the last one of an ellipsis.
        let is_decimal = text[begin + c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit()) && before != Some('.');
        let point = c == '.' && !is_decimal;
        if point || before.is_some_and(is_of_word) {
            // The rest of the word.
            let rest = &text[begin..];
            let end = rest.find(|c: char| !(is_of_word(c) || c == '.')).unwrap_or(rest.len());
            at = begin + if point { 1 } else { end.max(c.len_utf8()) };
            continue;
        }
        let Some((mut number, rest)) = leading(&text[begin..]) else {
            found.push(None);
            at = begin + run(&text[begin..]);
            end = at;
            continue;
        };
        if before.is_some_and(is_minus) {
            begin -= before.map_or(0, char::len_utf8);
            let operand = text[..begin].chars().next_back();
            if !operand.is_some_and(|c| c.is_alphanumeric() || matches!(c, ')' | '%' | '°')) {
                number = -number;
            }
        }
        let (unit, after) = match Unit::behind(rest) {
            Some((unit, after)) => (Some(unit), after),
            None => (None, rest),
        };
        at = text.len() - after.len();
        let between = text[end..begin.max(end)].trim().trim_start_matches(',').trim_start();
        // An operand of a division that is no fraction or of a number that is not read, and an exponent.
        let is_operand = match found.last() {
            _ if before == Some('^') => true,
            Some(None) => matches!(between, "/" | "×" | "x" | "X" | "*" | "·" | "⋅" | "⨯"),
            Some(Some(_)) => between == "/",
            None => false,
        };
        // Digits with other separators, powers and factorials, and letters that are no unit.
        let is_broken = match after.chars().next() {
            Some(c @ ('/' | ':' | '.' | ',' | '\'' | '’')) => {
                after.trim_start_matches(c).starts_with(|c: char| c.is_ascii_digit())
            }
            Some('^' | '!' | '\\') => unit.is_none(),
            Some(c) => is_of_word(c),
            None => false,
        };
        let behind = if is_broken { Some(run(after)) } else { continued(after).filter(|_| unit.is_none()) };
        if is_operand || behind.is_some() {
            found.push(None);
            at += behind.unwrap_or(0);
            end = at;
            continue;
        }
        let unit = unit.filter(|unit| rule != UnitRule::Ignored || unit.is_percent());
        let quantity = Quantity { number, unit };
        let joined = found.last().and_then(Option::as_ref).filter(|_| matches!(between, "" | "and"));
        // The number before a part is whole, unless it has parts already.
        let joined = joined.filter(|larger| in_parts || larger.number.is_int());
        let sum = joined.and_then(|larger| larger.with_part(&quantity));
        in_parts = sum.is_some();
        match sum {
            Some(sum) => {
                found.pop();
                found.push(Some(sum));
            }
            None => found.push((!is_negated(&text[..begin])).then_some(quantity)),
        }
        end = at;
    }
    found
}

/// Returns true for the text before a number that is denied: "it is not 42".
fn is_negated(before: &str) -> bool {
    ["not", "n't", "n’t"].iter().any(|word| before.trim_end().ends_with(word))
}

/// Returns true for characters of a word: digits behind them are a part of it.
fn is_of_word(c: char) -> bool {
    (c.is_alphanumeric() && c < '\u{2e80}')
        || c == '_'
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}
