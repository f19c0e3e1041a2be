//! Reads the last number of a completion and compares it exactly with the gold answer: `0.50`, `1/2` and `2/4` are the
//! same answer, and rounding never makes two answers equal.
//!
//! A number is read whole or not at all: `1.5×10^3`, `1_500` and `3000 / 2` are 1500, and `1.2.3`, `1e3.2` and `2^10`
//! are no numbers. A completion whose last number cannot be read has no answer: neither a part of that number nor an
//! earlier one is taken for it. `docs/verifiers/arithmetic.md` has the spellings.
//!
//! As a verifier it is correctness: U(ν) = w/m Σ_i ⟨r, ν_i⟩, where r is 1 for the value of the gold answer and else 0.

mod number;

use alft_sdk::serde::Deserialize;
use alft_sdk::{Error, Manifest, Plugin, Prompt, Reader, Result, Verifier, export, manifest};

/// The plugin's table in the run file.
#[derive(Debug, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Arithmetic {
    /// Text before the answer, such as `":"` or `"####"`. The rest of the line after its last occurrence must contain
    /// exactly one number. Without a marker the answer is the last number of the completion.
    #[serde(default)]
    pub marker: Option<String>,
}

impl Plugin for Arithmetic {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Reads the last number and compares it exactly with the gold answer.")
        }
    }

    fn check(&self) -> Result<()> {
        if self.marker.as_deref() == Some("") {
            return Err("marker is empty; leave it out to read the last number of the completion".into());
        }
        Ok(())
    }
}

impl Reader for Arithmetic {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        let number = match &self.marker {
            None => number::find(completion).last().flatten(),
            Some(marker) => completion.rsplit_once(marker).and_then(|(_, after)| {
                let mut numbers = number::find(after.trim_start().lines().next().unwrap_or(""));
                // Two numbers are a hedge: no answer.
                numbers.next().filter(|_| numbers.next().is_none()).flatten()
            }),
        };
        Ok(number.map(|number| number.to_string()))
    }
}

impl Verifier for Arithmetic {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let missing = || Error::new(format!("prompt {} has no gold answer; add the key `gold` to it", prompt.id));
        let gold = prompt.gold.as_deref().ok_or_else(missing)?;
        let wanted = number::parse(gold).ok_or_else(|| {
            Error::new(format!("the gold answer of prompt {} is not a number: \"{gold}\"", prompt.id))
        })?;
        Ok(if number::parse(answer) == Some(wanted) { 1.0 } else { 0.0 })
    }
}

export!(Arithmetic: Reader + Verifier);

#[cfg(test)]
alft_conformance::conformance!(Arithmetic: Reader + Verifier);

#[cfg(test)]
mod tests;
