//! Numbers in text, as exact fractions.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

/// Longer numbers are refused: the cost of big integers would not be linear in the input.
const MAX_DIGITS: usize = 400;

/// Parses all of `text` as a number, without white space and a currency sign around it.
pub(crate) fn parse(text: &str) -> Option<BigRational> {
    let text = text.trim();
    let (number, rest) = leading(text.strip_prefix('$').unwrap_or(text))?;
    rest.is_empty().then_some(number)
}

/// Iterates over the numbers in `text` from left to right: integers, decimals, fractions and mixed numbers, with thousands
/// separators, exponents and signs. A minus between two operands (`10-3`) is not a sign.
pub(crate) fn find(text: &str) -> impl Iterator<Item = BigRational> + '_ {
    let mut rest = text;
    let mut before = None;
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let operand = before.is_some_and(|c: char| c.is_alphanumeric() || c == ')');
            let starts = first.is_ascii_digit() || (is_minus(first) && !operand);
            if let Some((number, after)) = starts.then(|| leading(rest)).flatten() {
                before = rest[..rest.len() - after.len()].chars().last();
                rest = after;
                return Some(number);
            }
            // A digit that starts no number starts one that is too long or too large: skip all of it.
            let after = || rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len());
            let step = if first.is_ascii_digit() { after() } else { first.len_utf8() };
            before = Some(first);
            rest = &rest[step..];
        }
        None
    })
}

/// Returns the number at the start of `text`, and the rest.
fn leading(text: &str) -> Option<(BigRational, &str)> {
    let unsigned = text.strip_prefix(is_minus).unwrap_or(text);
    let (first, rest) = decimal(unsigned.strip_prefix('$').unwrap_or(unsigned))?;
    let (value, rest) = match over(&first, rest) {
        Some(fraction) => fraction,
        None => match mixed(&first, rest) {
            Some(mixed) => mixed,
            None => (first, rest),
        },
    };
    Some((if unsigned.len() < text.len() { -value } else { value }, rest))
}

/// Returns the fraction of a numerator and the denominator behind it, and the rest.
fn over<'a>(numerator: &BigRational, text: &'a str) -> Option<(BigRational, &'a str)> {
    let (denominator, rest) = text.strip_prefix('/').and_then(decimal).filter(|(value, _)| !value.is_zero())?;
    Some((numerator / denominator, rest))
}

/// Returns the mixed number of a whole one and the fraction below 1 that follows it, as in `11 5/6`, and the rest.
fn mixed<'a>(whole: &BigRational, text: &'a str) -> Option<(BigRational, &'a str)> {
    let spaces = text.len() - text.trim_start_matches(' ').len();
    let (numerator, rest) = Some(&text[spaces..]).filter(|_| (1..=2).contains(&spaces)).and_then(decimal)?;
    let (fraction, rest) = over(&numerator, rest)?;
    let is_part = whole.is_integer() && numerator.is_integer() && fraction < BigRational::one() && !fraction.is_zero();
    is_part.then(|| (whole + fraction, rest))
}

/// Returns the unsigned decimal at the start of `text`, with or without thousands separators, and the rest.
fn decimal(text: &str) -> Option<(BigRational, &str)> {
    let mut whole = text[..digits(text)].to_owned();
    let mut rest = &text[whole.len()..];
    if (1..=3).contains(&whole.len()) {
        while let Some(group) = rest.strip_prefix(',').filter(|group| digits(group) == 3) {
            whole.push_str(&group[..3]);
            rest = &group[3..];
        }
    }
    let fraction = rest.strip_prefix('.').map_or("", |after| &after[..digits(after)]);
    if !fraction.is_empty() {
        rest = &rest[1 + fraction.len()..];
    }
    if whole.is_empty() || whole.len() + fraction.len() > MAX_DIGITS {
        return None;
    }
    let units: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let value = BigRational::new(units, BigInt::from(10).pow(fraction.len() as u32));
    match exponent(rest) {
        Some((exponent, _)) if exponent.unsigned_abs() as usize > MAX_DIGITS => None,
        Some((exponent, rest)) => {
            let power = BigRational::from(BigInt::from(10).pow(exponent.unsigned_abs()));
            Some((if exponent < 0 { value / power } else { value * power }, rest))
        }
        None => Some((value, rest)),
    }
}

/// Returns the exponent of ten at the start of `text`, `e-3`, and the rest.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let signed = text.strip_prefix(['e', 'E'])?;
    let unsigned = signed.strip_prefix(['-', '+', '\u{2212}']).unwrap_or(signed);
    let length = digits(unsigned);
    let rest = &unsigned[length..];
    if length == 0 || rest.starts_with(char::is_alphanumeric) {
        return None;
    }
    let size: i32 = unsigned[..length].parse().unwrap_or(i32::MAX);
    Some((if signed.starts_with(is_minus) { -size } else { size }, rest))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn is_minus(c: char) -> bool {
    matches!(c, '-' | '\u{2212}')
}
