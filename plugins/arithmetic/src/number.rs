//! Numbers in text, as exact fractions. A number is read whole or not at all: where it cannot be read, none of its
//! digits are taken for another number.

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{One, Zero};

/// Longer numbers are refused: the cost of big integers would not be linear in the input.
const MAX_DIGITS: usize = 400;

/// Signs between groups of three digits. A number has one kind of them.
const SEPARATORS: [&str; 7] = [",", "_", "\u{a0}", "\u{202f}", "\u{2009}", "{,}", "\\,"];

/// Signs of a product with a power of ten.
const TIMES: [&str; 9] = ["×", "*", "x", "X", "·", "⋅", "⨯", "\\times", "\\cdot"];

const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];

/// Parses all of `text` as a number, without white space and a currency sign around it.
pub(crate) fn parse(text: &str) -> Option<BigRational> {
    let text = text.trim();
    let (number, rest) = leading(text.strip_prefix('$').unwrap_or(text))?;
    rest.is_empty().then_some(number)
}

/// Iterates over the numbers in `text` from left to right: integers, decimals, fractions and mixed numbers, with
/// thousands separators, exponents and signs; `None` for one that cannot be read. A minus between two operands (`10-3`)
/// is not a sign.
pub(crate) fn find(text: &str) -> impl Iterator<Item = Option<BigRational>> + '_ {
    let mut rest = text;
    let mut before = None;
    // True between the items of a list without spaces.
    let mut listed = false;
    std::iter::from_fn(move || {
        while let Some(first) = rest.chars().next() {
            let item = rest.strip_prefix(',').filter(|item| listed && digits(item) > 0);
            listed = item.is_some();
            if let Some(item) = item {
                let (item, after) = item.split_at(digits(item));
                (before, rest) = (item.chars().last(), after);
                return Some(item.parse().ok().map(BigRational::from_integer));
            }
            if starts(before, rest) {
                let (number, mut after) = match leading(rest) {
                    Some((number, after)) => (Some(number), after),
                    // The digits of a number that is too long or too large, or the `^` of an exponent.
                    None => (
                        None,
                        rest.trim_start_matches(|c| is_minus(c) || "$.".contains(c)).trim_start_matches(is_digit),
                    ),
                };
                listed = number.is_some() && is_list(&rest[..rest.len() - after.len()], after);
                let whole = number.filter(|_| listed || !continues(after));
                if whole.is_none() {
                    after = skip(after);
                }
                before = rest[..rest.len() - after.len()].chars().last();
                rest = after;
                return Some(whole);
            }
            before = Some(first);
            rest = &rest[first.len_utf8()..];
        }
        None
    })
}

/// Returns true if a number starts at the start of `text`, which follows the character `before`.
fn starts(before: Option<char>, text: &str) -> bool {
    let operand = before.is_some_and(|c| c.is_alphanumeric() || c == ')');
    let unsigned = match text.strip_prefix(is_minus) {
        Some(_) if operand => return false,
        Some(unsigned) => unsigned.strip_prefix('$').unwrap_or(unsigned),
        None => text,
    };
    // The full stop of a sentence and the last of an ellipsis are no decimal points.
    let point = unsigned.len() < text.len() || !operand && before != Some('.');
    let mut signs = unsigned.chars();
    match signs.next() {
        Some('.') => point && signs.next().is_some_and(|c| c.is_ascii_digit()),
        // An exponent of an operand that is no number.
        Some('^') => unsigned.len() == text.len() && power(unsigned).is_some(),
        Some(c) => is_digit(c),
        None => false,
    }
}

/// Returns the number at the start of `text`, and the rest.
fn leading(text: &str) -> Option<(BigRational, &str)> {
    let unsigned = text.strip_prefix(is_minus).unwrap_or(text);
    let (first, rest) = decimal(unsigned.strip_prefix('$').unwrap_or(unsigned))?;
    let (value, rest) = over(&first, rest).or_else(|| mixed(&first, rest)).unwrap_or((first, rest));
    let (value, rest) = match scale(rest) {
        Some((exponent, rest)) => (value * power_of_ten(exponent)?, rest),
        None => (value, rest),
    };
    // Answers are numbers of this size, so that each is its own answer.
    let fits = |part: &BigInt| part.bits() < 3 * MAX_DIGITS as u64 || part.to_string().len() <= MAX_DIGITS;
    let is_small = fits(value.numer()) && fits(value.denom());
    is_small.then(|| (if unsigned.len() < text.len() { -value } else { value }, rest))
}

/// Returns the fraction of a numerator and the denominator behind it, and the rest.
fn over<'a>(numerator: &BigRational, text: &'a str) -> Option<(BigRational, &'a str)> {
    let (denominator, rest) = slash(text).and_then(decimal).filter(|(value, _)| !value.is_zero())?;
    Some((numerator / denominator, rest))
}

/// Returns the text behind a slash with at most two spaces on either side.
fn slash(text: &str) -> Option<&str> {
    let after = spaces(text).strip_prefix('/').map(spaces)?;
    after.strip_prefix('.').unwrap_or(after).starts_with(is_digit).then_some(after)
}

/// Returns the text without up to two spaces at its start.
fn spaces(text: &str) -> &str {
    let one = |text| str::strip_prefix(text, [' ', '\u{a0}', '\u{202f}', '\u{2009}']).unwrap_or(text);
    one(one(text))
}

/// Returns the mixed number of a whole one and the fraction of at most 1 that follows it, as in `11 5/6`, and the rest.
fn mixed<'a>(whole: &BigRational, text: &'a str) -> Option<(BigRational, &'a str)> {
    let after = spaces(text);
    let behind = &after[digits(after)..];
    // Most numbers behind a space are no numerators: those are not computed twice.
    let is_numerator = slash(behind).is_some() || SEPARATORS.iter().any(|separator| behind.starts_with(separator));
    let (numerator, rest) = Some(after).filter(|after| is_numerator && after.len() < text.len()).and_then(decimal)?;
    let (fraction, rest) = over(&numerator, rest)?;
    let is_part = whole.is_integer() && numerator.is_integer() && fraction <= BigRational::one() && !fraction.is_zero();
    is_part.then(|| (whole + fraction, rest))
}

/// Returns the unsigned decimal at the start of `text`, with or without thousands separators and an exponent, or the
/// power of ten, and the rest.
fn decimal(text: &str) -> Option<(BigRational, &str)> {
    if let Some((exponent, rest)) = text.strip_prefix("10").and_then(power) {
        return Some((power_of_ten(exponent)?, rest));
    }
    let hexadecimal = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"));
    if hexadecimal.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit())) {
        return None;
    }
    let mut whole = text[..digits(text)].to_owned();
    let mut rest = &text[whole.len()..];
    let separator = SEPARATORS.iter().find(|separator| rest.starts_with(**separator));
    if let Some(separator) = separator.filter(|_| (1..=3).contains(&whole.len())) {
        while let Some(group) = rest.strip_prefix(separator).filter(|group| digits(group) == 3) {
            whole.push_str(&group[..3]);
            rest = &group[3..];
        }
    }
    let fraction = rest.strip_prefix('.').map_or("", |after| &after[..digits(after)]);
    if !fraction.is_empty() {
        rest = &rest[1 + fraction.len()..];
    }
    if whole.len() + fraction.len() == 0 || whole.len() + fraction.len() > MAX_DIGITS {
        return None;
    }
    let units: BigInt = format!("{whole}{fraction}").parse().ok()?;
    let value = BigRational::new(units, BigInt::from(10).pow(fraction.len() as u32));
    match exponent(rest) {
        Some((exponent, rest)) => Some((value * power_of_ten(exponent)?, rest)),
        None => Some((value, rest)),
    }
}

/// Returns 10 to a power; `None` for one that is too large.
fn power_of_ten(exponent: i32) -> Option<BigRational> {
    let size = exponent.unsigned_abs();
    let power = (size as usize <= MAX_DIGITS).then(|| BigRational::from(BigInt::from(10).pow(size)))?;
    Some(if exponent < 0 { power.recip() } else { power })
}

/// Returns the exponent of ten at the start of `text`, `e-3`, and the rest.
fn exponent(text: &str) -> Option<(i32, &str)> {
    let (exponent, rest) = signed(text.strip_prefix(['e', 'E'])?)?;
    (!rest.starts_with(char::is_alphanumeric)).then_some((exponent, rest))
}

/// Returns the exponent of the power of ten that the number before `text` is multiplied by, `×10^3`, `* 10³`, and the
/// rest.
fn scale(text: &str) -> Option<(i32, &str)> {
    let times = spaces(text);
    let after = TIMES.iter().find_map(|sign| times.strip_prefix(sign))?;
    power(spaces(after).strip_prefix("10")?)
}

/// Returns the exponent at the start of `text`, `^3`, `**-3`, `^{3}`, `³`, and the rest.
fn power(text: &str) -> Option<(i32, &str)> {
    if let Some(rest) = text.strip_prefix('^').or_else(|| text.strip_prefix("**")) {
        let (close, inner) = match rest.chars().next()? {
            '{' => ("}", &rest[1..]),
            '(' => (")", &rest[1..]),
            _ => ("", rest),
        };
        let (exponent, rest) = signed(inner)?;
        return Some((exponent, rest.strip_prefix(close)?));
    }
    let unsigned = text.strip_prefix('⁻').unwrap_or(text);
    let end = unsigned.find(|c| !SUPERSCRIPTS.contains(&c)).unwrap_or(unsigned.len());
    let value = |c: char| SUPERSCRIPTS.iter().position(|digit| *digit == c).unwrap_or(0) as i32;
    let size = unsigned[..end].chars().fold(0i32, |size, c| size.saturating_mul(10).saturating_add(value(c)));
    (end > 0).then_some((if unsigned.len() < text.len() { -size } else { size }, &unsigned[end..]))
}

/// Returns the integer with or without a sign at the start of `text`, and the rest. A larger one than fits is the
/// largest.
fn signed(text: &str) -> Option<(i32, &str)> {
    let unsigned = text.strip_prefix(['-', '+', '\u{2212}']).unwrap_or(text);
    let (size, rest) = unsigned.split_at(digits(unsigned));
    let size: i32 = (!size.is_empty()).then(|| size.parse().unwrap_or(i32::MAX))?;
    Some((if text.starts_with(is_minus) { -size } else { size }, rest))
}

/// Returns true if `after` makes a list of the integer before it, `15,5,2`: each further item has one digit, or two of
/// which the first is not 0. Longer ones may be the groups of one number.
fn is_list(before: &str, after: &str) -> bool {
    let mut rest = after;
    while let Some(item) = rest.strip_prefix(',') {
        let length = digits(item);
        if length == 0 {
            break;
        }
        if length > 2 || (length == 2 && item.starts_with('0')) {
            return false;
        }
        rest = &item[length..];
    }
    let integer = before.trim_start_matches(is_minus).trim_start_matches('$');
    rest.len() < after.len() && integer.bytes().all(|byte| byte.is_ascii_digit()) && glue(rest).is_none()
}

/// Returns true if the number before `text` goes on in it, in a way that cannot be read.
fn continues(text: &str) -> bool {
    // A division by zero is no fraction: both of its numbers are read.
    let is_zero = |after| decimal(after).is_some_and(|(value, rest)| value.is_zero() && glue(rest).is_none());
    glue(text).is_some() && !slash(text).is_some_and(is_zero)
}

/// Returns the text behind all that is glued to the number before `text`.
fn skip(text: &str) -> &str {
    let mut rest = text;
    while let Some(after) = glue(rest) {
        rest = after.trim_start_matches(is_digit);
    }
    rest
}

/// Returns the text behind the sign that glues more digits to the number before `text`, or that takes it for an
/// operand.
fn glue(text: &str) -> Option<&str> {
    let operator = power(text).or_else(|| scale(text)).map(|(_, rest)| rest);
    if let Some(rest) = operator.or_else(|| slash(text)).or_else(|| text.strip_prefix('^')) {
        return Some(rest);
    }
    let first = text.chars().next()?;
    if !first.is_ascii() && first.is_numeric() {
        return Some(&text[first.len_utf8()..]);
    }
    let after = if is_letter(first) {
        let after = text.trim_start_matches(is_letter);
        let is_exponent = text.len() - after.len() == 1 && matches!(first, 'e' | 'E');
        let unsigned = after.strip_prefix(|c| c == '+' || is_minus(c)).filter(|_| is_exponent);
        unsigned.unwrap_or(after)
    } else if is_invisible(first) {
        text.trim_start_matches(is_invisible)
    } else if matches!(first, '.' | ',' | '_') {
        text.trim_start_matches(['.', ',', '_'])
    } else {
        text.strip_prefix(['\'', '’']).or_else(|| SEPARATORS.iter().find_map(|sign| text.strip_prefix(sign)))?
    };
    after.starts_with(is_digit).then_some(after)
}

/// Returns true for a letter that is written beside digits without a space: not those of Chinese and Japanese words.
fn is_letter(c: char) -> bool {
    c.is_alphabetic() && c < '\u{2e80}'
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
}

/// Returns true for a digit, and for a digit of another script or a vulgar fraction, which are not read.
fn is_digit(c: char) -> bool {
    c.is_ascii_digit()
        || matches!(c, '¼'..='¾' | '\u{2150}'..='\u{215f}' | '\u{660}'..='\u{669}' | '\u{6f0}'..='\u{6f9}')
        || matches!(c, '\u{966}'..='\u{96f}' | '\u{9e6}'..='\u{9ef}' | '０'..='９')
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

fn is_minus(c: char) -> bool {
    matches!(c, '-' | '\u{2212}')
}
