//! The check of gold answers at the start of a run: a question that a verifier cannot judge is told before hours are spent.

use std::time::{Duration, Instant};

use alft_plugin_host::{Failure, FailureKind};
use alft_sdk::Prompt;
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::roles::{Batch, Role};
use alft_text::Foreign;
use serde_json::{Map, Value};

use crate::data::Question;
use crate::plugins::{PluginSet, RunPlugin};
use crate::warning::Warning;

/// Prompts of a batch.
const BATCH: usize = 256;
/// No batch begins after so long: with a slow verifier, the first questions have to do.
const LONGEST: Duration = Duration::from_secs(5);

/// Asks every verifier about the gold answer of every prompt, and about an empty answer where there is none. Returns a warning
/// for each that cannot judge some.
pub(crate) fn check(questions: &[&[Question]], plugins: &PluginSet) -> Vec<Warning> {
    let prompts: Vec<&Prompt> = questions.iter().copied().flatten().flat_map(|question| &question.prompts).collect();
    let (_, reader) = plugins.reader();
    let check = |verifier: &RunPlugin| {
        let begun = Instant::now();
        let (mut checked, mut failed, mut first) = (0, 0, None);
        for batch in prompts.chunks(BATCH).take_while(|_| begun.elapsed() < LONGEST) {
            let failures = failures(batch, reader, verifier);
            checked += batch.len();
            failed += failures.len();
            let hinted = |(prompt, error): (&Prompt, String)| format!("{error}{}", hint(prompt));
            first = first.or_else(|| failures.into_iter().next().map(hinted));
        }
        let total = prompts.len();
        first.map(|first| Warning::GoldAnswers { verifier: verifier.name.clone(), failed, checked, total, first })
    };
    plugins.with_role(Role::Verifier).filter_map(|(_, verifier)| check(verifier)).collect()
}

/// Returns the errors of a verifier on the gold answers of some prompts. Other failures, such as a deadline, say nothing about
/// them.
fn failures<'a>(prompts: &[&'a Prompt], reader: &RunPlugin, verifier: &RunPlugin) -> Vec<(&'a Prompt, String)> {
    let golds = prompts.iter().map(|prompt| prompt.gold.clone().unwrap_or_default()).collect::<Vec<_>>();
    let entry = |prompt: &Prompt, text: &String| PromptTexts { prompt: prompt.clone(), texts: vec![text.clone()] };
    let entries =
        prompts.iter().zip(&golds).map(|(prompt, gold)| entry(prompt, gold).without_gold()).collect::<Vec<_>>();
    let keys = reader.scorer.call(&Batch::Reader(entries.into())).items.into_iter().zip(golds);
    let answers = keys.map(|(item, gold)| match item {
        Ok(Item::Key(Some(key))) => key,
        _ => gold,
    });
    let entries = prompts.iter().zip(answers).map(|(prompt, answer)| entry(prompt, &answer)).collect::<Vec<_>>();
    let items = verifier.scorer.call(&Batch::Verifier(entries.into())).items;
    let error = |failure: Failure| (failure.kind == FailureKind::Error).then(|| failure.words().to_owned());
    prompts.iter().zip(items).filter_map(|(prompt, item)| Some((*prompt, error(item.err()?)?))).collect()
}

/// Names the key under which the gold answer of a prompt without one may stand.
fn hint(prompt: &Prompt) -> String {
    const NAMES: [&str; 6] = ["answer", "solution", "label", "target", "ground_truth", "correct_answer"];
    let metadata: Map<String, Value> = serde_json::from_str(&prompt.metadata).unwrap_or_default();
    let is_near = |key: &&String| {
        let key = key.to_lowercase();
        let distance = |name| strsim::damerau_levenshtein(&key, name);
        NAMES.contains(&key.as_str()) || distance("gold") <= 1 || distance("reference") <= 2
    };
    match metadata.keys().find(is_near) {
        Some(key) if prompt.gold.is_none() => {
            format!("; its line has the key `{}`: name it `gold` if that is the right answer", Foreign::new(key))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gold_answer_under_another_name_is_pointed_out() {
        let hint = |metadata: &str| hint(&Prompt { metadata: metadata.into(), ..Prompt::default() });
        for key in ["answer", "referense", "Gold", "Ground_Truth"] {
            assert!(hint(&format!(r#"{{"level": 1, "{key}": "2"}}"#)).contains(&format!("`{key}`")), "{key}");
        }
        assert_eq!(hint(r#"{"level": 1, "source": "book"}"#), "");
    }
}
