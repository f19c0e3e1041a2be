//! Tests of readers.

use super::calls::shortened;
use super::{Case, Outcome, inputs};
use crate::batch::PromptTexts;

/// A completion that ends in an answer has a key, and another answer has another.
pub(super) fn reads_the_answer(case: &Case<'_>) -> Result<(), Outcome> {
    let question = &case.settings.question;
    let texts: Vec<String> = [&question.gold, &question.wrong].map(|answer| case.settings.completed(answer)).into();
    let keys = case.read(&[PromptTexts { prompt: case.settings.prompt("p"), texts: texts.clone() }])?.remove(0);
    match &keys[..] {
        [Some(right), Some(wrong)] if right != wrong => Ok(()),
        [Some(key), Some(_)] => Err(Outcome::Failed(format!("it reads \"{key}\" from {texts:?}, which differ"))),
        _ => Err(Outcome::Failed(format!(
            "it reads no answer in {texts:?}; if it cannot, give a question and a completion that it can read in kit.json"
        ))),
    }
}

/// The same text has the same key, whatever stands beside it and whichever phrasing asks: answers are compared across
/// the phrasings of a question.
pub(super) fn same_text(case: &Case<'_>) -> Result<(), Outcome> {
    let texts = inputs::completions(case.settings, &mut case.random("same text"));
    let twice: Vec<String> = texts.iter().chain(&texts).cloned().collect();
    let ask = |id: &str| PromptTexts { prompt: case.settings.prompt(id), texts: twice.clone() };
    let keys: Vec<Option<String>> = case.read(&[ask("one"), ask("two")])?.into_iter().flatten().collect();
    for (at, text) in texts.iter().enumerate() {
        let read: Vec<&Option<String>> = keys.iter().skip(at).step_by(texts.len()).collect();
        if let Some(other) = read.iter().find(|key| **key != read[0]) {
            let text = shortened(text);
            return Err(Outcome::Failed(format!("it reads both {:?} and {other:?} from \"{text}\"", read[0])));
        }
    }
    Ok(())
}
