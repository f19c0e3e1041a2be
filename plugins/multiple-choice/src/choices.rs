//! The choices of a question: their letters, and their texts if its metadata lists them.

use alft_sdk::answer::{bare, unwrapped};
use alft_sdk::question::metadata;
use alft_sdk::serde::Deserialize;
use alft_sdk::{Prompt, Result};

/// The choices of a question.
#[derive(Debug)]
pub(crate) struct Choices {
    count: usize,
    /// Comparable texts, one for each choice; none if the question does not list them.
    texts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct Metadata {
    choices: Option<Vec<String>>,
}

impl Choices {
    /// Returns the choices of a prompt, or `default` choices without texts.
    ///
    /// # Errors
    /// The metadata's `choices` are no list of texts, or not between 2 and 26.
    pub(crate) fn of(prompt: &Prompt, default: usize) -> Result<Self> {
        let Some(texts) = metadata::<Metadata>(prompt)?.choices else {
            return Ok(Self { count: default, texts: Vec::new() });
        };
        if !(2..=26).contains(&texts.len()) {
            return Err(format!("prompt {} has {} choices; list from 2 to 26", prompt.id, texts.len()).into());
        }
        Ok(Self { count: texts.len(), texts: texts.iter().map(|text| comparable(text)).collect() })
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns the letter of the choice at an index.
    pub(crate) fn letter(&self, index: usize) -> Option<char> {
        (index < self.count).then(|| char::from(b'A' + index as u8))
    }

    /// Returns a character, in either case and width, as the letter of a choice.
    pub(crate) fn with_letter(&self, c: char) -> Option<char> {
        self.letter((narrow(c).to_ascii_uppercase() as usize).checked_sub('A' as usize)?)
    }

    /// Returns the letter of the choice with this text; `None` if there is none, or more than one.
    pub(crate) fn with_text(&self, text: &str) -> Option<char> {
        let text = comparable(text);
        let mut same = (0..self.texts.len()).filter(|at| !text.is_empty() && self.texts[*at] == text);
        self.letter(same.next().filter(|_| same.next().is_none())?)
    }
}

/// Returns a full-width character of ASCII in its usual width: Chinese texts have `（Ｂ）`.
pub(crate) fn narrow(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        _ => c,
    }
}

/// Returns a text without differences of case, white space, emphasis and final stop.
fn comparable(text: &str) -> String {
    bare(unwrapped(text)).to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ")
}
