//! The texts that end a completion.

use std::collections::HashMap;

use crate::{error::Result, model::tokenizer::Tokenizer};

/// Finds the token that completes a stop text.
#[derive(Debug)]
pub(crate) struct StopTexts<'a> {
    tokenizer: &'a Tokenizer,
    texts: &'a [String],
    /// Length of the longest text, in bytes.
    longest: usize,
    /// For each token that was drawn: true if a stop text can end in it.
    can_end: HashMap<u32, bool>,
}

impl<'a> StopTexts<'a> {
    pub(crate) fn new(tokenizer: &'a Tokenizer, texts: &'a [String]) -> Self {
        let longest = texts.iter().map(String::len).max().unwrap_or(0);
        Self { tokenizer, texts, longest, can_end: HashMap::new() }
    }

    /// Returns true if the last of a completion's tokens completed a stop text.
    pub(crate) fn completed_by_last(&mut self, tokens: &[u32]) -> Result<bool> {
        let Some(&last) = tokens.last().filter(|_| self.longest > 0) else { return Ok(false) };
        let can_end = match self.can_end.get(&last) {
            Some(&known) => known,
            None => {
                let found = self.can_end_in(last)?;
                self.can_end.insert(last, found);
                found
            }
        };
        if !can_end {
            return Ok(false);
        }
        // Each token adds at least one byte, so a stop text lies within as many tokens as it has bytes. A few more tokens are
        // decoded, because a character can be several tokens long.
        let tail = &tokens[tokens.len().saturating_sub(self.longest + 4)..];
        let text = self.tokenizer.decode(tail)?;
        Ok(self.texts.iter().any(|stop| text.contains(stop.as_str())))
    }

    /// Returns false if no stop text can end in a token, so that the tokens before it need not be decoded.
    fn can_end_in(&self, token: u32) -> Result<bool> {
        // Decoded twice, because some tokenizers drop the space that a text begins with.
        let text = self.tokenizer.decode(&[token, token])?;
        // The token is a part of a character if the replacement character stands for it.
        let mut ends = self.texts.iter().filter_map(|stop| stop.chars().next_back());
        Ok(text.contains(char::REPLACEMENT_CHARACTER) || ends.any(|end| text.contains(end)))
    }

    /// Returns the text of a completion up to the first stop text.
    pub(crate) fn cut(&self, mut text: String) -> String {
        if let Some(end) = self.texts.iter().filter_map(|stop| text.find(stop.as_str())).min() {
            text.truncate(end);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::tokenizer::byte_level;

    /// Returns the number of tokens at which a stop text is complete, or `None`.
    fn first(tokenizer: &Tokenizer, stop: &[&str], tokens: &[u32]) -> Option<usize> {
        let texts: Vec<String> = stop.iter().map(|text| text.to_string()).collect();
        let mut stop = StopTexts::new(tokenizer, &texts);
        (1..=tokens.len()).find(|&len| stop.completed_by_last(&tokens[..len]).unwrap())
    }

    #[test]
    fn a_stop_text_ends_at_the_token_that_completes_it() {
        let tokenizer = Tokenizer::from_characters(&["<unk>"], "<unk>", "abc #\n").unwrap();
        let tokens = tokenizer.encode("aab #\n#c").unwrap();
        assert_eq!(first(&tokenizer, &["ab #"], &tokens), Some(5));
        assert_eq!(first(&tokenizer, &["ac", "\n"], &tokens), Some(6));
        assert_eq!(first(&tokenizer, &["##", "ca"], &tokens), None);
        assert_eq!(first(&tokenizer, &[], &tokens), None);
    }

    #[test]
    fn a_stop_text_may_end_within_a_token_and_in_a_character_of_several_tokens() {
        // Ã and ¤ are the bytes C3 and A4 of "ä" in the alphabet of byte-level tokenizers.
        let vocabulary = ["a", "b", "ab", "Ġ", "Ã", "¤"];
        let tokenizer = byte_level(&vocabulary, &["a b"], &[]);
        assert_eq!(first(&tokenizer, &["ba"], &[1, 3, 1, 2]), Some(4));
        assert_eq!(first(&tokenizer, &["bä"], &[0, 1, 4, 5, 0]), Some(4));
        assert_eq!(first(&tokenizer, &[" "], &[0, 3]), Some(2));
    }

    #[test]
    fn a_text_is_cut_at_its_first_stop_text() {
        let tokenizer = Tokenizer::from_characters(&["<unk>"], "<unk>", "abc").unwrap();
        let texts = ["c".to_owned(), "bc".to_owned()];
        assert_eq!(StopTexts::new(&tokenizer, &texts).cut("aabca".to_owned()), "aa");
    }
}
