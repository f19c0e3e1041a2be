//! Reads the answer by a regular expression, and compares it with the gold answer, or with an expression that right answers
//! match.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for a right answer and else 0.
//!
//! `pattern` compiles expressions within a limit of size. A reader's answers are the captured texts.

mod pattern;

use alft_sdk::question::{gold, quoted};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, answer, export, manifest};

use crate::pattern::{Case, Pattern};

/// Most bytes of an answer. A longer text is none.
const LONGEST: usize = 10_000;

/// The plugin's table in the run file.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Settings {
    /// Expression that finds the answer: its group `answer`, or else its first group, or else the whole match.
    pub pattern: String,
    /// The match that counts.
    #[serde(default)]
    pub occurrence: Occurrence,
    /// Upper and lower case, in expressions and answers.
    #[serde(default)]
    pub case: Case,
    /// Expression that the whole of a right answer matches, in place of the gold answers.
    pub accept: Option<String>,
    /// The form of the gold answers.
    #[serde(default)]
    pub gold: GoldForm,
}

/// The match that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum Occurrence {
    /// The last one.
    #[default]
    Last,
    /// The first one.
    First,
}

/// The form of the gold answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum GoldForm {
    /// The text of the answer.
    #[default]
    Text,
    /// An expression that the whole of a right answer matches.
    Pattern,
}

/// The plugin: its settings, compiled.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "alft_sdk::serde", try_from = "Settings")]
pub struct Regex {
    pattern: Pattern,
    occurrence: Occurrence,
    case: Case,
    accept: Option<Pattern>,
    gold: GoldForm,
}

impl TryFrom<Settings> for Regex {
    type Error = String;

    fn try_from(settings: Settings) -> std::result::Result<Self, String> {
        let Settings { pattern, occurrence, case, accept, gold } = settings;
        if accept.is_some() && gold == GoldForm::Pattern {
            return Err("accept takes the place of the gold answers; leave out either accept or gold".into());
        }
        let compiled =
            |key: &str, result: std::result::Result<Pattern, String>| result.map_err(|error| format!("{key} {error}"));
        Ok(Self {
            pattern: compiled("pattern", Pattern::within(&pattern, case))?,
            occurrence,
            case,
            accept: accept.map(|accept| compiled("accept", Pattern::whole(&accept, case))).transpose()?,
            gold,
        })
    }
}

impl Plugin for Regex {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads the answer by a regular expression and compares it with the gold answer.")
        }
    }
}

impl Reader for Regex {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        let text = answer::visible(completion);
        let found = match self.occurrence {
            Occurrence::Last => self.pattern.captured(text).last(),
            Occurrence::First => self.pattern.captured(text).next(),
        };
        Ok(found.and_then(|found| self.key(found)))
    }
}

impl Verifier for Regex {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let right = match &self.accept {
            Some(accept) => accept.matches(answer),
            None => {
                let gold = gold(prompt)?;
                let unusable = |reason: &str| {
                    format!("the gold answer of prompt {} is {}, which {reason}", prompt.id, quoted(gold))
                };
                let wanted = self.key(gold).ok_or_else(|| unusable("is blank or too long; correct it"))?;
                match self.gold {
                    GoldForm::Text => wanted == answer,
                    GoldForm::Pattern => {
                        Pattern::whole(gold, self.case).map_err(|error| unusable(&error))?.matches(answer)
                    }
                }
            }
        };
        Ok(if right { 1.0 } else { 0.0 })
    }
}

impl Regex {
    /// Returns the key of a captured text; `None` if it is blank or too long.
    fn key(&self, text: &str) -> Option<String> {
        let text = text.trim();
        let usable = !text.is_empty() && text.len() <= LONGEST;
        usable.then(|| match self.case {
            Case::Same => text.to_owned(),
            Case::Either => text.to_lowercase(),
        })
    }
}

export!(Regex: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(Regex: Reader + Verifier);

#[cfg(test)]
mod tests;
