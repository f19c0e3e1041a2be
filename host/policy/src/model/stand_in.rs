//! Special tokens within text that must have none: a character stands for each of them until the text is encoded, and then
//! the tokens of its letters.

use std::{borrow::Cow, sync::Arc};

/// The first of the characters that stand for special tokens, in the plane for private use that fonts and texts hardly use.
const FIRST: u32 = 0x10_0000;

/// Bytes of each of the characters.
const BYTES: usize = 4;

/// The special tokens of a tokenizer, each with a character that stands for it.
#[derive(Debug, Clone)]
pub(super) struct StandIns(Arc<[String]>);

impl StandIns {
    /// Takes the special tokens. Those of one letter are left out: a letter is text.
    pub(super) fn new(special: impl Iterator<Item = String>) -> Self {
        let mut special: Vec<String> = special.filter(|token| token.chars().nth(1).is_some()).collect();
        // Of two that begin alike, the longer one is meant.
        special.sort_by(|a, b| (b.len(), a).cmp(&(a.len(), b)));
        Self(special.into())
    }

    /// Replaces special tokens by the characters that stand for them.
    pub(super) fn hide<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut hidden = Cow::Borrowed(text);
        for (index, token) in self.0.iter().enumerate() {
            if let (true, Some(stand_in)) = (hidden.contains(token.as_str()), stand_in(index)) {
                hidden = hidden.replace(token.as_str(), stand_in.encode_utf8(&mut [0; BYTES])).into();
            }
        }
        hidden
    }

    /// Returns a special token that a text quotes.
    pub(super) fn quoted_by(&self, text: &str) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|token| text.contains(token))
    }

    /// Returns the first special token that a character of a text stands for, with the text before and after the character.
    pub(super) fn first<'t>(&self, text: &'t str) -> Option<(&'t str, &str, &'t str)> {
        let found = |(at, character): (usize, char)| Some((at, self.hidden_by(character)?));
        let (at, token) = text.char_indices().find_map(found)?;
        Some((&text[..at], token, &text[at + BYTES..]))
    }

    /// Puts the letters of special tokens in the place of the characters that stand for them, which came out as bytes. `bytes`
    /// are the tokens of the 256 bytes, and `id` is the token of a letter.
    pub(super) fn with_letters(&self, tokens: &[u32], bytes: &[u32], id: impl Fn(&str) -> Option<u32>) -> Vec<u32> {
        let byte = |token: &u32| bytes.iter().position(|byte| byte == token).and_then(|byte| u8::try_from(byte).ok());
        let hidden = |character: &[u32]| {
            let character: Vec<u8> = character.iter().map_while(byte).collect();
            self.hidden_by(std::str::from_utf8(&character).ok()?.chars().next()?)
        };
        let mut result = Vec::with_capacity(tokens.len());
        let mut rest = tokens;
        while let Some((first, others)) = rest.split_first() {
            let found = rest.split_at_checked(BYTES).and_then(|(character, after)| Some((hidden(character)?, after)));
            let Some((token, after)) = found else {
                result.push(*first);
                rest = others;
                continue;
            };
            for letter in token.chars() {
                let letter = if letter == ' ' { '▁' } else { letter }.to_string();
                match id(&letter) {
                    Some(id) => result.push(id),
                    None => result.extend(letter.bytes().map(|byte| bytes[usize::from(byte)])),
                }
            }
            rest = after;
        }
        result
    }

    /// Returns the special token that a character stands for.
    fn hidden_by(&self, character: char) -> Option<&str> {
        let index = u32::from(character).checked_sub(FIRST)?;
        self.0.get(index as usize).map(String::as_str)
    }
}

/// Returns the character that stands for a special token.
fn stand_in(index: usize) -> Option<char> {
    char::from_u32(FIRST.checked_add(u32::try_from(index).ok()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_take_the_place_of_what_stands_for_them() {
        let special = StandIns::new(["<s>", "<s>x", "a", "é "].map(str::to_owned).into_iter());
        assert!(matches!(special.hide("a <s"), Cow::Borrowed(_)));
        let hidden = special.hide("b<s>x<s>é c");
        let (before, token, rest) = special.first(&hidden).unwrap();
        assert_eq!((before, token), ("b", "<s>x"));
        assert_eq!(special.first(rest).unwrap().1, "<s>");
        // A byte's token is its number, and the letters of ASCII have others; "é" has none.
        let bytes: Vec<u32> = (0..256).collect();
        let tokens: Vec<u32> = hidden.bytes().map(u32::from).collect();
        let id = |letter: &str| match letter {
            "▁" => Some(2000),
            ascii => ascii.parse::<char>().ok().filter(char::is_ascii).map(|letter| 1000 + u32::from(letter)),
        };
        let letters = |text: &str| text.chars().map(|letter| 1000 + u32::from(letter)).collect::<Vec<u32>>();
        let expected = [&[98][..], &letters("<s>x"), &letters("<s>"), &[0xC3, 0xA9, 2000], &[99]].concat();
        assert_eq!(special.with_letters(&tokens, &bytes, id), expected);
    }
}
