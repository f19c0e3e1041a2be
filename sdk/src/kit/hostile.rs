//! Tests with inputs that nobody should send. An error is a fair reply to them; a crash, a NaN and a wrong shape are not.

use super::calls::Call;
use super::general::tolerated;
use super::hostile_texts::{self, Named};
use super::{Case, Outcome, Role, inputs};
use crate::batch::PromptTexts;
use crate::bundle::Prompt;

/// How much text is huge, in bytes, and how many answers.
const HUGE: usize = 1 << 20;
const MANY: usize = 5000;

/// Nothing where something is meant to be.
pub(super) fn empty(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("empty");
    let none = |n: usize| vec![None; n];
    let some = |key: &str, n: usize| vec![Some(key.to_owned()); n];
    let answer = case.settings.answers[0].as_str();
    let calls = case.calls(|role| match role {
        Role::Reader | Role::Verifier => {
            let call = |batch| if role == Role::Reader { Call::Read(batch) } else { Call::Score(batch) };
            let prompt = case.settings.prompt("p");
            let texts = |prompt: &Prompt, texts: &[&str]| {
                call(vec![PromptTexts {
                    prompt: prompt.clone(),
                    texts: texts.iter().map(|text| (*text).into()).collect(),
                }])
            };
            vec![
                call(Vec::new()),
                texts(&prompt, &[]),
                texts(&prompt, &[""]),
                texts(&prompt, &["", " ", "\n", ""]),
                texts(&Prompt::default(), &["", "42"]),
                texts(&Prompt { gold: Some(String::new()), ..prompt.clone() }, &["", "42"]),
            ]
        }
        Role::Objective => {
            let mut bundle =
                |keys: &[Vec<Option<String>>]| Call::Evaluate(vec![inputs::counted(case.settings, keys, random)]);
            vec![
                Call::Evaluate(Vec::new()),
                bundle(&[none(8)]),
                bundle(&[none(8), none(8), none(8)]),
                bundle(&[some(answer, 8), none(8)]),
                bundle(&[none(1)]),
                bundle(&[some(answer, 1)]),
                bundle(&[some(answer, 1), some("", 1)]),
                bundle(&[some("", 8)]),
            ]
        }
    });
    calls.iter().try_for_each(|call| tolerated("something empty", case.said(call)))
}

/// More than anyone means: in one text, and in the number of them.
pub(super) fn huge(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("huge");
    let long = |text: &str| text.repeat(HUGE / text.len());
    let texts: Vec<Named> = vec![
        ("a megabyte of words", inputs::words(HUGE / 5, random)),
        ("a megabyte of one letter", long("x")),
        ("a megabyte of answers", long(&format!("{}\n", case.settings.completed("42")))),
    ];
    alone(case, &texts)?;
    let many: Vec<String> = (0..MANY).map(|at| at.to_string()).collect();
    let calls = case.calls(|role| {
        vec![match role {
            Role::Reader => {
                let completions = many.iter().map(|answer| case.settings.completed(answer)).collect();
                Call::Read(vec![PromptTexts { prompt: case.settings.prompt("p"), texts: completions }])
            }
            Role::Verifier => Call::Score(vec![PromptTexts { prompt: case.settings.prompt("p"), texts: many.clone() }]),
            Role::Objective => {
                let keys: Vec<Option<String>> = many.iter().cloned().map(Some).collect();
                Call::Evaluate(vec![inputs::counted(case.settings, &[keys.clone(), keys], random)])
            }
        }]
    });
    calls.iter().try_for_each(|call| tolerated("thousands of answers", case.said(call)))
}

/// Text is more than ASCII.
pub(super) fn unicode(case: &Case<'_>) -> Result<(), Outcome> {
    alone_and_together(case, &hostile_texts::unicode())
}

/// Text is not always meant well.
pub(super) fn adversarial(case: &Case<'_>) -> Result<(), Outcome> {
    alone_and_together(case, &hostile_texts::adversarial())
}

fn alone_and_together(case: &Case<'_>, texts: &[Named]) -> Result<(), Outcome> {
    alone(case, texts)?;
    let all: Vec<String> = texts.iter().map(|(_, text)| text.clone()).collect();
    wherever(case, &all).iter().try_for_each(|call| tolerated("all of these texts at once", case.said(call)))
}

fn alone(case: &Case<'_>, texts: &[Named]) -> Result<(), Outcome> {
    for (name, text) in texts {
        for call in wherever(case, std::slice::from_ref(text)) {
            tolerated(name, case.said(&call))?;
        }
    }
    Ok(())
}

/// The texts wherever a text can stand: as completions, as answers, and as what the prompt says.
pub(super) fn wherever(case: &Case<'_>, texts: &[String]) -> Vec<Call> {
    let random = &mut case.random("wherever");
    let text = texts[0].clone();
    let prompt = Prompt { id: text.clone(), text: text.clone(), gold: Some(text), ..case.settings.prompt("p") };
    case.calls(|role| {
        let questions = vec![
            PromptTexts { prompt: case.settings.prompt("p"), texts: texts.to_vec() },
            PromptTexts { prompt: prompt.clone(), texts: texts.to_vec() },
        ];
        match role {
            Role::Reader => {
                let completed = texts.iter().map(|text| case.settings.completed(text)).collect();
                let completed = PromptTexts { prompt: case.settings.prompt("p"), texts: completed };
                vec![Call::Read(questions), Call::Read(vec![completed])]
            }
            Role::Verifier => vec![Call::Score(questions)],
            Role::Objective => {
                let keys: Vec<Option<String>> = texts.iter().cloned().map(Some).chain([None]).collect();
                let mut bundle = inputs::counted(case.settings, &[keys.clone(), keys], random);
                bundle.groups[0].prompt = prompt.clone();
                vec![Call::Evaluate(vec![bundle])]
            }
        }
    })
}
