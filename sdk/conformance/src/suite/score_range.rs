//! The score range of roles that score.

use alft_sdk::call::Returns;

use super::tolerance::tolerated;
use crate::calls::quoted;
use crate::case::Case;
use crate::outcome::Outcome;
use crate::{hostile_texts, inputs};

/// Every score is within the range of the manifest.
pub(crate) fn score_range(case: &Case<'_>) -> Result<(), Outcome> {
    let Some((low, high)) = case.subject.describe(case.config).result?.score_range else {
        return Err(Outcome::Skipped("it promises no range".into()));
    };
    let random = &mut case.random("score range");
    for role in case.subject.roles().iter().filter(|role| role.returns() == Returns::Scores) {
        let mut texts = Vec::new();
        (0..20).for_each(|_| texts.extend(inputs::texts(case.settings, role, random)));
        texts.extend(hostile_texts::unicode().into_iter().chain(hostile_texts::adversarial()).map(|(_, text)| text));
        for text in texts {
            match case.scores(role, vec![text.clone()]) {
                Ok(scores) if (low..=high).contains(&scores[0]) => {}
                Ok(scores) => {
                    let (score, text) = (scores[0], quoted(&text));
                    let reason = format!("the {role} scores {text} {score:?}, and promises {low:?} to {high:?}");
                    return Err(Outcome::Failed(reason));
                }
                fault => tolerated("a text", fault)?,
            }
        }
    }
    Ok(())
}
