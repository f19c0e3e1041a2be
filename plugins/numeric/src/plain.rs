//! A text without the marks of LaTeX and of emphasis, and without signs of currencies.

use crate::unit::Unit;

/// Commands that are replaced by a text; all others that stand alone are kept, since their meaning is not known.
const COMMANDS: [(&str, &str); 20] = [
    ("times", "×"),
    ("cdot", "·"),
    ("approx", "="),
    ("text", ""),
    ("textbf", ""),
    ("textrm", ""),
    ("mathrm", ""),
    ("mathbf", ""),
    ("rm", ""),
    ("left", ""),
    ("right", ""),
    ("displaystyle", ""),
    ("quad", " "),
    ("circ", "°"),
    ("degree", "°"),
    ("mu", "µ"),
    ("Omega", "Ω"),
    ("ohm", "Ω"),
    ("celsius", "°C"),
    ("unit", ""),
];

/// Returns a text in which numbers and units are written as in plain text.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            '\\' => command(after, &mut out),
            '$' | '€' | '£' | '¥' | '₹' | '`' | '{' | '}' => after,
            // Emphasis; a power in a programming language has an operand on either side.
            '*' if after.starts_with('*') => {
                let power = out.ends_with(|c: char| c.is_ascii_digit())
                    && after[1..].starts_with(['-', '1', '2', '3', '4', '5', '6', '7', '8', '9']);
                out.push_str(if power { "^" } else { "" });
                &after[1..]
            }
            '^' if after.starts_with("\\circ") || after.starts_with("{\\circ}") => after,
            'º' | '˚' => {
                out.push('°');
                after
            }
            '≈' | '≃' => {
                out.push('=');
                after
            }
            '~' => {
                out.push(' ');
                after
            }
            _ => {
                out.push(c);
                after
            }
        };
    }
    out
}

/// Replaces the command at the start of a text, which follows a backslash. Returns the rest.
fn command<'a>(text: &'a str, out: &mut String) -> &'a str {
    let end = text.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (name, rest) = text.split_at(end);
    if matches!(name, "frac" | "dfrac" | "tfrac") {
        return fraction(rest, out);
    }
    if let Some((_, plain)) = COMMANDS.iter().find(|(command, _)| *command == name) {
        out.push_str(plain);
        return rest;
    }
    if !name.is_empty() {
        out.push('\\');
        return text;
    }
    // A thin space separates thousands or a unit, and a negative one nothing.
    let Some(sign) = text.chars().next() else { return text };
    match sign {
        ',' | ':' | ';' => out.push('\u{2009}'),
        ' ' => out.push(' '),
        '!' | '(' | ')' | '[' | ']' => {}
        '%' => out.push('%'),
        '$' => {}
        _ => out.push('\\'),
    }
    if matches!(sign, ',' | ':' | ';' | ' ' | '!' | '(' | ')' | '[' | ']' | '%' | '$') { &text[1..] } else { text }
}

/// Writes the fraction of two numbers, `{3}{4}` or `34`, or of two units, with a slash. Anything else stays a command.
fn fraction<'a>(text: &'a str, out: &mut String) -> &'a str {
    let number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    // A mixed number: 1\frac34.
    let mixed = if out.ends_with(|c: char| c.is_ascii_digit()) { " " } else { "" };
    if let Some((numerator, rest)) = group(text)
        && let Some((denominator, rest)) = group(rest)
    {
        if number(numerator) && number(denominator) {
            *out += &format!("{mixed}{numerator}/{denominator}");
            return rest;
        }
        // Within a unit there is no other fraction: this goes one level deep.
        if !text[..text.len() - rest.len()].contains("frac") {
            let (numerator, denominator) = (plain(numerator), plain(denominator));
            if Unit::parse(&numerator).is_some() && Unit::parse(&denominator).is_some() {
                *out += &format!(" {}/({})", numerator.trim(), denominator.trim());
                return rest;
            }
        }
    }
    if let Some((pair, rest)) = text.split_at_checked(2)
        && number(pair)
        && !pair.contains('.')
    {
        *out += &format!("{mixed}{}/{}", &pair[..1], &pair[1..]);
        return rest;
    }
    out.push_str("\\frac");
    text
}

/// Returns the content of the braces at the start of a text, and the rest.
fn group(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return Some((&text[1..at], &text[at + 1..])),
            b'}' => depth -= 1,
            _ if depth == 0 => return None,
            _ => {}
        }
        if depth == 0 {
            return None;
        }
    }
    None
}
