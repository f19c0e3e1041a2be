//! Inputs of a given size, to measure with.

use super::inputs::{Random, counted};
use super::{Role, Settings};
use crate::batch::PromptTexts;
use crate::bundle::Bundle;

/// A question with `count` texts of about `bytes` bytes, each ending in an answer: completions for a reader, answers for
/// a verifier.
pub fn question(settings: &Settings, role: Role, count: usize, bytes: usize, seed: u64) -> PromptTexts {
    let random = &mut Random::new(seed, "load");
    let text = |_| {
        let answer = random.below(1000).to_string();
        let end = if role == Role::Reader { settings.completed(&answer) } else { answer };
        let words = "so the sum is carried over and then ".chars().cycle();
        words.take(bytes.saturating_sub(end.len() + 1)).chain([' ']).chain(end.chars()).collect()
    };
    let question = PromptTexts { prompt: settings.prompt("p"), texts: (0..count).map(text).collect() };
    if role == Role::Reader { question.without_gold() } else { question }
}

/// A bundle of one prompt whose `count` completions gave the settings' answers.
pub fn bundle(settings: &Settings, count: usize, seed: u64) -> Bundle {
    let random = &mut Random::new(seed, "load");
    let keys = (0..count).map(|_| Some(settings.answers[random.below(settings.answers.len())].clone())).collect();
    counted(settings, &[keys], random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_the_size_that_was_asked_for() {
        let settings = Settings::default();
        let question = question(&settings, Role::Reader, 8, 200, 0);
        assert_eq!(question.texts.len(), 8);
        assert!(question.texts.iter().all(|text| text.len() == 200 && text.contains("The answer is: ")));
        assert_eq!(bundle(&settings, 8, 0).groups[0].size, 8);
    }
}
