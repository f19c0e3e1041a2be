//! Tests with hostile inputs. An error is a fair reply to them; a crash, a NaN or a wrong shape is not.

use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::call::{PromptTexts, Takes};
use alft_sdk::roles::Batch;

use super::tolerance::tolerated;
use crate::case::{Case, texts_batch};
use crate::hostile_texts::{self, Named};
use crate::inputs;
use crate::outcome::Outcome;

/// Bytes of a huge text.
const HUGE: usize = 1 << 20;
/// Texts of a huge batch, or answers of a huge bundle.
const MANY: usize = 5000;
/// Bytes of a huge batch of texts, each with its question: the host may split it into as many calls. Where the question or the
/// completion is long, it has fewer texts.
const MANY_BYTES: usize = 8 << 20;

/// Empty batches, texts and groups.
pub(crate) fn empty(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("empty");
    let none = |n: usize| vec![None; n];
    let some = |key: &str, n: usize| vec![Some(key.to_owned()); n];
    let answer = case.settings.answers[0].as_str();
    let batches = case.batches(|role| match role.takes() {
        Takes::Bundles => {
            let mut bundle = |keys: &[Vec<Option<String>>]| {
                Batch::Objective(vec![inputs::counted(case.settings, keys, random)].into())
            };
            vec![
                Batch::Objective(Vec::<Bundle>::new().into()),
                bundle(&[none(8)]),
                bundle(&[none(8), none(8), none(8)]),
                bundle(&[some(answer, 8), none(8)]),
                bundle(&[none(1)]),
                bundle(&[some(answer, 1)]),
                bundle(&[some(answer, 1), some("", 1)]),
                bundle(&[some("", 8)]),
            ]
        }
        _ => {
            let prompt = case.settings.prompt("p");
            let texts = |prompt: &Prompt, texts: &[&str]| {
                let texts = texts.iter().map(|text| (*text).into()).collect();
                texts_batch(role, vec![PromptTexts { prompt: prompt.clone(), texts }])
            };
            vec![
                texts_batch(role, Vec::new()),
                texts(&prompt, &[]),
                texts(&prompt, &[""]),
                texts(&prompt, &["", " ", "\n", ""]),
                texts(&Prompt::default(), &["", "42"]),
                texts(&Prompt { gold: Some(String::new()), ..prompt.clone() }, &["", "42"]),
            ]
        }
    });
    batches.iter().try_for_each(|batch| tolerated("something empty", case.lines(batch)))
}

/// A megabyte of text, and thousands of texts or answers.
pub(crate) fn huge(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("huge");
    let long = |text: &str| text.repeat((HUGE / text.len()).max(1));
    let texts: Vec<Named> = vec![
        ("a megabyte of words", inputs::words(HUGE / 5, random)),
        ("a megabyte of one letter", long("x")),
        ("a megabyte of answers", long(&format!("{}\n", case.settings.completed("42")))),
    ];
    one_by_one(case, &texts)?;
    let many: Vec<String> = (0..MANY).map(|at| at.to_string()).collect();
    let text_bytes = case.settings.completion.len() + case.settings.question.bytes();
    let texts = &many[..MANY.min(MANY_BYTES / text_bytes.max(1))];
    let batches = case.batches(|role| {
        vec![match role.takes() {
            Takes::Completions => {
                let completions = texts.iter().map(|answer| case.settings.completed(answer)).collect();
                texts_batch(role, vec![case.entry(completions)])
            }
            Takes::Answers => texts_batch(role, vec![case.entry(texts.to_vec())]),
            Takes::Bundles => {
                let keys: Vec<Option<String>> = many.iter().cloned().map(Some).collect();
                Batch::Objective(vec![inputs::counted(case.settings, &[keys.clone(), keys], random)].into())
            }
        }]
    });
    batches.iter().try_for_each(|batch| tolerated("thousands of answers", case.lines(batch)))
}

/// Unusual Unicode.
pub(crate) fn unicode(case: &Case<'_>) -> Result<(), Outcome> {
    alone_and_together(case, &hostile_texts::unicode())
}

/// Texts that are made to break programs.
pub(crate) fn adversarial(case: &Case<'_>) -> Result<(), Outcome> {
    alone_and_together(case, &hostile_texts::adversarial())
}

fn alone_and_together(case: &Case<'_>, texts: &[Named]) -> Result<(), Outcome> {
    one_by_one(case, texts)?;
    let all: Vec<String> = texts.iter().map(|(_, text)| text.clone()).collect();
    everywhere(case, &all).iter().try_for_each(|batch| tolerated("all of these texts at once", case.lines(batch)))
}

fn one_by_one(case: &Case<'_>, texts: &[Named]) -> Result<(), Outcome> {
    for (name, text) in texts {
        for batch in everywhere(case, std::slice::from_ref(text)) {
            tolerated(name, case.lines(&batch))?;
        }
    }
    Ok(())
}

/// Returns batches with the texts in every place of a text: as completions, as answers, and as the fields of a prompt.
pub(crate) fn everywhere(case: &Case<'_>, texts: &[String]) -> Vec<Batch<'static>> {
    let random = &mut case.random("everywhere");
    let text = texts[0].clone();
    let prompt = Prompt { id: text.clone(), text: text.clone(), gold: Some(text), ..case.settings.prompt("p") };
    case.batches(|role| {
        let entries = vec![case.entry(texts.to_vec()), PromptTexts { prompt: prompt.clone(), texts: texts.to_vec() }];
        match role.takes() {
            Takes::Completions => {
                let completed = texts.iter().map(|text| case.settings.completed(text)).collect();
                vec![texts_batch(role, entries), texts_batch(role, vec![case.entry(completed)])]
            }
            Takes::Answers => vec![texts_batch(role, entries)],
            Takes::Bundles => {
                let keys: Vec<Option<String>> = texts.iter().cloned().map(Some).chain([None]).collect();
                let mut bundle = inputs::counted(case.settings, &[keys.clone(), keys], random);
                bundle.groups[0].prompt = prompt.clone();
                vec![Batch::Objective(vec![bundle].into())]
            }
        }
    })
}
