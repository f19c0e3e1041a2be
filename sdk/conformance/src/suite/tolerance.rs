//! Faults that a hostile input excuses.

use crate::outcome::Outcome;
use crate::subject::Fault;

/// Accepts a result or an error of the plugin. A crash or a broken contract is an outcome of the test.
pub(crate) fn tolerated<T>(input: &str, result: Result<T, Fault>) -> Result<(), Outcome> {
    match result {
        Ok(_) | Err(Fault::Error(_)) => Ok(()),
        Err(Fault::Crash(reason)) => Err(Outcome::Crashed(format!("on {input}: {reason}"))),
        Err(Fault::Invalid(reason)) => Err(Outcome::Failed(format!("on {input}: {reason}"))),
    }
}
