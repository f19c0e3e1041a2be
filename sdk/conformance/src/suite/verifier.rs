//! Tests of verifiers.

use alft_sdk::roles::Role;

use crate::calls::quoted;
use crate::case::Case;
use crate::outcome::Outcome;

/// The right answer scores no less than a wrong one.
pub(crate) fn right_answer(case: &Case<'_>) -> Result<(), Outcome> {
    let question = &case.settings.question;
    let keys = vec![key(case, &question.gold)?, key(case, &question.wrong)?];
    let scores = case.scores(Role::Verifier, keys.clone())?;
    if scores[0] >= scores[1] {
        return Ok(());
    }
    let (right, wrong) = (quoted(&keys[0]), quoted(&keys[1]));
    Err(Outcome::Failed(format!(
        "for {} it scores the right answer {right} {:?}, and {wrong} {:?}",
        quoted(&question.prompt),
        scores[0],
        scores[1]
    )))
}

/// Returns the key of an answer: the key that the plugin reads, if it is a reader, or else the answer itself.
fn key(case: &Case<'_>, answer: &str) -> Result<String, Outcome> {
    if !case.has(Role::Reader) {
        return Ok(answer.into());
    }
    let completion = case.settings.completed(answer);
    let keys = case.read(vec![case.entry(vec![completion.clone()])])?;
    let unread = || Outcome::Failed(format!("it reads no answer in {}, see reads-the-answer", quoted(&completion)));
    keys[0][0].clone().ok_or_else(unread)
}
