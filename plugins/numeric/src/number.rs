//! A number at the start of a text, as an exact fraction.

use dashu_int::{IBig, UBig};
use dashu_ratio::RBig;

/// Most digits of a number, and the largest exponent: the cost of longer ones would not be linear in the text.
const LONGEST: usize = 400;

/// Vulgar fractions.
const VULGAR: [(char, u8, u8); 15] = [
    ('½', 1, 2),
    ('⅓', 1, 3),
    ('⅔', 2, 3),
    ('¼', 1, 4),
    ('¾', 3, 4),
    ('⅕', 1, 5),
    ('⅖', 2, 5),
    ('⅗', 3, 5),
    ('⅘', 4, 5),
    ('⅙', 1, 6),
    ('⅚', 5, 6),
    ('⅛', 1, 8),
    ('⅜', 3, 8),
    ('⅝', 5, 8),
    ('⅞', 7, 8),
];

/// Spaces that do not end a number: no-break ones and a thin one.
const THIN_SPACES: [char; 3] = ['\u{a0}', '\u{202f}', '\u{2009}'];

/// Words behind a number that multiply it by a power of ten.
const WORDS: [(&str, i64); 4] = [("thousand", 3), ("million", 6), ("billion", 9), ("trillion", 12)];

/// Returns true if a number can start with this character.
pub(crate) fn starts(c: char) -> bool {
    c.is_ascii_digit() || vulgar(c).is_some()
}

pub(crate) fn is_minus(c: char) -> bool {
    matches!(c, '-' | '−' | '–' | '－' | '﹣')
}

/// Returns the unsigned number at the start of a text, and the rest: an integer, decimal, fraction, mixed number or
/// power of ten, with thousands separators, an exponent, or a word such as "million".
pub(crate) fn leading(text: &str) -> Option<(RBig, &str)> {
    let (mut value, mut rest) = unscaled(text)?;
    if let Some((exponent, after)) = times_power(rest) {
        (value, rest) = (value * power_of_ten(exponent)?, after);
    }
    let word = rest.trim_start_matches(' ');
    for (name, exponent) in WORDS {
        let after = word.get(name.len()..).filter(|after| !after.starts_with(char::is_alphanumeric));
        if let Some(after) = after.filter(|_| word[..name.len()].eq_ignore_ascii_case(name)) {
            return Some((value * power_of_ten(exponent)?, after));
        }
    }
    Some((value, rest))
}

/// Returns 10 to a power; `None` for one that is too large.
pub(crate) fn power_of_ten(exponent: i64) -> Option<RBig> {
    let power = UBig::from(10u8).pow(usize::try_from(exponent.unsigned_abs()).ok().filter(|size| *size <= LONGEST)?);
    Some(if exponent < 0 { RBig::from_parts(IBig::ONE, power) } else { RBig::from(power) })
}

/// Returns the bytes of a text that belong to the number before it, though both together are not read: a second power
/// of ten, or digits behind a thin or no-break space that are no group of three.
pub(crate) fn continued(text: &str) -> Option<usize> {
    let power = times_power(text).map(|(_, rest)| text.len() - rest.len() + run(rest));
    power.or_else(|| text.strip_prefix(THIN_SPACES)?.starts_with(starts).then(|| run(text)))
}

/// Returns the bytes of the word or number at the start of a text, with the signs in it. A thin or no-break space
/// before a digit does not end it.
pub(crate) fn run(text: &str) -> usize {
    let is_end = |(at, c): &(usize, char)| {
        let is_joint = THIN_SPACES.contains(c) && text[at + c.len_utf8()..].starts_with(starts);
        c.is_whitespace() && !is_joint
    };
    text.char_indices().find(is_end).map_or(text.len(), |(at, _)| at)
}

/// Returns the number at the start of a text, without the power of ten that it is multiplied by.
fn unscaled(text: &str) -> Option<(RBig, &str)> {
    let first = text.chars().next()?;
    if let Some(value) = vulgar(first) {
        return Some((value, &text[first.len_utf8()..]));
    }
    // A power of ten alone.
    if let Some((exponent, rest)) = text.strip_prefix("10").and_then(power) {
        return Some((power_of_ten(exponent)?, rest));
    }
    let (whole, rest) = with_exponent(text)?;
    if let Some(value) = rest.chars().next().and_then(vulgar) {
        return Some((whole + value, &rest[rest.chars().next().map_or(0, char::len_utf8)..]));
    }
    if let Some((denominator, rest)) = slash(rest).and_then(with_exponent).filter(|(value, _)| !value.is_zero()) {
        return Some((whole / denominator, rest));
    }
    // A mixed number: 1 3/4, 1 ¾.
    let mixed = space(rest).and_then(|rest| {
        if let Some(value) = rest.chars().next().and_then(vulgar) {
            return Some((value, &rest[rest.chars().next().map_or(0, char::len_utf8)..]));
        }
        let (numerator, rest) = integer(rest)?;
        let (denominator, rest) = integer(slash(rest)?)?;
        let goes_on = rest.trim_start_matches(['/', '.', ',']).starts_with(|c: char| c.is_ascii_digit());
        let proper = numerator <= denominator && !goes_on;
        proper.then(|| (RBig::from_parts(numerator.into(), denominator), rest))
    });
    match mixed.filter(|_| whole.is_int()) {
        Some((fraction, rest)) => Some((whole + fraction, rest)),
        None => Some((whole, rest)),
    }
}

/// Returns the text behind a space.
fn space(text: &str) -> Option<&str> {
    text.strip_prefix(' ').or_else(|| text.strip_prefix(THIN_SPACES))
}

/// Returns the text behind the slash of a fraction, which has at most two spaces on either side.
fn slash(text: &str) -> Option<&str> {
    let spaces = |text| {
        let text = space(text).unwrap_or(text);
        space(text).unwrap_or(text)
    };
    spaces(text).strip_prefix('/').map(spaces)
}

/// Returns the decimal at the start of a text with its exponent: `1.5`, `1.5e-3`, `1.5E8`.
fn with_exponent(text: &str) -> Option<(RBig, &str)> {
    let (value, rest) = decimal(text)?;
    let exponent = rest.strip_prefix(['e', 'E']).and_then(signed);
    match exponent.filter(|(_, rest)| !rest.starts_with(char::is_alphanumeric)) {
        Some((exponent, rest)) => Some((value * power_of_ten(exponent)?, rest)),
        None => Some((value, rest)),
    }
}

/// Returns the power of ten behind a sign of multiplication at the start of a text: `×10^8`, `*10**-3`, `x 10⁻³`.
fn times_power(text: &str) -> Option<(i64, &str)> {
    let rest = text.trim_start_matches(' ').strip_prefix(['×', 'x', 'X', '*', '·', '⋅', '⨯'])?;
    power(rest.trim_start_matches(' ').strip_prefix("10")?)
}

/// Returns the power at the start of a text: `^8`, `^-3`, `**8`, `⁻³`.
fn power(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix('^').or_else(|| text.strip_prefix("**")) {
        let open = rest.strip_prefix(['{', '(']);
        let (exponent, rest) = signed(open.unwrap_or(rest))?;
        let closed = if open.is_some() { rest.strip_prefix(['}', ')'])? } else { rest };
        return Some((exponent, closed));
    }
    raised(text)
}

/// Returns the integer in superscript characters at the start of a text.
pub(crate) fn raised(text: &str) -> Option<(i64, &str)> {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let unsigned = text.strip_prefix('⁻');
    let mut rest = unsigned.unwrap_or(text);
    let mut value = None;
    while let Some(digit) = rest.chars().next().and_then(|c| DIGITS.iter().position(|digit| *digit == c)) {
        value = Some((value.unwrap_or(0i64) * 10 + digit as i64).min(100_000));
        rest = &rest[rest.chars().next().map_or(0, char::len_utf8)..];
    }
    value.map(|value| (if unsigned.is_some() { -value } else { value }, rest))
}

/// Returns the integer with or without a sign at the start of a text.
pub(crate) fn signed(text: &str) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix(['-', '−', '+']).unwrap_or(text);
    let end = digits(unsigned);
    let value: i64 = unsigned[..end].parse().ok()?;
    Some((if text.starts_with(['-', '−']) { -value } else { value }, &unsigned[end..]))
}

fn integer(text: &str) -> Option<(UBig, &str)> {
    let end = digits(text);
    let value = text[..end].parse().ok().filter(|_| (1..=LONGEST).contains(&end))?;
    (value != UBig::ZERO).then_some((value, &text[end..]))
}

/// Returns the decimal at the start of a text, with or without thousands separators.
fn decimal(text: &str) -> Option<(RBig, &str)> {
    let end = digits(text);
    if end > LONGEST {
        return None;
    }
    let mut all = text[..end].to_owned();
    let mut rest = &text[end..];
    if (1..=3).contains(&end) {
        while let Some(group) = rest.strip_prefix([',', '_']).or_else(|| rest.strip_prefix(THIN_SPACES))
            && digits(group) == 3
        {
            all.push_str(&group[..3]);
            rest = &group[3..];
        }
    }
    let fraction = rest.strip_prefix('.').map_or("", |after| &after[..digits(after)]);
    if !fraction.is_empty() {
        rest = &rest[1 + fraction.len()..];
    }
    if all.is_empty() && fraction.is_empty() || all.len() + fraction.len() > LONGEST {
        return None;
    }
    all.push_str(fraction);
    let units: UBig = all.parse().ok()?;
    Some((RBig::from_parts(units.into(), UBig::from(10u8).pow(fraction.len())), rest))
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn vulgar(c: char) -> Option<RBig> {
    let (_, numerator, denominator) = VULGAR.iter().find(|(sign, ..)| *sign == c)?;
    Some(RBig::from_parts((*numerator).into(), (*denominator).into()))
}
