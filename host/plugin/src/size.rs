//! Bytes of input: what fuel is counted by, and what batches are split by.

use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Answer, Bundle, Group, Prompt};

pub(crate) fn question_size(q: &PromptTexts) -> usize {
    prompt_size(&q.prompt) + q.texts.iter().map(String::len).sum::<usize>()
}

pub(crate) fn bundle_size(bundle: &Bundle) -> usize {
    let answer = |a: &Answer| size_of::<f64>() * (5 + a.scores.len()) + a.key.len();
    let group = |g: &Group| prompt_size(&g.prompt) + g.answers.iter().map(answer).sum::<usize>();
    bundle.id.len() + bundle.groups.iter().map(group).sum::<usize>()
}

fn prompt_size(p: &Prompt) -> usize {
    p.id.len() + p.text.len() + p.gold.as_ref().map_or(0, String::len) + p.metadata.len()
}
