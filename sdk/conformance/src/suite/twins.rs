//! The component and the native library of one source agree to the last bit.

use alft_sdk::roles::Batch;

use super::{general, hostile};
use crate::calls::{self, difference};
use crate::case::Case;
use crate::hostile_texts;
use crate::outcome::Outcome;
use crate::subject::Fault;

/// Both return the same results for ordinary and hostile inputs, and fail on the same.
pub(crate) fn agree(case: &Case<'_>) -> Result<(), Outcome> {
    let Some(twin) = case.twin else {
        return Err(Outcome::Skipped("only a project in Rust or C is built in both forms".into()));
    };
    let mut batches: Vec<Batch<'_>> =
        (0..16).flat_map(|round| general::ordinary(case, &format!("twins {round}"))).collect();
    for (_, text) in hostile_texts::unicode().into_iter().chain(hostile_texts::adversarial()) {
        batches.extend(hostile::everywhere(case, &[text]));
    }
    for batch in &batches {
        let one = case.lines(batch);
        let other = calls::call(twin, case.config, batch).result.map(calls::lines);
        match (one, other) {
            (Ok(one), Ok(other)) => {
                if let Some(difference) = difference(&one, &other) {
                    return Err(Outcome::Failed(format!(
                        "the two differ: {difference}; std's floating-point functions differ between targets, those of \
                         alft_sdk::math do not"
                    )));
                }
            }
            (Err(Fault::Error(one)), Err(Fault::Error(other))) if one == other => {}
            // The tests of each form report such a fault.
            (Err(Fault::Crash(_) | Fault::Invalid(_)), Err(Fault::Crash(_) | Fault::Invalid(_))) => {}
            (one, other) => {
                let text =
                    |lines: Result<_, Fault>| lines.map_or_else(|fault| fault.to_string(), |_| "a result".into());
                let (one, other) = (text(one), text(other));
                return Err(Outcome::Failed(format!("the two differ: {one} against {other}")));
            }
        }
    }
    Ok(())
}
