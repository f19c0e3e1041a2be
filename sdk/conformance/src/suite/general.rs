//! Tests of every plugin, whatever its roles.

use alft_sdk::call::Returns;
use alft_sdk::roles::{Batch, Role};

use super::tolerance::tolerated;
use crate::calls::difference;
use crate::case::{Case, texts_batch};
use crate::outcome::Outcome;
use crate::subject::Fault;
use crate::{hostile_texts, inputs};

/// The manifest is complete, always the same, and has no promise that the roles cannot keep.
pub(crate) fn describes_itself(case: &Case<'_>) -> Result<(), Outcome> {
    let manifest = case.subject.describe(case.config).result.map_err(|fault| match fault {
        Fault::Error(reason) => Outcome::Failed(format!(
            "it refuses the configuration {}: {reason}; pass a valid one by --config or as `configs` in kit.json",
            case.config
        )),
        fault => fault.into(),
    })?;
    let one_line = |text: &str| !text.trim().is_empty() && !text.contains(['\n', '\0']);
    let objective = case.has(Role::Objective);
    let scores = case.subject.roles().iter().any(|role| role.returns() == Returns::Scores);
    let faults = [
        (!one_line(&manifest.name), "its name is not one line of text"),
        (!one_line(&manifest.version), "its version is not one line of text"),
        (!one_line(&manifest.summary), "its summary is not one line of text"),
        (case.subject.roles().is_empty(), "it has no role"),
        (manifest.score_range.is_some() && !scores, "it promises a score range and has no role that scores"),
        (manifest.range_is_empty(), "its score range contains no score"),
        (manifest.concave && !objective, "it promises a concave utility and is not an objective"),
        (manifest.gradient && !objective, "it promises a gradient and is not an objective"),
        (manifest.needs_reference && !objective, "it needs the reference policy and is not an objective"),
    ];
    if let Some((_, reason)) = faults.into_iter().find(|(fault, _)| *fault) {
        return Err(Outcome::Failed(reason.into()));
    }
    match case.subject.describe(case.config).result? == manifest {
        true => Ok(()),
        false => Err(Outcome::Failed("two calls of `describe` return different manifests".into())),
    }
}

/// Any text as a configuration is accepted or refused.
pub(crate) fn hostile_configuration(case: &Case<'_>) -> Result<(), Outcome> {
    for (name, config) in hostile_texts::configurations() {
        tolerated(name, case.subject.describe(&config).result)?;
    }
    Ok(())
}

/// A result depends neither on the calls before it nor on their number.
pub(crate) fn order_of_calls(case: &Case<'_>) -> Result<(), Outcome> {
    let batches: Vec<Batch<'_>> = (0..4).flat_map(|round| ordinary(case, &format!("call {round}"))).collect();
    let first = batches.iter().map(|batch| case.lines(batch)).collect::<Result<Vec<_>, _>>()?;
    let mut random = case.random("order");
    for at in random.order(batches.len()).into_iter().chain(random.order(batches.len())) {
        case.subject.describe(case.config).result?;
        if let Some(difference) = difference(&first[at], &case.lines(&batches[at])?) {
            let reason = format!("the same call returns other results after other calls: {difference}");
            return Err(Outcome::Failed(reason));
        }
    }
    Ok(())
}

/// Returns a batch of ordinary entries for each of the plugin's roles.
pub(crate) fn ordinary(case: &Case<'_>, purpose: &str) -> Vec<Batch<'static>> {
    let mut random = case.random(purpose);
    case.batches(|role| {
        vec![match role {
            Role::Objective => {
                let bundles: Vec<_> =
                    (0..6).map(|_| inputs::sampled(case.settings, inputs::GROUP_SIZE, &mut random)).collect();
                Batch::Objective(bundles.into())
            }
            role => {
                let texts = inputs::texts(case.settings, role, &mut random);
                texts_batch(role, inputs::phrasings(case.settings, &texts))
            }
        }]
    })
}
