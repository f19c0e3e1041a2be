//! Reads the last number of a completion and compares it exactly with the gold answer: `0.50`, `1/2` and `2/4` are the
//! same answer, and rounding never makes two answers equal.
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
            None => number::find(completion).last(),
            Some(marker) => completion.rsplit_once(marker).and_then(|(_, after)| {
                let mut numbers = number::find(after.trim_start().lines().next().unwrap_or(""));
                // Two numbers are a hedge: no answer.
                numbers.next().filter(|_| numbers.next().is_none())
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
mod tests {
    use super::*;

    fn read(marker: Option<&str>, completion: &str) -> Option<String> {
        Arithmetic { marker: marker.map(Into::into) }.read(&Prompt::default(), completion).unwrap()
    }

    #[test]
    fn the_last_number_is_the_answer() {
        for (completion, key) in [
            ("She has 3 ducks and 1,234 eggs.", Some("1234")),
            ("so that makes $12.50.", Some("25/2")),
            ("x = -7", Some("-7")),
            ("half of it: 2/4", Some("1/2")),
            ("It costs \u{2212}3 dollars", Some("-3")),
            ("10-3", Some("3")),
            ("0.0", Some("0")),
            ("3/0", Some("0")),
            ("=1.5e3", Some("1500")),
            ("2.5E-1 of it", Some("1/4")),
            ("so 1e99999999999", None),
            ("3 eggs and 2e", Some("2")),
            ("so 11 5/6", Some("71/6")),
            ("so 2 2/3", Some("8/3")),
            ("-1 1/2", Some("-3/2")),
            ("first 7, then 6 9/3", Some("3")),
            ("no number", None),
            ("", None),
        ] {
            assert_eq!(read(None, completion).as_deref(), key, "{completion:?}");
        }
    }

    #[test]
    fn the_line_after_the_marker_has_one_number() {
        for (completion, key) in [
            ("8+7=15,5+2+1=8:85", Some("85")),
            ("1:2:085", Some("85")),
            ("8+7=15", None),
            (":85 or 86", None),
            (":", None),
            (": 85\nis what I get from 58+27", Some("85")),
        ] {
            assert_eq!(read(Some(":"), completion).as_deref(), key, "{completion:?}");
        }
    }

    #[test]
    fn values_are_compared_rather_than_texts() {
        let score = |gold: &str, answer: &str| {
            Arithmetic::default().score(&Prompt { gold: Some(gold.into()), ..Prompt::default() }, answer)
        };
        assert_eq!(score("0.50", "1/2"), Ok(1.0));
        assert_eq!(score("51.0", "51"), Ok(1.0));
        assert_eq!(score("1,000", "1000"), Ok(1.0));
        assert_eq!(score("1e3", "1000"), Ok(1.0));
        assert_eq!(score("123456789012345678901", "123456789012345678900"), Ok(0.0));
        assert_eq!(score("0.3333333333333333", "1/3"), Ok(0.0));
        assert!(score("many", "1").unwrap_err().to_string().contains("is not a number"));
        assert!(Arithmetic::default().score(&Prompt::default(), "1").is_err());
    }
}
