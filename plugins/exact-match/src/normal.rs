//! The normalisation of a text: the differences that a configuration ignores.

use alft_sdk::answer::bare;
use alft_sdk::serde::Deserialize;
use unicode_normalization::UnicodeNormalization;

/// The rule for a difference between texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum Difference {
    /// Texts that differ in it are different answers.
    #[default]
    Same,
    /// Texts that differ in it are the same answer.
    Either,
}

/// The rule for punctuation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum Punctuation {
    /// The signs that end a sentence, quotes and marks of emphasis are removed from the ends of an answer.
    #[default]
    Ends,
    /// Nothing is removed.
    Same,
    /// All punctuation of ASCII is removed, as in SQuAD, and typographic quotes, dashes and ellipses.
    Either,
}

/// The rule for characters that Unicode can write in several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum Unicode {
    /// Composed and decomposed characters are the same.
    #[default]
    Nfc,
    /// So are characters of the same meaning: `ﬁ` and `fi`, `²` and `2`, full-width letters.
    Nfkc,
    /// Code points are compared.
    Same,
}

/// The differences between texts that are ignored.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normal {
    pub(crate) case: Difference,
    pub(crate) punctuation: Punctuation,
    pub(crate) articles: Difference,
    pub(crate) unicode: Unicode,
}

impl Normal {
    /// Returns the normalised text. White space is always a single space, and removed from the ends.
    pub(crate) fn of(self, text: &str) -> String {
        let text: String = match self.unicode {
            Unicode::Nfc => text.nfc().collect(),
            Unicode::Nfkc => text.nfkc().collect(),
            Unicode::Same => text.to_owned(),
        };
        let text = if self.case == Difference::Either { text.to_lowercase() } else { text };
        let text = match self.punctuation {
            Punctuation::Same => text,
            Punctuation::Ends => bare(&text).to_owned(),
            Punctuation::Either => text.chars().filter(|c| !is_punctuation(*c)).collect(),
        };
        let is_article = |word: &str| ["a", "an", "the"].iter().any(|article| word.eq_ignore_ascii_case(article));
        let words: Vec<&str> = text.split_whitespace().collect();
        // An answer that is an article, such as the letter A, is not removed.
        let removed = self.articles == Difference::Either && !words.iter().all(|word| is_article(word));
        let words: Vec<&str> = words.into_iter().filter(|word| !removed || !is_article(word)).collect();
        words.join(" ")
    }
}

fn is_punctuation(c: char) -> bool {
    c.is_ascii_punctuation() || matches!(c, '‘' | '’' | '“' | '”' | '«' | '»' | '–' | '—' | '…' | '¿' | '¡')
}
