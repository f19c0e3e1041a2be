//! Inputs of a given size, for benchmarks.

use alft_sdk::call::{PromptTexts, Takes};
use alft_sdk::roles::{Batch, Role};

use crate::case::texts_batch;
use crate::inputs::{Random, counted};
use crate::settings::Settings;

/// Makes a batch of one entry for `role`, with random contents.
///
/// For an objective, the entry is a bundle of one prompt with `count` samples. For any other role, it is a prompt with
/// `count` texts of about `bytes` bytes that end in an answer.
pub fn batch(settings: &Settings, role: Role, count: usize, bytes: usize, seed: u64) -> Batch<'static> {
    let random = &mut Random::new(seed, "load");
    if role.takes() == Takes::Bundles {
        let keys = (0..count).map(|_| Some(settings.answers[random.below(settings.answers.len())].clone())).collect();
        return Batch::Objective(vec![counted(settings, &[keys], random)].into());
    }
    let text = |_| {
        let answer = random.below(1000).to_string();
        let end = if role.takes() == Takes::Answers { answer } else { settings.completed(&answer) };
        let words = "so the sum is carried over and then ".chars().cycle();
        words.take(bytes.saturating_sub(end.len() + 1)).chain([' ']).chain(end.chars()).collect()
    };
    let entry = PromptTexts { prompt: settings.prompt("p"), texts: (0..count).map(text).collect() };
    texts_batch(role, vec![if role == Role::Reader { entry.without_gold() } else { entry }])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_have_the_given_size() {
        let settings = Settings::default();
        let Batch::Reader(entries) = batch(&settings, Role::Reader, 8, 200, 0) else { panic!("another role") };
        assert!(entries[0].prompt.gold.is_none());
        assert_eq!(entries[0].texts.len(), 8);
        assert!(entries[0].texts.iter().all(|text| text.len() == 200 && text.contains("The answer is: ")));
        let Batch::Objective(bundles) = batch(&settings, Role::Objective, 8, 200, 0) else { panic!("another role") };
        assert_eq!(bundles[0].groups[0].size, 8);
    }
}
