//! Repeating recorded calls: with the same plugin, to verify that its outputs have the same bits; with another, to see what
//! would have changed.

use std::fmt;

use alft_sdk::bundle::Valuation;
use alft_sdk::call::{Item, Output};
use alft_sdk::roles::{Batch, Role};

use crate::batch::call::Call;
use crate::batch::part::Part;
use crate::failure::{Failure, FailureKind};
use crate::plugin::Plugin;
use crate::validate;
use crate::wasm::prices::FUEL_RULES;

/// The first difference between a recorded call and its repetition.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// A number, a key or a shape.
    Output {
        /// The place in the output, such as `entry 3, text 0`.
        place: String,
        /// The recorded value; a number with its bits.
        recorded: String,
        /// The repetition's value.
        repeated: String,
    },
    /// The amount of fuel.
    Fuel {
        /// Fuel of the recorded call.
        recorded: u64,
        /// Fuel of the repetition.
        repeated: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Output { place, recorded, repeated } => write!(f, "{place}: recorded {recorded}, now {repeated}"),
            Self::Fuel { recorded, repeated } => write!(f, "fuel: recorded {recorded}, now {repeated}"),
        }
    }
}

/// A recorded call that cannot be repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum ReplayError {
    #[error("the plugin does not have the role {0}")]
    MissingRole(Role),

    #[error("the recorded batch has no entries {:?} with the texts {:?}", .0.entries, .0.texts)]
    NoSuchPart(Part),
}

/// Repeats a recorded call, and returns the first difference, if there is one. `fuel_rules` is the version of the prices in
/// the ledger's header. Under other prices than this program's, fuel is not compared: neither its amount, nor calls that
/// use it up now or did. Calls that ran past their deadline are not repeated, because that depends on the machine.
///
/// # Errors
/// Fails if the plugin does not have the batch's role, or if the batch does not have the call's part.
pub fn repeat(
    plugin: &Plugin,
    batch: &Batch<'_>,
    call: &Call,
    fuel_rules: u32,
) -> Result<Option<Difference>, ReplayError> {
    if call.outcome.as_ref().is_err_and(|failure| !failure.kind.is_deterministic()) {
        return Ok(None);
    }
    if !plugin.has(batch.role()) {
        return Err(ReplayError::MissingRole(batch.role()));
    }
    let arguments = call.part.select(batch).ok_or_else(|| ReplayError::NoSuchPart(call.part.clone()))?;
    let repeated = plugin.call_once(&arguments);
    if fuel_rules != FUEL_RULES {
        let used_up = |outcome: &Result<Output, Failure>| {
            outcome.as_ref().is_err_and(|failure| failure.kind == FailureKind::OutOfFuel)
        };
        return Ok(match used_up(&call.outcome) || used_up(&repeated.result) {
            true => None,
            false => difference(&call.outcome, &repeated.result),
        });
    }
    let fuel = || {
        let (recorded, repeated) = (call.fuel, repeated.usage.fuel);
        (recorded != repeated).then_some(Difference::Fuel { recorded, repeated })
    };
    Ok(difference(&call.outcome, &repeated.result).or_else(fuel))
}

/// Returns the items of a recorded batch: those of the calls that succeeded, put together, before validation of their
/// values.
pub fn items(batch: &Batch<'_>, calls: &[Call]) -> Vec<Result<Item, Failure>> {
    let counts = batch.entries().item_counts();
    let starts: Vec<usize> =
        counts.iter().scan(0, |next, count| Some(std::mem::replace(next, *next + count))).collect();
    let uncalled = Failure::new(FailureKind::Shape, "no call has this item");
    let mut items: Vec<Result<Item, Failure>> = vec![Err(uncalled); batch.item_count()];
    // The calls with halves of a part come after the failed call with the whole part.
    for Call { part, outcome, .. } in calls {
        let Some(arguments) = part.select(batch) else { continue };
        let Some(entries) = starts.get(part.entries.start) else { continue };
        let start = entries + part.texts.as_ref().map_or(0, |texts| texts.start);
        let range = start..start + arguments.item_count();
        match outcome.clone().and_then(|output| validate::entries(&arguments, output)) {
            Ok(entries) => {
                items[range].iter_mut().zip(entries.into_iter().flatten()).for_each(|(at, item)| *at = Ok(item))
            }
            Err(failure) => items[range].fill(Err(failure)),
        }
    }
    items
}

/// Returns the first place at which two outcomes differ in a bit.
fn difference(recorded: &Result<Output, Failure>, repeated: &Result<Output, Failure>) -> Option<Difference> {
    let differ =
        |place: String, recorded: String, repeated: String| Some(Difference::Output { place, recorded, repeated });
    match (recorded, repeated) {
        // The text of a failure may contain an address or a pid.
        (Err(a), Err(b)) if a.kind == b.kind => None,
        (Ok(a), Ok(b)) => {
            let (a, b) = (values(a), values(b));
            let at = (0..a.len().max(b.len())).find(|at| a.get(*at) != b.get(*at))?;
            let value =
                |values: &[(String, String)]| values.get(at).map_or("nothing".into(), |(_, value)| value.clone());
            let (place, _) = a.get(at).or(b.get(at))?;
            differ(place.clone(), value(&a), value(&b))
        }
        (a, b) => {
            let text = |outcome: &Result<Output, Failure>| match outcome {
                Ok(_) => "an output".to_owned(),
                Err(failure) => failure.to_string(),
            };
            differ("the call".into(), text(a), text(b))
        }
    }
}

/// Returns every value of an output with its place, as text that shows every bit.
fn values(output: &Output) -> Vec<(String, String)> {
    let number = |value: &f64| format!("{value:?} (bits {:016x})", value.to_bits());
    fn nested<T>(entries: &[Vec<T>], text: impl Fn(&T) -> String) -> Vec<(String, String)> {
        let entry = |(at, values): (usize, &Vec<T>)| {
            let count = (format!("entry {at}, number of texts"), values.len().to_string());
            let value = |(index, value)| (format!("entry {at}, text {index}"), text(value));
            [count].into_iter().chain(values.iter().enumerate().map(value)).collect::<Vec<_>>()
        };
        entries.iter().enumerate().flat_map(entry).collect()
    }
    match output {
        Output::Keys(entries) => nested(entries, |key| format!("{key:?}")),
        Output::Scores(entries) => nested(entries, number),
        Output::Valuations(entries) => {
            let valuation = |(at, valuation): (usize, &Valuation)| {
                let mut values = vec![
                    (format!("bundle {at}, utility"), number(&valuation.utility)),
                    (format!("bundle {at}, violation"), valuation.violation.as_ref().map_or("none".into(), number)),
                ];
                let rewards = nested(&valuation.rewards, number).into_iter();
                values.extend(rewards.map(|(place, value)| (format!("bundle {at}, reward of {place}"), value)));
                values
            };
            entries.iter().enumerate().flat_map(valuation).collect()
        }
    }
}
