//! Text written by strangers: names in a plugin's or a model's file, ids of questions, paths. Shown as it is, it could steer
//! the terminal, pass for a line of the host's, or fill the screen.
//!
//! [`Foreign`] is the type of such text. It displays as one line of bounded length without a character that steers a
//! terminal, so an error or a report that holds it cannot print it raw by oversight. [`lines`] is for what has lines of its
//! own, such as a plugin's message.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// Characters of a foreign text that are shown: the first and the last ones. A path of the usual length is whole.
const SHOWN_FIRST: usize = 200;
const SHOWN_LAST: usize = 100;

/// Text that a stranger wrote. It displays on one line, escaped and cut; [`raw`](Self::raw) is the text itself, for everything
/// but people. Serialised, it is the text itself.
///
/// ```
/// use alft_text::Foreign;
///
/// assert_eq!(Foreign::new("größer").to_string(), "größer");
/// assert_eq!(Foreign::new("a\u{1b}[2J\nstep 9").to_string(), "a\\u{1b}[2J\\nstep 9");
/// ```
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Foreign<T = String>(T);

impl<T: AsRef<str>> Foreign<T> {
    /// Marks a text as a stranger's.
    pub const fn new(text: T) -> Self {
        Self(text)
    }

    /// Returns the text as the stranger wrote it.
    pub fn raw(&self) -> &str {
        self.0.as_ref()
    }
}

impl<'a> Foreign<Cow<'a, str>> {
    /// Makes the text of a path. Bytes that are no UTF-8 become replacement characters.
    pub fn path<P: AsRef<Path> + ?Sized>(path: &'a P) -> Self {
        Self(path.as_ref().to_string_lossy())
    }
}

impl<T: AsRef<str>> fmt::Display for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&shown(self.raw(), SHOWN_FIRST, SHOWN_LAST))
    }
}

impl From<String> for Foreign {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// As [`Display`](fmt::Display), in quotes.
impl<T: AsRef<str>> fmt::Debug for Foreign<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Returns true for a character that a terminal obeys rather than shows: the control characters of C0 and C1, and those that
/// break lines or change the direction of the text after them.
pub fn steers_terminal(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Returns `text` on one line, with an escape for each character that steers a terminal. A text of more than `first + last`
/// characters is cut in the middle.
pub fn shown(text: &str, first: usize, last: usize) -> Cow<'_, str> {
    // Bytes are at least as many as characters.
    let characters = if text.len() > first + last { text.chars().count() } else { 0 };
    if characters <= first + last {
        return escaped(text, steers_terminal);
    }
    let end = text.char_indices().nth(first).map_or(text.len(), |(place, _)| place);
    let begin = text.char_indices().nth(characters - last).map_or(text.len(), |(place, _)| place);
    let (first, last) = (escaped(&text[..end], steers_terminal), escaped(&text[begin..], steers_terminal));
    format!("{first} … {last} ({characters} characters)").into()
}

/// Returns `text` with its line breaks and tabs, cut to `max_bytes` bytes, with an escape for each other character that steers a
/// terminal.
pub fn lines(text: &str, max_bytes: usize) -> String {
    let cut = &text[..text.floor_char_boundary(max_bytes)];
    let steers = |c: char| steers_terminal(c) && !matches!(c, '\n' | '\t');
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("{}{more}", escaped(cut, steers))
}

/// Returns `text` with an escape for each character that JSON allows raw and a terminal obeys. `text` is JSON: such
/// characters stand within its strings, where an escape means the same.
pub fn json(text: &str) -> Cow<'_, str> {
    if !text.contains(steers_terminal) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match steers_terminal(c) {
            true => write!(safe, "\\u{:04x}", u32::from(c)).expect("a string can be written to"),
            false => safe.push(c),
        }
    }
    safe.into()
}

fn escaped(text: &str, steers: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&steers) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            _ if steers(c) => safe.extend(c.escape_default()),
            _ => safe.push(c),
        }
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every character that a terminal obeys, and some.
    fn steering() -> impl Iterator<Item = char> {
        let bidi = ['\u{61c}', '\u{200e}', '\u{200f}', '\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{2028}'];
        ('\0'..' ').chain('\u{7f}'..='\u{9f}').chain(bidi)
    }

    #[test]
    fn no_character_that_steers_a_terminal_is_shown() {
        for c in steering() {
            let text = Foreign::new(format!("a{c}b")).to_string();
            assert!(text.starts_with("a\\") && text.ends_with('b') && !text.contains(steers_terminal), "{text:?}");
            let kept = matches!(c, '\n' | '\t');
            assert_eq!(lines(&format!("a{c}b"), 9).contains(c), kept, "{c:?}");
            let quoted = format!("\"{c}\"");
            assert_eq!(unescaped(&json(&quoted)), quoted);
        }
        assert_eq!(Foreign::new("größer, 東京 👩‍👧").to_string(), "größer, 東京 👩‍👧");
        assert_eq!(format!("{:?}", Foreign::new("a\nb")), "\"a\\nb\"");
        assert_eq!(format!("{:<4}|{:>4}", Foreign::new("ä"), Foreign::new("ä")), "ä   |   ä");
    }

    /// Undoes `\uXXXX`.
    fn unescaped(text: &str) -> String {
        assert!(!text.contains(steers_terminal), "{text:?}");
        let hex = text.trim_matches('"').strip_prefix("\\u").unwrap();
        format!("\"{}\"", char::from_u32(u32::from_str_radix(hex, 16).unwrap()).unwrap())
    }

    #[test]
    fn a_long_text_is_cut_in_the_middle() {
        let text = format!("{}{}", "ä".repeat(60_000), "the end");
        let shown = Foreign::new(&text).to_string();
        assert!(shown.starts_with("ää") && shown.ends_with("the end (60007 characters)"), "{shown}");
        assert!(shown.chars().count() < 350);
        let whole = "ä".repeat(300);
        assert_eq!(Foreign::new(&whole).to_string(), whole);
        assert_eq!(lines("ää", 3), "ä…", "characters are not cut in half");
    }

    #[test]
    fn the_text_itself_is_kept() {
        let text = "\u{1b}".repeat(1000);
        assert_eq!(Foreign::new(text.clone()).raw(), text);
        assert_eq!(Foreign::path(Path::new("a\nb")).to_string(), "a\\nb");
    }
}
