//! The choice that a text decides for. Two different letters are a hedge and no verdict, and neither the article "A" nor
//! the pronoun "I" is a letter of a choice.

use alft_sdk::answer::{bare, last_line, unwrapped};

use crate::choices::{Choices, narrow};

/// Words that begin a reason: letters behind them are no part of the verdict.
const REASONS: [&str; 13] = [
    " because",
    " since ",
    " as ",
    " due to",
    " for ",
    " which ",
    " where ",
    " given ",
    " based on",
    " while ",
    " whereas ",
    ";",
    " —",
];

/// Words that turn a verdict around.
const NEGATIONS: [&str; 11] =
    ["not", "never", "neither", "nor", "except", "isn't", "isn’t", "n't", "n’t", "cannot", "wrong"];

/// Words that name a letter: "option B".
const NAMES: [&str; 4] = ["option", "choice", "answer", "letter"];

/// Words before a letter at the end of a sentence that make it the verdict: "It is B."
const LEADS: [&str; 10] = ["is", "s", "be", "so", "hence", "thus", "therefore", "choose", "pick", "select"];

/// Ends of a sentence that make the letter at its beginning the verdict: "B is correct".
const VERDICTS: [&str; 6] =
    ["is correct", "is right", "is the correct", "is the right", "is the answer", "is the best"];

/// Most bytes of a place. A longer text is no verdict.
const LONGEST: usize = 4_000;

/// Returns the choice of a text that is announced as the answer; `after` is the text behind it.
pub(crate) fn announced(text: &str, after: &str, choices: &Choices) -> Option<char> {
    if text.len() > LONGEST {
        return None;
    }
    let text = bare(unwrapped(bare(text)));
    if is_list(text, first_line(after)) {
        return None;
    }
    if let Some(letter) = label(text, choices).or_else(|| choices.with_text(text)) {
        return Some(letter);
    }
    if let Some(label) = Label::at_start(text) {
        return labelled(label, choices);
    }
    let clause = clause(text);
    if is_negated(clause) {
        return None;
    }
    match only(&letters(clause, Bare::Counts), choices) {
        Some(verdict) => verdict,
        None => choices.with_text(clause),
    }
}

/// Returns the choice of a completion that announces none: that of its last line, if a label or a mark shows it.
pub(crate) fn of_completion(text: &str, choices: &Choices) -> Option<char> {
    let line = last_line(text);
    let before = last_line(text.trim_end().rsplit_once('\n').map_or("", |(before, _)| before));
    if line.len() > LONGEST {
        return None;
    }
    let line = bare(unwrapped(bare(line)));
    if is_list(before, line) {
        return None;
    }
    if let Some(letter) = label(line, choices).or_else(|| choices.with_text(line)) {
        return Some(letter);
    }
    if let Some(label) = Label::at_start(line) {
        return labelled(label, choices);
    }
    let clause = clause(line);
    if is_negated(clause) { None } else { only(&letters(clause, Bare::IsText), choices)? }
}

/// Returns the choice of a text that is a label and nothing else, such as `B`, `(b)` or "option B".
pub(crate) fn label(text: &str, choices: &Choices) -> Option<char> {
    let text = bare(unwrapped(bare(text)));
    let mut letters = text.chars();
    if let (Some(letter), None) = (letters.next(), letters.next()) {
        return choices.with_letter(letter);
    }
    let label = Label::at_start(text)?;
    if label.rest.is_empty() { choices.with_letter(label.letter) } else { None }
}

/// Returns the choice of a text that begins with a label: none if the rest has another letter, or another choice's text.
fn labelled(label: Label<'_>, choices: &Choices) -> Option<char> {
    let letter = choices.with_letter(label.letter)?;
    let rest = clause(label.rest);
    let other = choices.with_text(label.rest).or_else(|| choices.with_text(rest));
    let differs = |found: &char| found.to_ascii_uppercase() != letter;
    (other.is_none_or(|other| other == letter) && !letters(rest, Bare::IsText).iter().any(differs)).then_some(letter)
}

/// Returns the verdict of the letters of a text, if it has any: none for different letters, or one of no choice.
fn only(letters: &[char], choices: &Choices) -> Option<Option<char>> {
    let first = letters.first()?;
    let same = letters.iter().all(|letter| letter == first);
    Some(if same { choices.with_letter(*first) } else { None })
}

/// Returns true for two lines of a list of choices.
fn is_list(line: &str, next: &str) -> bool {
    let letter = |line| Label::at_start(bare(line)).map(|label| label.letter.to_ascii_uppercase());
    letter(line).zip(letter(next)).is_some_and(|(one, other)| one != other)
}

fn first_line(text: &str) -> &str {
    text.trim_start().lines().next().unwrap_or("")
}

/// Returns a text up to the words that begin a reason.
fn clause(text: &str) -> &str {
    // As many bytes as the text, so that places are the same in both.
    let lower = text.to_ascii_lowercase();
    let end = REASONS.iter().filter_map(|word| lower.find(word)).min().unwrap_or(text.len());
    bare(&text[..end])
}

fn is_negated(text: &str) -> bool {
    let mut words = text.split(|c: char| !(c.is_alphanumeric() || matches!(c, '\'' | '’')));
    words.any(|word| NEGATIONS.iter().any(|negation| word.eq_ignore_ascii_case(negation)))
}

/// A label at the start of a text: `B.`, `(B)`, `B:`, `B)`, `[B]`, `**B**`, "option B", or a letter alone.
struct Label<'a> {
    letter: char,
    rest: &'a str,
}

impl<'a> Label<'a> {
    fn at_start(text: &'a str) -> Option<Self> {
        let emphasis = |c: char| matches!(c, '*' | '_' | '`' | '$') || c.is_whitespace();
        let mut text = text.trim_start_matches(emphasis);
        let mut named = false;
        for name in NAMES {
            if let Some((word, after)) = text.split_at_checked(name.len())
                && word.eq_ignore_ascii_case(name)
                && after.starts_with(|c: char| c.is_whitespace() || matches!(c, ':' | '('))
            {
                text = after.trim_start_matches(|c| emphasis(c) || c == ':');
                named = true;
                break;
            }
        }
        let opened = text.trim_start_matches(|c| matches!(narrow(c), '(' | '[' | '{' | '【') || emphasis(c));
        let bracket = opened.len() < text.len();
        let letter = opened.chars().next().map(|c| (narrow(c), &opened[c.len_utf8()..]));
        let (letter, rest) = letter.filter(|(c, rest)| c.is_ascii_alphabetic() && ends_word(rest))?;
        let rest = rest.trim_start_matches(|c| emphasis(c) && !char::is_whitespace(c));
        let mut signs = rest.chars();
        let next = signs.next().map(narrow);
        let after = signs.as_str().trim_start_matches(')');
        let spaced = after.is_empty() || after.starts_with(|c: char| c.is_whitespace() || c == '*' || !c.is_ascii());
        let (marked, rest) = match next {
            None => (true, rest),
            Some(')' | ']' | '}' | '】' | '、') => (true, after),
            Some('.' | ':') if spaced => (true, after),
            _ => (named && bracket, rest),
        };
        let lower = letter.is_ascii_lowercase() && !(bracket || named || next.is_some());
        (marked && !lower).then(|| Self { letter, rest: bare(rest) })
    }
}

/// The reading of a letter without a mark.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Bare {
    /// It is the letter of a choice.
    Counts,
    /// It is text, unless "or" and the like join it to another letter.
    IsText,
}

/// Returns the letters of choices in a text: single letters with a mark, and in upper case those without.
fn letters(text: &str, bare: Bare) -> Vec<char> {
    let mut found = Vec::new();
    let mut before: Option<char> = None;
    for (at, raw) in text.char_indices() {
        let c = narrow(raw);
        let after = &text[at + raw.len_utf8()..];
        let quoted = text[..at].strip_suffix(['\'', '’']);
        let starts = !before.is_some_and(is_of_word) && !quoted.is_some_and(|before| before.ends_with(is_of_word));
        let hyphen = text[..at].strip_suffix('-').is_some_and(|before| before.ends_with(is_of_word));
        if c.is_ascii_alphabetic() && starts && !hyphen && ends_word(after) && counts(&text[..at], c, after, bare) {
            found.push(c.to_ascii_uppercase());
        }
        before = Some(c);
    }
    found
}

/// Returns true if a single letter between two texts is the letter of a choice.
fn counts(before: &str, letter: char, after: &str, bare: Bare) -> bool {
    let next = after.chars().next().map(narrow);
    let previous = before.chars().next_back().map(narrow);
    let bracketed = matches!(previous, Some('(' | '[' | '{')) && matches!(next, Some(')' | ']' | '}'));
    if bracketed {
        return true;
    }
    if letter.is_ascii_lowercase() {
        return false;
    }
    let emphasised = previous == Some('*') && after.trim_start_matches(['.', ')', ':']).starts_with('*');
    let listed = next == Some(')') || after.starts_with(". ") || after.starts_with(": ");
    // The last word before it, of which only the end is looked at.
    let word = last_word(before);
    let named = NAMES.iter().any(|name| word.eq_ignore_ascii_case(name));
    let verdict = VERDICTS.iter().any(|words| {
        let end = after.trim_start().get(..words.len());
        end.is_some_and(|end| end.eq_ignore_ascii_case(words))
    });
    let led = after.is_empty() && LEADS.iter().any(|lead| word.eq_ignore_ascii_case(lead));
    if emphasised || listed || named || verdict || led {
        return true;
    }
    let joined = matches!(before.trim_end().chars().next_back(), Some('/' | '&' | ','))
        || ["or", "and", "not", "nor"].iter().any(|join| word.eq_ignore_ascii_case(join));
    (bare == Bare::Counts || joined) && !is_word(letter, after)
}

/// Returns true if a letter before this text is the article "A" or the pronoun "I": if a word follows that does not
/// follow a verdict.
fn is_word(letter: char, after: &str) -> bool {
    if !matches!(letter, 'A' | 'I') || !after.starts_with(char::is_whitespace) {
        return false;
    }
    let next = after.trim_start().split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
    let follows: &[&str] = if letter == 'A' { &["or", "and", "is", "nor", "but"] } else { &["or", "is", "nor"] };
    !next.is_empty() && !follows.contains(&next)
}

/// Returns the last word of a text, or its end if that is long.
fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches(|c: char| !c.is_alphanumeric());
    let long = text.char_indices().rev().take(10).take_while(|(_, c)| c.is_alphanumeric()).last();
    long.map_or("", |(at, _)| &text[at..])
}

/// Returns true if a word before this text ends there: "I'm" and "A-level" go on.
fn ends_word(after: &str) -> bool {
    let mut next = after.chars();
    match next.next() {
        Some('\'' | '’' | '-' | '_') => !next.next().is_some_and(is_of_word),
        Some(c) => !is_of_word(c),
        None => true,
    }
}

/// Returns true for letters and digits of scripts with spaces between words.
fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() && c < '\u{2e80}'
}
