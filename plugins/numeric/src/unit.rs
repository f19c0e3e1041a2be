//! A unit: a product of powers of the units of the table.

use dashu_ratio::RBig;

use crate::number::{leading, power_of_ten, raised, signed};
use crate::table::{BASE, PREFIXES, Row, UNITS};

/// The dimension of a percentage, which has rules of its own.
pub(crate) const PERCENT: &str = "%";

/// Largest exponent of a unit.
const LARGEST: i64 = 9;
/// Most factors of a unit.
const FACTORS: usize = 8;

/// A unit.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Unit {
    /// Value in base units.
    factor: RBig,
    /// Zero point in base units: that of a temperature.
    offset: RBig,
    /// Exponents of the base units.
    exponents: [i64; BASE.len()],
}

impl Unit {
    /// Parses a text that is a unit and nothing else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = Self::behind(text.trim())?;
        rest.trim().is_empty().then_some(unit)
    }

    /// Returns the unit behind a number, and the rest of the text.
    pub(crate) fn behind(text: &str) -> Option<(Self, &str)> {
        let one = Self { factor: RBig::ONE, offset: RBig::ZERO, exponents: [0; BASE.len()] };
        let (mut unit, mut rest) = one.times_factor(text.trim_start_matches(is_space), 1)?;
        // Units behind a slash go on in the divisor: J/kg·K is J/(kg K).
        let mut sign = 1;
        let mut grouped = false;
        for _ in 1..FACTORS {
            let next = rest.trim_start_matches(is_space);
            let per = next.strip_prefix("per ").filter(|_| next.len() < rest.len());
            let divisor = per.or_else(|| next.strip_prefix('/')).map(str::trim_start);
            let group = divisor.and_then(|after| after.strip_prefix('('));
            let after = group.or(divisor).unwrap_or_else(|| next.trim_start_matches(['·', '*', '⋅', '-']));
            let power = if divisor.is_some() { -1 } else { sign };
            let Some((product, after)) = unit.clone().times_factor(after.trim_start_matches(is_space), power) else {
                break;
            };
            (unit, rest, sign) = (product, after, power);
            grouped |= group.is_some();
            if let Some(after) = rest.strip_prefix(')').filter(|_| grouped) {
                (rest, grouped, sign) = (after, false, 1);
            }
        }
        if unit.exponents.iter().filter(|exponent| **exponent != 0).count() != 1 || unit.exponents[TEMPERATURE] != 1 {
            // A zero point is a temperature's alone: a heat capacity counts differences.
            unit.offset = RBig::ZERO;
        }
        Some((unit, rest))
    }

    /// Returns a number of this unit in base units.
    pub(crate) fn to_base(&self, number: &RBig) -> RBig {
        number * &self.factor + &self.offset
    }

    /// Returns a number of base units in this unit.
    pub(crate) fn of_base(&self, number: &RBig) -> RBig {
        (number - &self.offset) / &self.factor
    }

    /// Returns this unit in another one of the same dimension, without a zero point.
    pub(crate) fn ratio(&self, other: &Self) -> Option<RBig> {
        let same = self.exponents == other.exponents && self.offset.is_zero() && other.offset.is_zero();
        same.then(|| &self.factor / &other.factor)
    }

    /// Returns the base units, such as `kg m s^-2`. Units that can be converted have the same.
    pub(crate) fn dimension(&self) -> String {
        let factor = |(base, exponent): (&&str, &i64)| match exponent {
            0 => None,
            1 => Some((*base).to_owned()),
            _ => Some(format!("{base}^{exponent}")),
        };
        let factors: Vec<String> = BASE.iter().zip(&self.exponents).filter_map(factor).collect();
        if factors.is_empty() { "1".into() } else { factors.join(" ") }
    }

    pub(crate) fn is_percent(&self) -> bool {
        self.dimension() == PERCENT
    }

    /// Multiplies by the factor at the start of a text, to the power of `sign`.
    fn times_factor(mut self, text: &str, sign: i64) -> Option<(Self, &str)> {
        let (text, before) = match ["square ", "sq ", "cubic "].iter().find(|word| text.starts_with(**word)) {
            Some(word) => (&text[word.len()..], if *word == "cubic " { 3 } else { 2 }),
            None => (text, 1),
        };
        let (symbol, rest) = symbol(text)?;
        let (factor, row) = lookup(symbol)?;
        if is_word(symbol, rest) {
            return None;
        }
        let (power, rest) = exponent(rest);
        let power = power * before * sign;
        if power == 0 || power.abs() > LARGEST {
            return None;
        }
        for part in row.3.split(' ') {
            let (base, exponent) = part.split_once('^').unwrap_or((part, "1"));
            let at = BASE.iter().position(|known| *known == base)?;
            self.exponents[at] += exponent.parse::<i64>().ok()? * power;
        }
        let scaled = (0..power.abs()).fold(RBig::ONE, |product, _| product * &factor);
        self.factor = if power < 0 { self.factor / scaled } else { self.factor * scaled };
        self.offset = zero_point(row.1).unwrap_or(self.offset);
        Some((self, rest))
    }
}

/// Place of the temperature among the base units.
const TEMPERATURE: usize = 4;

/// Returns the temperature at a unit's zero point, in kelvin.
fn zero_point(name: &str) -> Option<RBig> {
    let fraction = |text| leading(text).map(|(value, _)| value);
    match name {
        "celsius" => fraction("273.15"),
        "fahrenheit" => fraction("45967/180"),
        _ => None,
    }
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{2009}' | '\u{a0}' | '\u{202f}')
}

/// Returns the symbol or name of a unit at the start of a text.
fn symbol(text: &str) -> Option<(&str, &str)> {
    // Written out: "degrees Celsius".
    for word in ["degrees ", "degree ", "° "] {
        let named =
            text.strip_prefix(word).map(|rest| (rest, rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len())));
        if let Some((rest, end)) = named
            && ["celsius", "fahrenheit", "C", "F"].iter().any(|name| rest[..end].eq_ignore_ascii_case(name))
        {
            let celsius = rest.starts_with(['c', 'C']);
            return Some((if celsius { "°C" } else { "°F" }, &rest[end..]));
        }
    }
    let of_symbol = |c: char| c.is_alphabetic() || matches!(c, '°' | '℃' | '℉' | '%');
    let mut end = text.find(|c: char| !of_symbol(c)).unwrap_or(text.len());
    if text.starts_with('%') {
        end = 1;
    }
    (end > 0).then(|| text.split_at(end))
}

/// Returns true if a symbol is a word of the text: "5 in total", "5 A students".
fn is_word(symbol: &str, rest: &str) -> bool {
    let spaced = rest.trim_start_matches(' ');
    matches!(symbol, "in" | "A" | "at") && spaced.len() < rest.len() && spaced.starts_with(|c: char| c.is_alphabetic())
}

/// Returns the value and the row of a unit with or without a prefix.
fn lookup(symbol: &str) -> Option<(RBig, &'static Row)> {
    // No unit is longer: a long word is none.
    if symbol.len() > 24 {
        return None;
    }
    if let Some(row) = UNITS.iter().find(|row| row.0.split(' ').any(|known| known == symbol)) {
        return Some((value(row)?, row));
    }
    let prefixed = PREFIXES.iter().find_map(|(prefix, _, power)| {
        let rest = symbol.strip_prefix(prefix).filter(|rest| !rest.is_empty())?;
        let row = UNITS.iter().find(|row| row.2 && row.0.split(' ').any(|known| known == rest))?;
        Some((*power, row))
    });
    let named = || {
        let word = symbol.to_lowercase();
        let singular = |row: &&Row| row.1.split(' ').any(|name| !name.is_empty() && is_name(&word, name));
        UNITS.iter().find(singular).map(|row| (0, row)).or_else(|| {
            PREFIXES.iter().find_map(|(_, prefix, power)| {
                let rest = word.strip_prefix(prefix)?;
                let row = UNITS
                    .iter()
                    .find(|row| row.2 && row.1.split(' ').any(|name| !name.is_empty() && is_name(rest, name)))?;
                Some((*power, row))
            })
        })
    };
    let (power, row) = prefixed.or_else(named)?;
    // A decibel is no tenth of a byte.
    if row.3 == "bit" && power < 0 {
        return None;
    }
    Some((value(row)? * power_of_ten(power)?, row))
}

/// Returns true if a word is a name in the singular or the plural.
fn is_name(word: &str, name: &str) -> bool {
    match (name, word) {
        ("foot", "feet") | ("inch", "inches") | ("century", "centuries") => true,
        _ => word.strip_suffix('s').unwrap_or(word) == name || word == name,
    }
}

fn value(row: &Row) -> Option<RBig> {
    let (numerator, rest) = leading(row.4)?;
    rest.is_empty().then_some(numerator)
}

/// Returns the exponent at the start of a text, 1 if it has none: `^2`, `^-1`, `²`, " squared".
fn exponent(text: &str) -> (i64, &str) {
    let written = text.strip_prefix('^').and_then(|rest| signed(rest.trim_start_matches(['{', '('])));
    if let Some((power, rest)) = written {
        return (power, rest.trim_start_matches(['}', ')']));
    }
    if let Some(found) = raised(text) {
        return found;
    }
    for (word, power) in [(" squared", 2), (" cubed", 3)] {
        if let Some(rest) = text.strip_prefix(word) {
            return (power, rest);
        }
    }
    // m2, s-1: digits that follow a symbol directly.
    match signed(text) {
        Some((power, rest)) if power.abs() <= LARGEST && !text.starts_with('+') => (power, rest),
        _ => (1, text),
    }
}
