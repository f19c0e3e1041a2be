//! Length: the soft overlong penalty of DAPO. With a maximum L and a buffer B, a completion of length n scores 0 up to
//! L − B, then falls linearly to −1 at L, and scores −1 beyond.
//!
//! A plugin sees text and not tokens, so the length is in characters or words. Set the maximum below the length that the
//! run's token limit allows: a completion that the limit cuts off should be past the maximum already. Source: Yu et al.,
//! *DAPO*, arXiv 2503.14476, equation 13.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Grader, Manifest, Plugin, Prompt, Result, export, manifest};

/// The unit of lengths.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "kebab-case")]
pub enum Unit {
    /// Unicode code points.
    #[default]
    Characters,
    /// Runs of text between white space.
    Words,
}

/// The plugin's table in the run file.
#[derive(Debug, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Length {
    /// L: the maximum length, at least 1.
    pub max: u32,
    /// B: the range below `max` over which the score falls from 0 to −1, at most `max`.
    pub buffer: u32,
    /// Unit of `max` and `buffer`.
    #[serde(default)]
    pub unit: Unit,
}

impl Plugin for Length {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((-1.0, 0.0)),
            ..manifest!("Penalises a completion by up to 1 as its length approaches a maximum.")
        }
    }

    fn check(&self) -> Result<()> {
        if self.max == 0 {
            return Err("max is 0; it must be at least 1".into());
        }
        if self.buffer > self.max {
            return Err(format!("buffer is {}; it must be at most max ({})", self.buffer, self.max).into());
        }
        Ok(())
    }
}

impl Grader for Length {
    fn grade(&self, _: &Prompt, completion: &str) -> Result<f64> {
        let length = match self.unit {
            Unit::Characters => completion.chars().count(),
            Unit::Words => completion.split_whitespace().count(),
        };
        let free = (self.max - self.buffer) as usize;
        Ok(if length <= free {
            0.0
        } else if length >= self.max as usize {
            -1.0
        } else {
            -((length - free) as f64) / f64::from(self.buffer)
        })
    }
}

export!(Length: Grader);

#[cfg(test)]
alft_conformance::conformance!(Length: Grader);

#[cfg(test)]
mod tests {
    use alft_sdk::call::PromptTexts;
    use alft_sdk::{dispatch, roles};

    use super::*;

    fn grade(config: &str, texts: &[String]) -> Vec<f64> {
        let batch = [PromptTexts { prompt: Prompt::default(), texts: texts.to_vec() }];
        dispatch::call::<Length, roles::Grade>(config, &batch).unwrap().remove(0)
    }

    #[test]
    fn the_score_falls_from_0_to_minus_1_over_the_buffer() {
        let texts = [0, 6, 7, 8, 10, 11, 1000].map(|n| "é".repeat(n));
        assert_eq!(grade(r#"{"max": 10, "buffer": 4}"#, &texts), [0.0, 0.0, -0.25, -0.5, -1.0, -1.0, -1.0]);
    }

    #[test]
    fn words_can_be_counted_in_place_of_characters() {
        let texts = ["one two", "one  two\nthree", "one two three four"].map(str::to_owned);
        assert_eq!(grade(r#"{"max": 4, "buffer": 2, "unit": "words"}"#, &texts), [0.0, -0.5, -1.0]);
    }

    #[test]
    fn without_a_buffer_the_maximum_is_the_longest_free_length() {
        let texts = ["ab", "abc"].map(str::to_owned);
        assert_eq!(grade(r#"{"max": 2, "buffer": 0}"#, &texts), [0.0, -1.0]);
    }

    #[test]
    fn a_useless_configuration_is_refused() {
        for (config, words) in [
            ("{}", "missing field `max`"),
            (r#"{"max": 0, "buffer": 0}"#, "at least 1"),
            (r#"{"max": 2, "buffer": 3}"#, "at most max (2)"),
            (r#"{"max": 2, "buffer": 1, "unit": "tokens"}"#, "tokens"),
        ] {
            let error = dispatch::describe::<Length>(config).unwrap_err().to_string();
            assert!(error.contains(words), "{config}: {error}");
        }
    }
}
