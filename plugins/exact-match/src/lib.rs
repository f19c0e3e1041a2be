//! Reads a short text as the answer, and compares it with the gold answers by equality, after a normalisation that the
//! configuration sets: case, punctuation, articles, white space and the forms of Unicode.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for a gold answer and else 0.
//!
//! A reader's answers are normalised texts, so texts that the configuration does not tell apart are one answer.

mod normal;

use alft_sdk::answer::{self, Places, Source};
use alft_sdk::question::{gold, metadata, quoted};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};

use crate::normal::{Difference, Normal, Punctuation, Unicode};

/// Most bytes of an answer. A longer text is none.
const LONGEST: usize = 10_000;

/// The plugin's table in the run file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields, default)]
pub struct ExactMatch {
    /// Text before the answer, such as `"####"`. The answer is the rest of the line after its last occurrence.
    pub marker: Option<String>,
    /// Opening and closing tag around the answer, such as `["<answer>", "</answer>"]`.
    pub tags: Option<[String; 2]>,
    /// True to read boxed answers and those behind a phrase such as "the answer is" alone; without it, the last line of a
    /// completion is read too.
    pub strict: bool,
    /// True to read the whole completion as the answer.
    pub whole: bool,
    /// Upper and lower case.
    pub case: Difference,
    /// Signs beside letters and digits.
    pub punctuation: Punctuation,
    /// The words "a", "an" and "the".
    pub articles: Difference,
    /// Characters that Unicode can write in several ways.
    pub unicode: Unicode,
}

/// The gold answers in a question's metadata.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct Metadata {
    #[serde(default)]
    golds: Vec<String>,
}

impl Plugin for ExactMatch {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads a short text and compares it, normalised, with the gold answers.")
        }
    }

    fn check(&self) -> Result<()> {
        self.places().check()?;
        if self.whole && (self.strict || self.marker.is_some() || self.tags.is_some()) {
            return Err("whole reads the completion as the answer; leave out strict, marker and tags".into());
        }
        Ok(())
    }
}

impl Reader for ExactMatch {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        if self.whole {
            return Ok(self.key(answer::visible(completion)));
        }
        let Some(place) = self.places().find(completion) else { return Ok(None) };
        Ok(self.key(match place.source {
            Source::Configured | Source::Boxed => place.text,
            Source::Phrase => answer::first_sentence(place.text),
            Source::Whole => answer::last_line(place.text),
        }))
    }
}

impl Verifier for ExactMatch {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let golds = metadata::<Metadata>(prompt)?.golds;
        let mut texts: Vec<&str> = golds.iter().map(String::as_str).collect();
        // A question with a list may do without `gold`.
        if texts.is_empty() || prompt.gold.is_some() {
            texts.push(gold(prompt)?);
        }
        let mut right = false;
        for text in texts {
            let unusable = || {
                format!(
                    "a gold answer of prompt {} is {}, which is longer than {LONGEST} bytes or nothing once it is \
                     normalised; shorten it, or set punctuation, articles and unicode to \"same\"",
                    prompt.id,
                    quoted(text)
                )
            };
            right |= self.key(text).ok_or_else(unusable)? == answer;
        }
        Ok(if right { 1.0 } else { 0.0 })
    }
}

impl ExactMatch {
    fn places(&self) -> Places<'_> {
        Places { marker: self.marker.as_deref(), tags: self.tags.as_ref(), strict: self.strict, ..Places::default() }
    }

    /// Returns the normalised text of an answer; `None` if it is too long or empty.
    fn key(&self, text: &str) -> Option<String> {
        if text.trim().len() > LONGEST {
            return None;
        }
        let normal =
            Normal { case: self.case, punctuation: self.punctuation, articles: self.articles, unicode: self.unicode };
        Some(normal.of(answer::unwrapped(text))).filter(|key| !key.is_empty() && key.len() <= LONGEST)
    }
}

export!(ExactMatch: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(ExactMatch: Reader + Verifier);

#[cfg(test)]
mod tests;
