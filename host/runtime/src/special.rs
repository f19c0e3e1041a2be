//! Checks of special tokens at the start of a run: one must end a completion, and one within a question is only text.

use alft_policy::Policy;

use crate::config::RunFile;
use crate::data::{Question, SftExample};
use crate::warning::Warning;

/// Returns the warnings about a run's special tokens.
pub(crate) fn check(
    policy: &Policy,
    config: &RunFile,
    questions: &[&[Question]],
    examples: &[(usize, SftExample)],
) -> Vec<Warning> {
    let endless = policy.eos_tokens().is_empty() && config.sampling.stop.is_empty();
    let ends = endless.then_some(Warning::NothingEndsCompletions { max_new_tokens: config.sampling.max_new_tokens });
    ends.into_iter().chain(in_questions(policy, questions)).chain(in_examples(policy, examples)).collect()
}

/// Returns a warning if questions have texts that look like special tokens.
fn in_questions(policy: &Policy, questions: &[&[Question]]) -> Option<Warning> {
    let quoted = |question: &Question| {
        let texts = question.phrasings().flat_map(|(history, prompt)| {
            history.iter().map(|message| message.content.as_str()).chain([prompt.text.as_str()])
        });
        let token = texts.into_iter().find_map(|text| policy.tokenizer().special_token_in(text))?;
        Some((question.id.clone(), token.to_owned()))
    };
    let mut quoted = questions.iter().copied().flatten().filter_map(quoted);
    let (question, token) = quoted.next()?;
    Some(Warning::SpecialTokensAreText { questions: 1 + quoted.count(), question, token })
}

/// Returns a warning if worked examples have texts that look like special tokens.
fn in_examples(policy: &Policy, examples: &[(usize, SftExample)]) -> Option<Warning> {
    let mut quoted = examples.iter().filter_map(|(line, example)| {
        let texts = [&example.prompt, &example.completion];
        let token = texts.into_iter().find_map(|text| policy.tokenizer().special_token_in(text))?;
        Some((*line, token.to_owned()))
    });
    let (line, token) = quoted.next()?;
    Some(Warning::SpecialTokensInExamples { examples: 1 + quoted.count(), line, token })
}
