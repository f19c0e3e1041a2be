//! Tests of every plugin, whatever its roles.

use super::calls::{Call, difference};
use super::{Case, Fault, Outcome, Role, hostile_texts, inputs};

/// Its manifest is complete, always the same, and promises nothing that its roles cannot keep.
pub(super) fn describes_itself(case: &Case<'_>) -> Result<(), Outcome> {
    let manifest = case.subject.describe(case.config).result.map_err(|fault| match fault {
        Fault::Error(reason) => Outcome::Failed(format!(
            "it refuses the configuration {}: {reason}; give one that works, by --config or as `configs` in kit.json",
            case.config
        )),
        fault => fault.into(),
    })?;
    let has = |role| case.subject.has(role);
    let line = |text: &str| !text.trim().is_empty() && !text.contains(['\n', '\0']);
    let objective = has(Role::Objective);
    let wrong = [
        (!line(&manifest.name), "its name is no line of text"),
        (!line(&manifest.version), "its version is no line of text"),
        (!line(&manifest.summary), "its summary is no line of text"),
        (!Role::ALL.into_iter().any(has), "it has no role: it is neither reader, verifier nor objective"),
        (manifest.score_range.is_some() && !has(Role::Verifier), "it promises a score range and is no verifier"),
        (manifest.range_is_empty(), "its score range has no score in it"),
        (manifest.concave && !objective, "it promises a concave utility and is no objective"),
        (manifest.gradient && !objective, "it promises a gradient and is no objective"),
        (manifest.needs_reference && !objective, "it asks for the reference policy's answers and is no objective"),
    ];
    if let Some((_, reason)) = wrong.into_iter().find(|(wrong, _)| *wrong) {
        return Err(Outcome::Failed(reason.into()));
    }
    match case.subject.describe(case.config).result? == manifest {
        true => Ok(()),
        false => Err(Outcome::Failed("asked twice, it describes itself in two ways".into())),
    }
}

/// Whatever it is given for a configuration, it takes or refuses.
pub(super) fn hostile_configuration(case: &Case<'_>) -> Result<(), Outcome> {
    for (name, config) in hostile_texts::configurations() {
        tolerated(name, case.subject.describe(&config).result)?;
    }
    Ok(())
}

/// What it says depends on nothing that it was asked before: neither the other calls nor their number.
pub(super) fn order_of_calls(case: &Case<'_>) -> Result<(), Outcome> {
    let calls: Vec<Call> = (0..4).flat_map(|round| ordinary(case, &format!("call {round}"))).collect();
    let first = calls.iter().map(|call| case.said(call)).collect::<Result<Vec<_>, _>>()?;
    let mut random = case.random("order");
    for at in random.order(calls.len()).into_iter().chain(random.order(calls.len())) {
        case.subject.describe(case.config).result?;
        if let Some(difference) = difference(&first[at], &case.said(&calls[at])?) {
            let reason = format!("the same call gives other results after other calls: {difference}");
            return Err(Outcome::Failed(reason));
        }
    }
    Ok(())
}

/// What it says of an entry depends on that entry alone.
pub(super) fn batches(case: &Case<'_>) -> Result<(), Outcome> {
    for round in 0..4 {
        for call in ordinary(case, &format!("batch {round}")) {
            let whole = case.said(&call)?;
            let mut alone = Vec::new();
            for single in call.singles() {
                alone.extend(case.said(&single)?);
            }
            if let Some(difference) = difference(&whole, &alone) {
                return Err(Outcome::Failed(format!("in a batch it says one thing, alone another: {difference}")));
            }
            let mut back = case.said(&call.reversed())?;
            back.reverse();
            if let Some(difference) = difference(&whole, &back) {
                return Err(Outcome::Failed(format!("the order of a batch changes what it says: {difference}")));
            }
        }
    }
    Ok(())
}

/// A call of each of its roles, over a batch of ordinary entries.
pub(super) fn ordinary(case: &Case<'_>, purpose: &str) -> Vec<Call> {
    let mut random = case.random(purpose);
    case.calls(|role| {
        vec![match role {
            Role::Reader => {
                Call::Read(inputs::questions(case.settings, &inputs::completions(case.settings, &mut random)))
            }
            Role::Verifier => {
                Call::Score(inputs::questions(case.settings, &inputs::answers(case.settings, &mut random)))
            }
            Role::Objective => Call::Evaluate((0..6).map(|_| inputs::sampled(case.settings, &mut random)).collect()),
        }]
    })
}

/// Lets an error pass, where the input deserves one, but nothing worse.
pub(super) fn tolerated<T>(name: &str, result: Result<T, Fault>) -> Result<(), Outcome> {
    match result {
        Ok(_) | Err(Fault::Error(_)) => Ok(()),
        Err(Fault::Crash(reason)) => Err(Outcome::Crashed(format!("on {name}: {reason}"))),
        Err(Fault::Invalid(reason)) => Err(Outcome::Failed(format!("on {name}: {reason}"))),
    }
}
