//! The text of the answer in a completion. The first of these that is there is taken:
//!
//! 1. `\boxed{…}`: the last one, with those before it that only a few words separate;
//! 2. what follows the last `####`, "Final Answer:", "the answer is", "A:" and the like, up to the end of the line or
//!    sentence;
//! 3. unless the reader is strict, the last formula or number of the completion.

use crate::{node::Node, number, parse::parse, token::group, vocabulary::is_unit};

/// Most bytes of a completion's end that are looked at. The answer is at the end.
const LOOKED_AT: usize = 20_000;
/// Most bytes of an answer.
const LONGEST: usize = 1_500;
/// Most characters between two boxes, or formulas, of one answer.
const BETWEEN: usize = 30;

/// Ends of phrases that announce an answer, behind the word "answer" and in lower case; the longest first.
const BEHIND_ANSWER: [&str; 5] = [" is:", " is", "s are", ":", "**"];
/// Other phrases before an answer.
const MARKERS: [&str; 4] = ["####", "solution is", "result is", "\na:"];

/// Returns the answer of a completion, or `None` if none is found that parses as a whole.
pub(crate) fn answer(completion: &str, strict: bool) -> Option<Node> {
    let mut start = completion.len().saturating_sub(LOOKED_AT);
    while !completion.is_char_boundary(start) {
        start += 1;
    }
    let text = completion[start..].split("<|im_start|>").next().unwrap_or("");
    let text = text.split("<|im_end|>").next().unwrap_or("").split("<|endoftext|>").next().unwrap_or("");
    if let Some(boxed) = boxes(text) {
        return value(&boxed);
    }
    if let Some(marked) = after_marker(text) {
        return last_value(marked, true);
    }
    if strict { None } else { last_value(text, false) }
}

/// Returns the value of a gold answer: of the whole text, or of the answer in a solution.
pub(crate) fn gold(text: &str) -> Option<Node> {
    let has_marker = text.contains("\\boxed") || text.contains("####");
    let whole = if has_marker { None } else { value(text) };
    whole.or_else(|| answer(text, false))
}

fn value(text: &str) -> Option<Node> {
    let text = text.trim().trim_end_matches(['.', ',', ';', '*']).trim_start_matches('*').trim();
    (!text.is_empty() && text.len() <= LONGEST).then(|| parse(text)).flatten()
}

/// Returns the content of the last box and of those before it that belong to it, separated by commas.
fn boxes(text: &str) -> Option<String> {
    // The boxes from left to right: where each begins and ends, and its content.
    let mut found: Vec<(usize, usize, &str)> = Vec::new();
    let mut at = 0;
    while let Some(next) = ["\\boxed", "\\fbox"].iter().filter_map(|name| text[at..].find(name)).min() {
        let begin = at + next;
        let name = if text[begin..].starts_with("\\boxed") { 6 } else { 5 };
        let after = text[begin + name..].trim_start();
        let (content, rest) = match group(after) {
            Some((content, rest)) => (content, rest),
            // `\boxed 5`, and a box that is not closed, as the end of its line.
            None => {
                let end = after.find(['$', '\n']).unwrap_or(after.len());
                (after[..end].trim_start_matches('{'), &after[end..])
            }
        };
        at = text.len() - rest.len();
        found.push((begin, at, content));
        if at <= begin {
            break;
        }
    }
    let (_, end, last) = found.pop()?;
    let mut contents = vec![with_percent(last, &text[end..])];
    let mut first = found.len();
    while let Some(previous) = first.checked_sub(1).map(|index| found[index]) {
        let begins =
            found.get(first).map_or_else(|| text.rfind("\\boxed").or(text.rfind("\\fbox")), |next| Some(next.0))?;
        let between = &text[previous.1..begins.max(previous.1)];
        if between.chars().count() > BETWEEN || between.contains('\n') {
            break;
        }
        contents.push(previous.2.to_owned());
        first -= 1;
    }
    contents.reverse();
    Some(contents.join(" , "))
}

/// Returns a box's content with the percent sign that follows it.
fn with_percent(content: &str, after: &str) -> String {
    let after = after.trim_start_matches(['$', ' ', ')', '\\']);
    let percent = after.starts_with('%') || after.starts_with("pct") || after.starts_with("percent");
    if percent { format!("{content}\\%") } else { content.to_owned() }
}

/// Returns the text after the last phrase that announces an answer, to the end of its sentence or line.
fn after_marker(text: &str) -> Option<&str> {
    // As many bytes as the text, so that places are the same in both.
    let lower = text.to_ascii_lowercase();
    let mut answers = lower.rmatch_indices("answer").map(|(at, word)| at + word.len());
    let answer = answers.find_map(|at| {
        let behind = BEHIND_ANSWER.iter().find(|behind| lower[at..].starts_with(**behind))?;
        Some(at + behind.len())
    });
    let others = MARKERS.iter().filter_map(|marker| Some(lower.rfind(marker)? + marker.len()));
    let first = lower.starts_with("a:").then_some(2);
    let end = answer.into_iter().chain(others).chain(first);
    let mut end = end.max()?;
    // "The answer isn't": the whole word, which makes it no answer.
    if text[..end].ends_with(char::is_alphabetic) && text[end..].starts_with(char::is_alphabetic) {
        end = text[..end].rfind(' ').map_or(0, |space| space + 1);
    }
    let rest = text[end..].trim_start_matches([':', '*', ' ', '"', '\n']);
    let line = rest.lines().next().unwrap_or("");
    let sentence = sentence_end(line).map_or(line, |end| &line[..end]);
    let formula = rest.starts_with("$$") || rest.starts_with("\\[");
    (!rest.trim().is_empty()).then_some(if formula { rest } else { sentence })
}

/// Returns the end of the first sentence of a line: a full stop before a space and a capital letter, outside of formulas.
fn sentence_end(line: &str) -> Option<usize> {
    let mut dollars = 0;
    for (at, c) in line.char_indices() {
        dollars += usize::from(c == '$');
        let after = &line[at + c.len_utf8()..];
        if c == '.'
            && dollars % 2 == 0
            && after.starts_with(' ')
            && after.trim_start().starts_with(|c: char| c.is_uppercase())
        {
            return Some(at);
        }
    }
    None
}

/// A part of a text.
#[derive(Clone, Copy)]
struct Part<'a> {
    begin: usize,
    end: usize,
    text: &'a str,
}

/// Returns the value of the last formula, with those before it that belong to it, or of the last number in plain text,
/// whichever comes later. If it is to be `alone`, there is one number in plain text at most, and no "not" before it: several are
/// a hedge.
fn last_value(text: &str, alone: bool) -> Option<Node> {
    let trimmed = text.trim().trim_end_matches(['.', '*']).trim();
    if trimmed.len() <= 200
        && !trimmed.contains('$')
        && let Some(node) = value(trimmed)
        && !matches!(node, Node::Text(_))
    {
        return Some(node);
    }
    let formulas = formulas(text);
    let after = formulas.last().map_or(0, |part| part.end);
    let is_not = |word: &str| word.eq_ignore_ascii_case("not") || word.ends_with("n't") || word.ends_with("n’t");
    let denied = text.split_whitespace().any(is_not);
    if alone && (denied || numbers(&text[after..]) > 1) {
        return None;
    }
    if let Some(node) = plain(&text[after..]) {
        return Some(node);
    }
    let last = formulas.len().checked_sub(1)?;
    let mut first = last;
    while first > 0 {
        let between = text[formulas[first - 1].end..formulas[first].begin].trim();
        if !matches!(between, "," | "and" | "or" | ", and" | ", or" | ";") {
            break;
        }
        first -= 1;
    }
    let joined: Vec<&str> = formulas[first..].iter().map(|part| part.text).collect();
    value(&with_percent(&joined.join(" , "), &text[after..]))
}

/// Returns the formulas of a text, from left to right.
fn formulas(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(next) = text[at..].find(['$', '\\']) {
        let begin = at + next;
        let rest = &text[begin..];
        let Some((open, close)) = [("$$", "$$"), ("$", "$"), ("\\[", "\\]"), ("\\(", "\\)")]
            .into_iter()
            .find(|(open, _)| rest.starts_with(open))
        else {
            // The sign after a backslash begins no formula: `\$`.
            at = begin + 1 + rest[1..].chars().next().map_or(0, char::len_utf8);
            continue;
        };
        let inner = begin + open.len();
        let mut window = text.len().min(inner + LONGEST);
        while !text.is_char_boundary(window) {
            window -= 1;
        }
        let ends = text[inner..window].match_indices(close).map(|(end, _)| inner + end);
        let Some(end) = ends.into_iter().find(|end| close != "$" || !text[..*end].ends_with('\\')) else {
            at = inner;
            continue;
        };
        at = end + close.len();
        if !text[inner..end].trim().is_empty() {
            parts.push(Part { begin, end: at, text: &text[inner..end] });
        }
    }
    parts
}

/// Returns the number of numbers in a text: runs of digits with their separators.
fn numbers(text: &str) -> usize {
    let of_number = |c: char| c.is_ascii_digit() || matches!(c, '.' | ',' | '/' | ':');
    text.split(|c| !of_number(c)).filter(|part| part.contains(|c: char| c.is_ascii_digit())).count()
}

/// Returns the last number of a plain text, with its sign, fraction, percent sign and unit; or a short value behind the last
/// "is" or "=".
fn plain(text: &str) -> Option<Node> {
    let text = text.trim().trim_end_matches("I hope it is correct.").trim_end().trim_end_matches(['.', '*', '$']);
    // A formula that is not marked as one, of which this would be a part.
    if text.lines().next_back().is_some_and(|line| line.contains('\\')) {
        return None;
    }
    for marker in [" is ", "= "] {
        if let Some(at) = text.rfind(marker) {
            let behind = &text[at + marker.len()..];
            if behind.len() <= 100
                && let Some(node) = value(behind)
                && !matches!(node, Node::Text(_))
            {
                return Some(node);
            }
        }
    }
    // The last number that begins at no letter and ends at a letter of no word.
    let numbers = number::numbers(text);
    for (at, &(mut begin, end)) in numbers.iter().enumerate().rev() {
        let before = text[..begin].chars().next_back();
        // Not a part of a word, nor of a number with signs that are not seen.
        let of_word =
            |c: char| c.is_alphanumeric() || c == '_' || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}');
        if before.is_some_and(of_word) {
            continue;
        }
        let behind = at.checked_sub(1).map(|previous| numbers[previous].1);
        let of_number = behind.is_some_and(|behind| {
            !text[behind..begin].contains(char::is_whitespace) && number::continues(&text[behind..], is_unit)
        });
        let hexadecimal = &text[begin..end] == "0" && text[end..].starts_with(['x', 'X']);
        if of_number || hexadecimal || before == Some('^') || number::continues(&text[end..], is_unit) {
            return None;
        }
        let after: String = text[end..].chars().take_while(|c| c.is_alphabetic()).collect();
        if !(after.is_empty() || is_unit(&after)) {
            continue;
        }
        // A minus is a sign unless something is before it to subtract from.
        let unsigned = text[..begin].trim_end_matches(['$', '€', '£']);
        if let Some(sign @ ('-' | '\u{2212}')) = unsigned.chars().next_back() {
            let sign = unsigned.len() - sign.len_utf8();
            let operand = text[..sign].chars().next_back();
            if !operand.is_some_and(|c| c.is_alphanumeric() || c == ')') {
                begin = sign;
            }
        }
        let tail: String = text[end..].chars().take(12).collect();
        let percent =
            if tail.trim_start().starts_with('%') || tail.trim_start().starts_with("percent") { "%" } else { "" };
        return value(&format!("{}{percent}", &text[begin..end]));
    }
    None
}
