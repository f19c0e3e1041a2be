//! Tests of verifiers.

use super::{Case, Outcome, Role, hostile_texts, inputs};
use crate::batch::PromptTexts;

/// The key of an answer: as the plugin reads it, if it reads; as it stands, if not.
pub(super) fn key(case: &Case<'_>, answer: &str) -> Result<String, Outcome> {
    if !case.subject.has(Role::Reader) {
        return Ok(answer.into());
    }
    let completion = case.settings.completed(answer);
    let keys = case.read(&[PromptTexts { prompt: case.settings.prompt("p"), texts: vec![completion.clone()] }])?;
    let unread = || Outcome::Failed(format!("it reads no answer in \"{completion}\", see reads-the-answer"));
    keys[0][0].clone().ok_or_else(unread)
}

/// The right answer is worth no less than a wrong one.
pub(super) fn right_answer(case: &Case<'_>) -> Result<(), Outcome> {
    let question = &case.settings.question;
    let keys = vec![key(case, &question.gold)?, key(case, &question.wrong)?];
    let scores = case.score(&[PromptTexts { prompt: case.settings.prompt("p"), texts: keys.clone() }])?.remove(0);
    if scores[0] >= scores[1] {
        return Ok(());
    }
    let (right, wrong) = (&keys[0], &keys[1]);
    Err(Outcome::Failed(format!(
        "to \"{}\" it scores the right answer \"{right}\" {}, and \"{wrong}\" {}",
        question.prompt, scores[0], scores[1]
    )))
}

/// No score is outside the promised range.
pub(super) fn score_range(case: &Case<'_>) -> Result<(), Outcome> {
    let Some((low, high)) = case.subject.describe(case.config).result?.score_range else {
        return Err(Outcome::Skipped("it promises no range".into()));
    };
    let random = &mut case.random("score range");
    let mut texts = Vec::new();
    (0..20).for_each(|_| texts.extend(inputs::answers(case.settings, random)));
    texts.extend(hostile_texts::unicode().into_iter().chain(hostile_texts::adversarial()).map(|(_, text)| text));
    for text in texts {
        let question = PromptTexts { prompt: case.settings.prompt("p"), texts: vec![text] };
        match case.score(std::slice::from_ref(&question)) {
            Ok(scores) if (low..=high).contains(&scores[0][0]) => {}
            Ok(scores) => {
                let (score, text) = (scores[0][0], super::calls::shortened(&question.texts[0]));
                return Err(Outcome::Failed(format!("it scores \"{text}\" {score}, and promises {low} to {high}")));
            }
            fault => super::general::tolerated("an answer", fault)?,
        }
    }
    Ok(())
}
