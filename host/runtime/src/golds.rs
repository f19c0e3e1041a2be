//! The check of gold answers at the start of a run: a question that a verifier cannot judge is told before hours are spent.

use std::time::{Duration, Instant};

use alft_plugin_host::{Failure, FailureKind};
use alft_sdk::Prompt;
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::roles::{Batch, Role};

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
            first = first.or_else(|| failures.into_iter().next());
        }
        let total = prompts.len();
        first.map(|first| Warning::GoldAnswers { verifier: verifier.name.clone(), failed, checked, total, first })
    };
    plugins.with_role(Role::Verifier).filter_map(|(_, verifier)| check(verifier)).collect()
}

/// Returns the errors of a verifier on the gold answers of some prompts. Other failures, such as a deadline, say nothing about
/// them.
fn failures(prompts: &[&Prompt], reader: &RunPlugin, verifier: &RunPlugin) -> Vec<String> {
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
    let error = |failure: Failure| (failure.kind == FailureKind::Error).then_some(failure.detail);
    items.into_iter().filter_map(|item| error(item.err()?)).collect()
}
