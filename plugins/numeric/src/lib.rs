//! Reads a number with its unit, and compares it with the gold answer, exactly or within a tolerance: `1 km`, `1000 m` and
//! `1.0e3 m` are one answer.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for an answer within the tolerance and else 0.
//!
//! `plain` removes the marks of LaTeX, `number` reads a number, `unit` a unit by its `table`, and `quantity` both of them
//! in a text. A reader's answers are fractions in base units. `compare` has the tolerance, which is a rule of the verifier
//! alone: answers that differ within it are different answers with the same score.

mod compare;
mod number;
mod plain;
mod quantity;
mod rule;
mod table;
mod unit;

use alft_sdk::answer::{Places, Source, first_sentence, last_box};
use alft_sdk::question::{gold, metadata, quoted};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};

use crate::compare::{Tolerance, accepts};
use crate::quantity::{Quantity, announced, last};
pub use crate::rule::{PercentRule, UnitRule};
use crate::unit::Unit;

/// The plugin's table in the run file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields, default)]
pub struct Numeric {
    /// Text before the answer, such as `"####"`. The answer is in the rest of the line after its last occurrence.
    pub marker: Option<String>,
    /// Opening and closing tag around the answer, such as `["<answer>", "</answer>"]`.
    pub tags: Option<[String; 2]>,
    /// True to read boxed answers and those behind a phrase such as "the answer is" alone; without it, the last number of
    /// a completion is read too.
    pub strict: bool,
    /// Largest accepted difference from the gold answer, in its unit.
    pub absolute: f64,
    /// Largest accepted difference from the gold answer, as a share of it.
    pub relative: f64,
    /// Significant digits to which an answer must agree with the gold answer; 0 for all.
    pub rounding: u32,
    /// The rule for units.
    pub units: UnitRule,
    /// The numbers that are accepted for a percentage.
    pub percent: PercentRule,
}

/// The keys of a question's metadata.
#[derive(Deserialize)]
#[serde(crate = "alft_sdk::serde")]
struct Metadata {
    /// The unit of numbers without one.
    unit: Option<String>,
    absolute: Option<f64>,
    relative: Option<f64>,
    rounding: Option<u32>,
}

impl Plugin for Numeric {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads a number with its unit and compares it with the gold answer.")
        }
    }

    fn check(&self) -> Result<()> {
        self.places().check()?;
        Tolerance::new(self.absolute, self.relative, self.rounding).map(|_| ())
    }
}

impl Reader for Numeric {
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>> {
        let unit = self.unit(prompt)?;
        let Some(place) = self.places().find(completion) else { return Ok(None) };
        let quantity = match place.source {
            Source::Whole => last(place.text, &prompt.text, self.units),
            Source::Phrase => announced(first_sentence(place.text), self.units),
            Source::Configured | Source::Boxed => announced(place.text, self.units),
        };
        Ok(quantity.map(|quantity| quantity.with_default(unit.as_ref()).key()))
    }
}

impl Verifier for Numeric {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let gold = self.gold(prompt)?;
        let keys: Metadata = metadata(prompt)?;
        let tolerance = Tolerance::new(
            keys.absolute.unwrap_or(self.absolute),
            keys.relative.unwrap_or(self.relative),
            keys.rounding.unwrap_or(self.rounding),
        );
        let tolerance = tolerance.map_err(|error| format!("the metadata of prompt {}: {error}", prompt.id))?;
        let accepted = accepts(&gold, answer, &tolerance, self.units, self.percent);
        // A number whose unit the question does not tell is neither right nor wrong.
        if accepted.is_none() && keys.unit.is_none() {
            return Err(format!(
                "the answer {} to prompt {} has a unit and its gold answer has none; add the unit of plain numbers to the \
                 question as `unit` (\"\" for none), or set units to \"ignored\"",
                quoted(answer),
                prompt.id
            )
            .into());
        }
        Ok(if accepted == Some(true) { 1.0 } else { 0.0 })
    }
}

impl Numeric {
    fn places(&self) -> Places<'_> {
        Places { marker: self.marker.as_deref(), tags: self.tags.as_ref(), strict: self.strict, ..Places::default() }
    }

    /// Returns the unit of a question's plain numbers, if its metadata has one and units are read.
    fn unit(&self, prompt: &Prompt) -> Result<Option<Unit>> {
        let unit = metadata::<Metadata>(prompt)?.unit.filter(|unit| !unit.trim().is_empty());
        let Some(text) = unit.filter(|_| self.units != UnitRule::Ignored) else { return Ok(None) };
        match Unit::parse(&plain::plain(&text)) {
            Some(unit) => Ok(Some(unit)),
            None => Err(format!(
                "the unit of prompt {} is {}, which is none of the known units; correct it, or set units to \"ignored\"",
                prompt.id,
                quoted(&text)
            )
            .into()),
        }
    }

    /// Returns a prompt's gold answer: a number, or a solution with a marked one.
    fn gold(&self, prompt: &Prompt) -> Result<Quantity> {
        let text = gold(prompt)?;
        let marked = last_box(text).map(|(content, _)| content).or_else(|| Some(text.rsplit_once("####")?.1));
        let quantity = announced(marked.unwrap_or(text), self.units).ok_or_else(|| {
            format!(
                "the gold answer of prompt {} is {}, which is not a number with or without a known unit; correct it, or \
                 leave the question to another verifier",
                prompt.id,
                quoted(text)
            )
        })?;
        Ok(quantity.with_default(self.unit(prompt)?.as_ref()))
    }
}

export!(Numeric: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(Numeric: Reader + Verifier);

#[cfg(test)]
mod tests;
