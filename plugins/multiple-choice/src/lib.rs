//! Reads the letter of a choice, or the text of one that the question lists, and compares it with the gold answer.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for the gold choice and else 0.
//!
//! `verdict` reads the choice that a text decides for, and `choices` knows the letters and texts of a question. A
//! reader's answers are letters in upper case.

mod choices;
mod verdict;

use alft_sdk::answer::{Places, Source, first_sentence};
use alft_sdk::question::{gold, quoted};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};

use crate::choices::Choices;

/// Phrases before an answer, in lower case. "A:" is none: it is a choice.
const PHRASES: [&str; 21] = [
    "final answer is",
    "final answer:",
    "answer is",
    "answer would be",
    "answer should be",
    "answer must be",
    "answer:",
    "answer**:",
    "answer -",
    "correct option is",
    "correct option:",
    "correct choice is",
    "correct choice:",
    "best option is",
    "best choice is",
    "####",
    "\nans:",
    "答案是",
    "答案为",
    "答案:",
    "答案：",
];

/// The plugin's table in the run file.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields, default)]
pub struct MultipleChoice {
    /// Text before the answer, such as `"####"`. The answer is in the rest of the line after its last occurrence.
    pub marker: Option<String>,
    /// Opening and closing tag around the answer, such as `["<answer>", "</answer>"]`.
    pub tags: Option<[String; 2]>,
    /// True to read boxed answers and those behind a phrase such as "the answer is" alone; without it, the last line of a
    /// completion is read too.
    pub strict: bool,
    /// Number of choices of a question whose metadata has no `choices`.
    pub choices: usize,
    /// The form of the gold answers.
    pub gold: GoldForm,
}

/// The form of the gold answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "kebab-case")]
pub enum GoldForm {
    /// A letter, or else the text of a choice.
    #[default]
    Letter,
    /// The text of a choice.
    Text,
    /// The number of a choice, counted from 0.
    ZeroBased,
    /// The number of a choice, counted from 1.
    OneBased,
}

impl Default for MultipleChoice {
    fn default() -> Self {
        Self { marker: None, tags: None, strict: false, choices: 4, gold: GoldForm::default() }
    }
}

impl Plugin for MultipleChoice {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads the letter of a choice and compares it with the gold answer.")
        }
    }

    fn check(&self) -> Result<()> {
        self.places().check()?;
        if !(2..=26).contains(&self.choices) {
            return Err(
                format!("choices is {}; it must be from 2 to 26, as many as there are letters", self.choices).into()
            );
        }
        Ok(())
    }
}

impl Reader for MultipleChoice {
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>> {
        let choices = Choices::of(prompt, self.choices)?;
        let Some(place) = self.places().find(completion) else { return Ok(None) };
        let letter = match place.source {
            Source::Whole => verdict::of_completion(place.text, &choices),
            Source::Phrase => verdict::announced(first_sentence(place.text), place.after, &choices),
            Source::Configured | Source::Boxed => verdict::announced(place.text, "", &choices),
        };
        Ok(letter.map(String::from))
    }
}

impl Verifier for MultipleChoice {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let choices = Choices::of(prompt, self.choices)?;
        let gold = gold(prompt)?;
        let letter = match self.gold {
            GoldForm::Letter => verdict::label(gold, &choices).or_else(|| choices.with_text(gold)),
            GoldForm::Text => choices.with_text(gold),
            GoldForm::ZeroBased => index(gold, 0, &choices),
            GoldForm::OneBased => index(gold, 1, &choices),
        };
        let letter = letter.ok_or_else(|| {
            format!(
                "the gold answer of prompt {} is {}, which is none of its {} choices; correct it, add the texts of the \
                 choices to the question as `choices`, or set gold to \"text\", \"zero-based\" or \"one-based\"",
                prompt.id,
                quoted(gold),
                choices.len()
            )
        })?;
        Ok(if answer.chars().eq([letter]) { 1.0 } else { 0.0 })
    }
}

/// Returns the letter of a choice by its number, counted from `first`.
fn index(text: &str, first: usize, choices: &Choices) -> Option<char> {
    choices.letter(text.trim().parse::<usize>().ok()?.checked_sub(first)?)
}

impl MultipleChoice {
    fn places(&self) -> Places<'_> {
        Places { marker: self.marker.as_deref(), tags: self.tags.as_ref(), strict: self.strict, phrases: &PHRASES }
    }
}

export!(MultipleChoice: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(MultipleChoice: Reader + Verifier);

#[cfg(test)]
mod tests;
