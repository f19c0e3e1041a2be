//! Numbers in text, as exact fractions.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Zero;

/// Longer numbers are refused: the cost of big integers would not be linear in the input.
const MAX_DIGITS: usize = 400;

/// Parses all of `text` as a number, without white space and a currency sign around it.
pub(crate) fn parse(text: &str) -> Option<BigRational> {
    let text = text.trim();
    let (number, rest) = leading(text.strip_prefix('$').unwrap_or(text))?;
    rest.is_empty().then_some(number)
}

/// Iterates over the numbers in `text` from left to right: integers, decimals and fractions, with thousands separators
/// and signs. A minus between two operands (`10-3`) is not a sign.
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
            // A digit that starts no number starts too long a run of digits: skip all of it.
            let step = if first.is_ascii_digit() { digits(rest) } else { first.len_utf8() };
            before = Some(first);
            rest = &rest[step..];
        }
        None
    })
}

/// Returns the number at the start of `text`, and the rest.
fn leading(text: &str) -> Option<(BigRational, &str)> {
    let unsigned = text.strip_prefix(is_minus).unwrap_or(text);
    let (numerator, rest) = decimal(unsigned.strip_prefix('$').unwrap_or(unsigned))?;
    let denominator = rest.strip_prefix('/').and_then(decimal).filter(|(value, _)| !value.is_zero());
    let (value, rest) = match denominator {
        Some((denominator, rest)) => (numerator / denominator, rest),
        None => (numerator, rest),
    };
    Some((if unsigned.len() < text.len() { -value } else { value }, rest))
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
    Some((BigRational::new(units, BigInt::from(10).pow(fraction.len() as u32)), rest))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn is_minus(c: char) -> bool {
    matches!(c, '-' | '\u{2212}')
}
