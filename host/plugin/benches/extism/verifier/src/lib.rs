//! The verifier as an alft plugin.

mod overlap;

use alft_sdk::{Manifest, Plugin, Prompt, Result, Verifier, export, manifest};

/// Scores an answer by the words that it shares with the gold answer.
#[derive(serde::Deserialize)]
pub struct Overlap {}

impl Plugin for Overlap {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!("Words shared with the gold answer, F1.") }
    }
}

impl Verifier for Overlap {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        Ok(overlap::overlap(answer, prompt.gold.as_deref().unwrap_or_default()))
    }
}

export!(Overlap: Verifier);
