//! Reads a mathematical answer, in LaTeX or plain text, and compares its value with that of the gold answer: `\frac12`,
//! `0.5` and `2/4` are the same answer, and so are `\sec^2 y` and `\tan^2(y) + 1`.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for the value of the gold answer and else 0.
//!
//! `extract` finds the text of the answer, with the ends of numbers by `number`, `parse` makes a tree of it, and `key`
//! gives each value one text. A reader's answers are such keys, so answers with one value are one answer. `compare`
//! accepts a few values besides: rounded ones, percentages, and intervals for inequalities.

mod command;
mod compare;
mod complex;
mod decimal;
mod evaluate;
mod exact;
mod extract;
mod factor;
mod fingerprint;
mod hash;
mod key;
mod node;
mod number;
mod parse;
mod primary;
mod real;
mod solve;
mod token;
mod vocabulary;
mod work;

use alft_sdk::serde::Deserialize;
use alft_sdk::{Error, Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};

use crate::{key::key, node::Node};

/// The plugin's table in the run file.
#[derive(Debug, Clone, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields, default)]
pub struct Math {
    /// True to read only boxed answers and those behind a phrase such as "the answer is"; without it, the last formula or
    /// number of a completion is read too.
    pub strict: bool,
    /// Significant digits from which a decimal number is accepted for the number that it is rounded from; 0 for never.
    pub rounding: u32,
    /// The numbers that are accepted for a percentage.
    pub percent: PercentRule,
    /// The intervals that are accepted for an inequality, and the other way round.
    pub relations: RelationRule,
}

/// The numbers that are accepted for a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum PercentRule {
    /// 28% is answered by 28%, 28 and 0.28, and 28 by 28%.
    #[default]
    Either,
    /// 28% is answered by 28% alone.
    Same,
}

/// The intervals that are accepted for an inequality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum RelationRule {
    /// `x < 3` is answered by (−∞, 3), and (−∞, 3) by `x < 3`.
    #[default]
    Either,
    /// `x < 3` is answered by (−∞, 3), but not the other way round.
    Gold,
    /// Neither.
    Same,
}

impl Default for Math {
    fn default() -> Self {
        Self { strict: false, rounding: 6, percent: PercentRule::default(), relations: RelationRule::default() }
    }
}

impl Plugin for Math {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads a mathematical answer and compares its value with the gold answer's.")
        }
    }

    fn check(&self) -> Result<()> {
        if self.rounding > 30 {
            return Err(format!("rounding is {}; a key has 30 digits, so it must be at most 30", self.rounding).into());
        }
        Ok(())
    }
}

impl Reader for Math {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        Ok(extract::answer(completion, self.strict).and_then(|node| Some(key(&node)?.text)))
    }
}

impl Verifier for Math {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let gold = self.gold(prompt)?;
        Ok(if compare::accepts(self, &gold, answer) { 1.0 } else { 0.0 })
    }
}

/// A gold answer with its key.
struct Gold {
    value: Node,
    key: String,
}

impl Math {
    /// Returns a prompt's gold answer.
    fn gold(&self, prompt: &Prompt) -> Result<Gold> {
        let missing = || Error::new(format!("prompt {} has no gold answer; add the key `gold` to it", prompt.id));
        let gold = prompt.gold.as_deref().ok_or_else(missing)?;
        let unread = || {
            Error::new(format!(
                "the gold answer of prompt {} is no mathematical value: \"{}\"; write it as LaTeX or plain text, or leave the \
                 question to another verifier",
                prompt.id,
                gold.chars().take(80).collect::<String>()
            ))
        };
        let value = extract::gold(gold).ok_or_else(unread)?;
        let key = key(&value).ok_or_else(unread)?.text;
        Ok(Gold { value, key })
    }
}

export!(Math: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(Math: Reader + Verifier);

#[cfg(test)]
mod tests;
