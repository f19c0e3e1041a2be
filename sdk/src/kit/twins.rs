//! One source, one result: the component and the native library agree to the last bit.

use super::calls::{Call, difference};
use super::{Case, Fault, Outcome, general, hostile, hostile_texts};

/// Both say the same of ordinary inputs and of hostile ones, and fail on the same.
pub(super) fn agree(case: &Case<'_>) -> Result<(), Outcome> {
    let Some(twin) = case.twin else {
        return Err(Outcome::Skipped("it takes a project in Rust or C, which is built in both forms".into()));
    };
    let mut calls: Vec<Call> = (0..16).flat_map(|round| general::ordinary(case, &format!("twins {round}"))).collect();
    for (_, text) in hostile_texts::unicode().into_iter().chain(hostile_texts::adversarial()) {
        calls.extend(hostile::wherever(case, &[text]));
    }
    for call in &calls {
        let one = call.to(case.subject, case.config).result;
        let other = call.to(twin, case.config).result;
        match (one, other) {
            (Ok(one), Ok(other)) => {
                if let Some(difference) = difference(&one, &other) {
                    return Err(Outcome::Failed(format!(
                        "the two differ, by a function of std's perhaps: {difference}"
                    )));
                }
            }
            (Err(Fault::Error(one)), Err(Fault::Error(other))) if one == other => {}
            // Whatever it is, the tests of each form alone tell it.
            (Err(Fault::Crash(_) | Fault::Invalid(_)), Err(Fault::Crash(_) | Fault::Invalid(_))) => {}
            (one, other) => {
                let told = |said: Result<_, Fault>| said.map_or_else(|fault| fault.to_string(), |_| "a result".into());
                let (one, other) = (told(one), told(other));
                return Err(Outcome::Failed(format!("the two part ways: {one} against {other}")));
            }
        }
    }
    Ok(())
}
