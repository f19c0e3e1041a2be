//! Sizes of inputs and outputs in bytes. Fuel is granted and batches are split by the size of the input.

use alft_sdk::Manifest;
use alft_sdk::bundle::{Answer, Bundle, Group, Prompt};
use alft_sdk::call::{Entries, Output, PromptTexts};
use alft_sdk::roles::Batch;

/// Returns the size of each entry of a batch.
pub(crate) fn entry_bytes(batch: &Batch<'_>) -> Vec<usize> {
    match batch.entries() {
        Entries::Texts(entries) => entries.iter().map(texts_bytes).collect(),
        Entries::Bundles(bundles) => bundles.iter().map(bundle_bytes).collect(),
    }
}

/// Returns the approximate size of an output in memory.
pub(crate) fn output_bytes(output: &Output) -> usize {
    const WORD: usize = size_of::<f64>();
    match output {
        Output::Keys(keys) => {
            let key = |key: &Option<String>| WORD + key.as_ref().map_or(0, String::len);
            keys.iter().map(|keys| WORD + keys.iter().map(key).sum::<usize>()).sum()
        }
        Output::Scores(scores) => scores.iter().map(|scores| WORD + WORD * scores.len()).sum(),
        Output::Valuations(valuations) => {
            let rewards = |rewards: &Vec<f64>| WORD + WORD * rewards.len();
            valuations.iter().map(|valuation| WORD + valuation.rewards.iter().map(rewards).sum::<usize>()).sum()
        }
    }
}

/// Returns the size of a manifest's texts.
pub(crate) fn manifest_bytes(manifest: &Manifest) -> usize {
    manifest.name.len() + manifest.version.len() + manifest.summary.len()
}

fn texts_bytes(entry: &PromptTexts) -> usize {
    prompt_bytes(&entry.prompt) + entry.texts.iter().map(String::len).sum::<usize>()
}

fn bundle_bytes(bundle: &Bundle) -> usize {
    let answer = |a: &Answer| size_of::<f64>() * (5 + a.scores.len()) + a.key.len();
    let group = |g: &Group| prompt_bytes(&g.prompt) + g.answers.iter().map(answer).sum::<usize>();
    bundle.id.len() + bundle.groups.iter().map(group).sum::<usize>()
}

fn prompt_bytes(prompt: &Prompt) -> usize {
    prompt.id.len() + prompt.text.len() + prompt.gold.as_ref().map_or(0, String::len) + prompt.metadata.len()
}
