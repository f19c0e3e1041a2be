//! Tests of graders.

use alft_sdk::roles::Role;

use crate::calls::quoted;
use crate::case::Case;
use crate::outcome::Outcome;
use crate::subject::Fault;

/// A plain completion has a score.
pub(crate) fn grades_the_completion(case: &Case<'_>) -> Result<(), Outcome> {
    let question = &case.settings.question;
    let texts: Vec<String> = [&question.gold, &question.wrong].map(|answer| case.settings.completed(answer)).into();
    match case.scores(Role::Grader, texts.clone()) {
        Ok(_) => Ok(()),
        Err(Fault::Error(reason)) => Err(Outcome::Failed(format!(
            "it cannot grade {} and {}: {reason}; if they lack what it needs, set `question` and `completion` in kit.json",
            quoted(&texts[0]),
            quoted(&texts[1])
        ))),
        Err(fault) => Err(fault.into()),
    }
}
