//! Tests of readers.

use alft_sdk::call::PromptTexts;

use crate::calls::quoted;
use crate::case::Case;
use crate::inputs;
use crate::outcome::Outcome;

/// A completion with an answer has a key, and a completion with another answer has another key.
pub(crate) fn reads_the_answer(case: &Case<'_>) -> Result<(), Outcome> {
    let question = &case.settings.question;
    let texts: Vec<String> = [&question.gold, &question.wrong].map(|answer| case.settings.completed(answer)).into();
    let keys = case.read(vec![case.entry(texts.clone())])?.remove(0);
    match &keys[..] {
        [Some(right), Some(wrong)] if right != wrong => Ok(()),
        [Some(key), Some(_)] => {
            let (key, one, other) = (quoted(key), quoted(&texts[0]), quoted(&texts[1]));
            Err(Outcome::Failed(format!("it reads {key} from each of {one} and {other}, whose answers differ")))
        }
        _ => Err(Outcome::Failed(format!(
            "it reads no answer in {} or {}; if it cannot, set a question and a completion that it can read in kit.json",
            quoted(&texts[0]),
            quoted(&texts[1])
        ))),
    }
}

/// Equal texts have equal keys in every position and for every phrasing: answers are compared across phrasings.
pub(crate) fn same_text(case: &Case<'_>) -> Result<(), Outcome> {
    let texts = inputs::completions(case.settings, &mut case.random("same text"));
    let twice: Vec<String> = texts.iter().chain(&texts).cloned().collect();
    let entry = |id: &str| PromptTexts { prompt: case.settings.prompt(id), texts: twice.clone() };
    let keys: Vec<Option<String>> = case.read(vec![entry("one"), entry("two")])?.into_iter().flatten().collect();
    for (at, text) in texts.iter().enumerate() {
        let read: Vec<&Option<String>> = keys.iter().skip(at).step_by(texts.len()).collect();
        if let Some(other) = read.iter().find(|key| **key != read[0]) {
            let [one, other] = [read[0], *other].map(|key| key.as_deref().map_or("no answer".into(), quoted));
            return Err(Outcome::Failed(format!("it reads both {one} and {other} from {}", quoted(text))));
        }
    }
    Ok(())
}
