//! Numbers in running text, where nothing marks their ends: a number is found whole, so that a part is never taken for
//! it.

/// Signs of a product with a power of ten.
const TIMES: [char; 8] = ['×', '*', 'x', 'X', '·', '⋅', '⨯', '∗'];
/// No-break spaces and a thin one, which group digits.
const THIN_SPACES: [char; 3] = ['\u{a0}', '\u{202f}', '\u{2009}'];
const SUPERSCRIPTS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
const SUBSCRIPTS: [char; 10] = ['₀', '₁', '₂', '₃', '₄', '₅', '₆', '₇', '₈', '₉'];

/// Returns where each number of a text begins and ends, from left to right, without its sign.
pub(crate) fn numbers(text: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(|c: char| c.is_ascii_digit() || is_vulgar(c)) {
        let first = at + next;
        // A decimal point, and not the last point of an ellipsis.
        let point = text[at..first].ends_with('.') && !text[..first].ends_with("..");
        let begin = first - usize::from(point);
        let mut end = first + text[first..].chars().next().filter(|c| is_vulgar(*c)).map_or(0, char::len_utf8);
        end += digits_and_signs(&text[end..]);
        while let Some(length) = joint(&text[begin..end], &text[end..]) {
            end += length;
            end += digits_and_signs(&text[end..]);
        }
        found.push((begin, end));
        at = end;
    }
    found
}

/// Returns true if the number before a text goes on in it, in a way that no number does: `0x5dc`, `1__500`, `2^x`.
pub(crate) fn continues(text: &str, is_unit: impl Fn(&str) -> bool) -> bool {
    let letters = &text[..text.find(|c: char| !c.is_alphabetic()).unwrap_or(text.len())];
    let rest = &text[letters.len()..];
    let is_digit = |text: &str| text.starts_with(|c: char| c.is_numeric());
    if !letters.is_empty() {
        // The exponent of a unit: m2, m².
        let exponent = rest.strip_prefix(['2', '3', '²', '³']).filter(|_| is_unit(letters));
        return is_digit(rest) && exponent.is_none_or(|rest| rest.starts_with(char::is_alphanumeric));
    }
    match rest.chars().next() {
        Some('^') => true,
        Some('*') => rest.strip_prefix("**").is_some_and(is_digit),
        Some('_') => rest.trim_start_matches('_').starts_with(char::is_alphanumeric),
        Some(c @ ('.' | '\'' | '’')) => is_digit(rest.trim_start_matches(c)),
        Some('\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}') => true,
        Some(c) => !c.is_ascii() && c.is_numeric(),
        None => false,
    }
}

/// Returns the bytes of the digits at the start of a text, with the signs between them.
fn digits_and_signs(text: &str) -> usize {
    let run = &text[..text.find(|c: char| !(c.is_ascii_digit() || ".,/%".contains(c))).unwrap_or(text.len())];
    run.trim_end_matches(|c: char| !c.is_ascii_digit()).len()
}

/// Returns the bytes of a text that join it to the number before it, up to the next digits or behind them.
fn joint(number: &str, text: &str) -> Option<usize> {
    let to = |rest: &str| text.len() - rest.len();
    let is_digit = |rest: &&str| rest.starts_with(|c: char| c.is_ascii_digit());
    let group = || {
        let after =
            text.strip_prefix('_').or_else(|| text.strip_prefix(THIN_SPACES)).or_else(|| text.strip_prefix("{,}"));
        after.filter(is_digit)
    };
    let exponent = || {
        let after = text.strip_prefix(['e', 'E'])?;
        Some(after.strip_prefix(['+', '-', '\u{2212}']).unwrap_or(after)).filter(is_digit)
    };
    let divisor = || {
        let after = spaces(spaces(text).strip_prefix('/')?);
        Some(after).filter(|after| is_digit(&after.strip_prefix('.').unwrap_or(after)))
    };
    let scale = || power(spaces(spaces(text).strip_prefix(TIMES)?).strip_prefix("10")?);
    let vulgar = || text.strip_prefix(' ').unwrap_or(text).strip_prefix(is_vulgar);
    let index = || Some(text.trim_start_matches(SUBSCRIPTS)).filter(|rest| rest.len() < text.len());
    group()
        .or_else(exponent)
        .or_else(divisor)
        .or_else(|| power(text))
        .or_else(scale)
        .or_else(vulgar)
        .or_else(index)
        .or_else(|| fraction(number, text))
        .map(to)
}

/// Returns the text behind the fraction of a mixed number, whose whole number is before it.
fn fraction<'a>(whole: &str, text: &'a str) -> Option<&'a str> {
    let after = spaces(text);
    let (numerator, rest) = after.split_at(after.bytes().take_while(u8::is_ascii_digit).count());
    let rest = spaces(spaces(rest).strip_prefix('/')?);
    let (denominator, rest) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
    let sizes = [numerator, denominator].map(|part| part.trim_start_matches('0')).map(|part| (part.len(), part));
    let is_part = after.len() < text.len() && sizes[0].0 > 0 && sizes[0] <= sizes[1];
    (is_part && whole.bytes().all(|byte| byte.is_ascii_digit() || byte == b',')).then_some(rest)
}

/// Returns the text behind the exponent at its start: `^3`, `**-3`, `^{3}`, `³`.
fn power(text: &str) -> Option<&str> {
    let raised = text.strip_prefix('⁻').unwrap_or(text);
    let rest = raised.trim_start_matches(SUPERSCRIPTS);
    if rest.len() < raised.len() {
        return Some(rest);
    }
    let rest = text.strip_prefix('^').or_else(|| text.strip_prefix("**"))?;
    let open = rest.strip_prefix(['{', '(']);
    let inner = open.unwrap_or(rest);
    let inner = inner.strip_prefix(['+', '-', '\u{2212}']).unwrap_or(inner);
    let rest = inner.trim_start_matches(|c: char| c.is_ascii_digit());
    let closed = if open.is_some() { rest.strip_prefix(['}', ')'])? } else { rest };
    (rest.len() < inner.len()).then_some(closed)
}

/// Returns a text without up to two spaces at its start.
fn spaces(text: &str) -> &str {
    let one = |text| {
        let after = str::strip_prefix(text, ' ').or_else(|| str::strip_prefix(text, THIN_SPACES));
        after.unwrap_or(text)
    };
    one(one(text))
}

fn is_vulgar(c: char) -> bool {
    matches!(c, '¼'..='¾' | '\u{2150}'..='\u{215e}')
}

/// Writes superscript and subscript digits as LaTeX does: `10⁻³` is `10^{-3}`, and `101₂` is `101_{2}`.
pub(crate) fn with_scripts(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (sign, digits) = if SUBSCRIPTS.contains(&c) { ('_', SUBSCRIPTS) } else { ('^', SUPERSCRIPTS) };
        let minus = rest.strip_prefix('⁻');
        let unsigned = minus.unwrap_or(rest);
        let after = unsigned.trim_start_matches(digits);
        if after.len() == unsigned.len() {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        out.push(sign);
        out.push('{');
        out.push_str(if minus.is_some() { "-" } else { "" });
        let written = unsigned[..unsigned.len() - after.len()].chars();
        out.extend(
            written
                .filter_map(|c| digits.iter().position(|digit| *digit == c))
                .map(|digit| (b'0' + digit as u8) as char),
        );
        out.push('}');
        rest = after;
    }
    out
}
