//! The place of the answer in a completion: the same for all readers that come with alft, so that a completion which
//! one of them can read can be read by the others.
//!
//! | order | place | if |
//! | --- | --- | --- |
//! | 1 | within the last pair of tags, and nowhere else | `tags` is set |
//! | 1 | the rest of the line after the last `marker`, and nowhere else | `marker` is set |
//! | 2 | within the last `\boxed{…}` | |
//! | 3 | the rest of the line after the last phrase such as "the answer is", or the next line if that rest is blank | |
//! | 4 | the whole completion | not `strict` |
//!
//! Within tags and behind a marker, a box is the answer if there is one. In all places the last one counts, so a
//! completion cannot gain by giving several answers. Text before the last `</think>` and behind the first mark of a chat
//! template is not looked at. The work is linear in the completion.
//!
//! A plugin has the three settings as fields of its own, since `serde` cannot both flatten a struct and refuse unknown
//! keys, and passes them on as [`Places`].

use crate::Result;

/// Phrases before an answer, in lower case. One that begins with a line end stands at the beginning of a line.
pub const PHRASES: [&str; 12] = [
    "final answer is",
    "final answer:",
    "answer is",
    "answer would be",
    "answer should be",
    "answer:",
    "answer**:",
    "answers are",
    "result is",
    "solution is",
    "####",
    "\na:",
];

/// Most bytes of a completion's end in which phrases are looked for.
const LOOKED_AT: usize = 20_000;

/// Marks of chat templates that end a completion.
const ENDS: [&str; 7] =
    ["<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|end_of_text|>", "<end_of_turn>", "</s>"];

/// The settings of a reader's place.
#[derive(Debug, Clone, Copy)]
pub struct Places<'a> {
    /// Text before the answer.
    pub marker: Option<&'a str>,
    /// Opening and closing tag around the answer.
    pub tags: Option<&'a [String; 2]>,
    /// True to read announced answers only: those in places 1 to 3.
    pub strict: bool,
    /// Phrases before an answer, such as [`PHRASES`].
    pub phrases: &'a [&'a str],
}

impl Default for Places<'_> {
    fn default() -> Self {
        Self { marker: None, tags: None, strict: false, phrases: &PHRASES }
    }
}

/// The kind of a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The configured tags or marker.
    Configured,
    /// A box.
    Boxed,
    /// A phrase.
    Phrase,
    /// The whole completion, in which nothing announces an answer.
    Whole,
}

/// The part of a completion that has its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The kind of the place.
    pub source: Source,
    /// The text, without white space around it.
    pub text: &'a str,
    /// The completion behind `text`.
    pub after: &'a str,
}

impl<'a> Places<'a> {
    /// Checks the settings when a plugin is configured.
    ///
    /// # Errors
    /// A setting is of no use. The error names the key and the remedy.
    pub fn check(&self) -> Result<()> {
        if self.marker.is_some_and(|marker| marker.trim().is_empty()) {
            return Err("marker is blank; leave it out, or set the text before the answer".into());
        }
        if let Some([open, close]) = self.tags
            && (open.trim().is_empty() || close.trim().is_empty() || open == close)
        {
            return Err("tags: both must be set and differ, such as [\"<answer>\", \"</answer>\"]".into());
        }
        if self.marker.is_some() && self.tags.is_some() {
            return Err("marker and tags are both set; an answer has one place, so leave one of them out".into());
        }
        Ok(())
    }

    /// Returns the place of a completion's answer; `None` if it has none.
    pub fn find(&self, completion: &'a str) -> Option<Place<'a>> {
        let text = visible(completion);
        if let Some([open, close]) = self.tags {
            let (text, after) = between(text, open, close)?;
            return Some(Place { source: Source::Configured, text: unboxed(text), after });
        }
        if let Some(marker) = self.marker {
            let (line, after) = first_line(text.rsplit_once(marker)?.1);
            return Some(Place { source: Source::Configured, text: unboxed(line), after });
        }
        if let Some((content, after)) = last_box(text) {
            return Some(Place { source: Source::Boxed, text: content.trim(), after });
        }
        if let Some(rest) = after_phrase(text, self.phrases) {
            let (line, after) = first_line(rest);
            return Some(Place { source: Source::Phrase, text: line.trim(), after });
        }
        (!self.strict).then_some(Place { source: Source::Whole, text: text.trim(), after: "" })
    }
}

/// Returns the part of a completion that a user sees: behind the reasoning, before the marks of a chat template.
pub fn visible(completion: &str) -> &str {
    const THOUGHT: &str = "</think>";
    let thought = completion.rmatch_indices('<').find(|(at, _)| completion[*at..].starts_with(THOUGHT));
    let text = thought.map_or(completion, |(at, _)| &completion[at + THOUGHT.len()..]);
    let is_end = |at: &usize| ENDS.iter().any(|mark| text[*at..].starts_with(mark));
    let end = text.match_indices('<').map(|(at, _)| at).find(is_end);
    end.map_or(text, |end| &text[..end])
}

/// Returns the text between the last pair of tags, and what follows it. A pair that is not closed is none.
pub fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<(&'a str, &'a str)> {
    let (before, after) = text.rsplit_once(close)?;
    Some((before.rsplit_once(open)?.1, after))
}

/// Returns the content of the last box within a place, or else the place.
fn unboxed(text: &str) -> &str {
    last_box(text).map_or(text, |(content, _)| content).trim()
}

/// Returns the first line that is not blank, and what follows it.
fn first_line(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once('\n').unwrap_or((text, ""))
}

/// Returns the last line that is not blank, without white space around it; the empty text if there is none.
pub fn last_line(text: &str) -> &str {
    text.trim_end().rsplit('\n').next().unwrap_or("").trim()
}

/// Returns the content of the last `\boxed{…}` or `\fbox{…}`, and what follows it. A box without braces, or one that is
/// not closed, ends with its line or formula.
pub fn last_box(text: &str) -> Option<(&str, &str)> {
    let name = |at: usize| ["\\boxed", "\\fbox"].into_iter().find(|name| text[at..].starts_with(name));
    let at = text.rmatch_indices('\\').find_map(|(at, _)| Some(at + name(at)?.len()))?;
    let rest = text[at..].trim_start();
    let mut depth = 0usize;
    if rest.starts_with('{') {
        for (at, byte) in rest.bytes().enumerate() {
            match byte {
                b'{' => depth += 1,
                b'}' if depth == 1 => return Some((&rest[1..at], &rest[at + 1..])),
                b'}' => depth -= 1,
                _ => {}
            }
        }
    }
    let end = rest.find(['$', '\n']).unwrap_or(rest.len());
    Some((rest[..end].trim_start_matches('{'), &rest[end..]))
}

/// Returns the text behind the last phrase that announces an answer, without the signs that belong to the phrase.
fn after_phrase<'a>(text: &'a str, phrases: &[&str]) -> Option<&'a str> {
    let text = end_of(text, LOOKED_AT);
    // As many bytes as the text, so that places are the same in both.
    let lower = text.to_ascii_lowercase();
    let first = |phrase: &str| {
        let word = phrase.strip_prefix('\n')?;
        lower.starts_with(word).then_some(word.len())
    };
    let last = |phrase: &&str| lower.rfind(phrase).map(|at| at + phrase.len()).or_else(|| first(phrase));
    let end = phrases.iter().filter_map(last).max()?;
    Some(text[end..].trim_start_matches(|c: char| matches!(c, ':' | '*') || c.is_whitespace()))
}

/// Returns the last bytes of a text, up to so many.
fn end_of(text: &str, bytes: usize) -> &str {
    let mut begin = text.len().saturating_sub(bytes);
    while !text.is_char_boundary(begin) {
        begin += 1;
    }
    &text[begin..]
}

/// Words before a full stop that ends no sentence.
const ABBREVIATIONS: [&str; 13] = ["mr", "mrs", "ms", "dr", "st", "jr", "sr", "mt", "no", "vs", "prof", "approx", "ft"];

/// Returns the first sentence of a line, with its full stop: up to a full stop, `!` or `?` that a space and a capital
/// letter follow. An abbreviation or a single letter before a full stop ends no sentence.
pub fn first_sentence(line: &str) -> &str {
    let mut word = 0;
    for (at, c) in line.char_indices() {
        let after = &line[at + c.len_utf8()..];
        let capital = || after.trim_start().starts_with(char::is_uppercase);
        if matches!(c, '.' | '!' | '?') && after.starts_with(char::is_whitespace) && capital() {
            let before = line[word..at].trim_matches(|c: char| !c.is_alphanumeric());
            let short = before.chars().count() == 1 && before.starts_with(char::is_alphabetic);
            if c != '.' || !(short || ABBREVIATIONS.iter().any(|known| before.eq_ignore_ascii_case(known))) {
                return &line[..at + c.len_utf8()];
            }
        }
        if c.is_whitespace() {
            word = at + c.len_utf8();
        }
    }
    line
}

/// Removes the formula and the fonts of LaTeX around the whole of a text: `$…$`, `\(…\)`, `\text{…}` and the like.
pub fn unwrapped(text: &str) -> &str {
    const AROUND: [(&str, &str); 8] = [
        ("$", "$"),
        ("\\(", "\\)"),
        ("\\[", "\\]"),
        ("\\text{", "}"),
        ("\\textbf{", "}"),
        ("\\mathrm{", "}"),
        ("\\mathbf{", "}"),
        ("\\textrm{", "}"),
    ];
    let mut text = text.trim();
    let inner = |text| {
        let removed = |(open, close)| str::strip_suffix(str::strip_prefix(text, open)?, close);
        // An inner bracket or dollar: the signs at the ends belong to different parts.
        AROUND
            .into_iter()
            .filter_map(removed)
            .find(|inner| !inner.contains('$') && !inner.trim_start().starts_with('}'))
    };
    // Two signs of each end, so no text has to be searched often.
    for _ in 0..4 {
        text = inner(text.trim_end_matches(['.', ' '])).map_or(text, str::trim);
    }
    text
}

/// Removes white space, marks of emphasis, quotes and the signs that end a sentence from the ends of a text.
pub fn bare(text: &str) -> &str {
    let around = |c: char| c.is_whitespace() || matches!(c, '*' | '`' | '"' | '“' | '”' | '«' | '»');
    let text = text.trim_start_matches(around);
    text.trim_end_matches(|c| around(c) || matches!(c, '.' | ',' | ';' | ':' | '!'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(places: Places<'_>, completion: &str) -> Option<(Source, String)> {
        places.find(completion).map(|place| (place.source, place.text.to_owned()))
    }

    #[test]
    fn the_first_place_that_is_there_is_taken() {
        for (completion, source, text) in [
            ("The answer is 3. So \\boxed{4}.", Source::Boxed, "4"),
            ("\\boxed{1} or rather \\boxed{\\frac{3}{4}}", Source::Boxed, "\\frac{3}{4}"),
            ("so $\\boxed 5$ it is", Source::Boxed, "5"),
            ("so \\boxed{{5\nand more", Source::Boxed, "5"),
            ("**Final Answer:** 73\nDone.", Source::Phrase, "73"),
            ("**Answer**: B", Source::Phrase, "B"),
            ("THE ANSWER IS: yes", Source::Phrase, "yes"),
            ("Answer:\n\n  7\n8", Source::Phrase, "7"),
            ("work\nA: $18", Source::Phrase, "$18"),
            ("answer: 1\n#### 1,234", Source::Phrase, "1,234"),
            ("no announcement", Source::Whole, "no announcement"),
            ("the answer is 5</think>I take 6", Source::Whole, "I take 6"),
            ("so 5<|im_end|>\nThe answer is 6", Source::Whole, "so 5"),
            ("Answer:", Source::Phrase, ""),
            ("", Source::Whole, ""),
        ] {
            assert_eq!(place(Places::default(), completion), Some((source, text.to_owned())), "{completion:?}");
        }
        assert_eq!(place(Places { strict: true, ..Places::default() }, "so it is 5"), None);
        let far = format!("The answer is 5.{}", "é".repeat(LOOKED_AT));
        assert_eq!(place(Places { strict: true, ..Places::default() }, &far), None);
        let phrases = Places { phrases: &["option is"], ..Places::default() };
        assert_eq!(place(phrases, "The best option is C"), Some((Source::Phrase, "C".to_owned())));
    }

    #[test]
    fn a_configured_place_is_the_only_one() {
        let tags = ["<answer>".to_owned(), "</answer>".to_owned()];
        let tagged = Places { tags: Some(&tags), ..Places::default() };
        for (completion, text) in [
            ("<answer>1</answer> <answer> 2 </answer> 3", Some("2")),
            ("<answer>1<answer>2</answer>", Some("2")),
            ("<answer>\nso \\boxed{2}.\n</answer> \\boxed{3}", Some("2")),
            ("<answer>1</answer><answer>2", Some("1")),
            ("</answer>1<answer>", None),
            ("\\boxed{4}", None),
            ("", None),
        ] {
            assert_eq!(place(tagged, completion).map(|(_, text)| text).as_deref(), text, "{completion:?}");
        }
        let marked = Places { marker: Some("=>"), ..Places::default() };
        assert_eq!(place(marked, "=> 1 => 2 \n3").unwrap().1, "2");
        assert_eq!(place(marked, "The answer is 2"), None);
    }

    #[test]
    fn settings_of_no_use_are_refused() {
        let same = ["x".to_owned(), "x".to_owned()];
        for (places, words) in [
            (Places { marker: Some(" "), ..Places::default() }, "marker is blank"),
            (Places { tags: Some(&same), ..Places::default() }, "both must be set and differ"),
            (Places { marker: Some("="), tags: Some(&["a".into(), "b".into()]), ..Places::default() }, "both set"),
        ] {
            assert!(places.check().unwrap_err().to_string().contains(words));
        }
        assert_eq!(Places::default().check(), Ok(()));
    }

    #[test]
    fn sentences_end_before_a_capital_letter() {
        for (line, sentence) in [
            ("Paris. It is old.", "Paris."),
            ("St. Louis. I am sure.", "St. Louis."),
            ("B. Paris", "B. Paris"),
            ("3.5 m/s", "3.5 m/s"),
            ("e.g. this", "e.g. this"),
            ("Yes! Done", "Yes!"),
            ("", ""),
        ] {
            assert_eq!(first_sentence(line), sentence);
        }
        assert_eq!(bare(" **“Paris”.** "), "Paris");
        assert_eq!(unwrapped("$\\text{(C)}$."), "(C)");
        assert_eq!(unwrapped("$a$ and $b$"), "$a$ and $b$");
        assert_eq!(unwrapped("\\frac{1}{2}"), "\\frac{1}{2}");
        assert_eq!(last_line("a\n b \n\n"), "b");
        assert_eq!(last_line(" \n"), "");
    }
}
