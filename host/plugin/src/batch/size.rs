//! Sizes of inputs and outputs in bytes. Fuel is granted and batches are split by the size of the input.

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
        Output::Keys(keys) => keys.iter().flatten().map(|key| WORD + key.as_ref().map_or(0, String::len)).sum(),
        Output::Scores(scores) => scores.iter().map(|scores| WORD * scores.len()).sum(),
        Output::Valuations(valuations) => {
            valuations.iter().flat_map(|valuation| &valuation.rewards).map(|rewards| WORD + WORD * rewards.len()).sum()
        }
    }
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
