//! A small batch for each role.

use alft_sdk::Prompt;
use alft_sdk::bundle::Bundle;
use alft_sdk::call::PromptTexts;
use alft_sdk::estimate::PlugIn;
use alft_sdk::roles::{Batch, Role};
use alft_sdk::samples::Samples;

/// Returns a small batch for a role.
pub fn batch(role: Role) -> Batch<'static> {
    let prompt = Prompt { id: "q".into(), text: "1 + 1?".into(), gold: Some("2".into()), ..Prompt::default() };
    let texts = vec![PromptTexts { prompt: prompt.clone(), texts: vec!["2".into(), "it is 3/4".into()] }];
    Batch::of_texts(role, texts).unwrap_or_else(|| {
        let keys = [Some("2".to_owned()), Some("3".to_owned()), None];
        Batch::Objective(vec![Bundle::sampled("b", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn)].into())
    })
}
