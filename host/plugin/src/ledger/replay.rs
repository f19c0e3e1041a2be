//! Making recorded calls again: with the same plugin, to see that it answers alike to the last bit; with another, to see
//! what would have changed.

use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Valuation};

use crate::batch::bisect::{Call, Output, Part};
use crate::ledger::Input;
use crate::plugin::Plugin;
use crate::{Failure, FailureKind};

/// What a recorded call and the same call made again differ in.
#[derive(Debug, Clone, PartialEq)]
pub enum Difference {
    /// A number, key or shape: where in the output, what was recorded, what came now.
    Output {
        /// As in `entry 3, text 0`.
        place: String,
        /// With its bits, where it is a number.
        recorded: String,
        /// The same of the call made again.
        now: String,
    },
    /// It took another amount of fuel.
    Fuel {
        /// What the ledger says.
        recorded: u64,
        /// What it took now.
        now: u64,
    },
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output { place, recorded, now } => write!(f, "{place}: recorded {recorded}, now {now}"),
            Self::Fuel { recorded, now } => write!(f, "fuel: recorded {recorded}, now {now}"),
        }
    }
}

/// Makes a recorded call again and compares. `None`: it answered alike. A call that ran past its deadline is not made again, for
/// that depends on the machine's load.
///
/// # Errors
/// The record names a part that its batch does not have, or a role that the plugin does not have.
pub fn repeat(plugin: &Plugin, input: &Input<'_>, call: &Call) -> Result<Option<Difference>, String> {
    if call.outcome.as_ref().is_err_and(|failure| !failure.kind.is_deterministic()) {
        return Ok(None);
    }
    if !plugin.has(input.role()) {
        return Err(format!("the plugin does not have the role {}", input.role()));
    }
    let again = match input {
        Input::Read(batch) => plugin.call_read(&questions(batch, &call.part)?),
        Input::Score(batch) => plugin.call_score(&questions(batch, &call.part)?),
        Input::Evaluate(batch) => plugin.call_evaluate(bundles(batch, &call.part)?),
    };
    Ok(difference(&call.outcome, &again.0)
        .or_else(|| (call.fuel != again.1).then_some(Difference::Fuel { recorded: call.fuel, now: again.1 })))
}

fn no_such(part: &Part) -> String {
    format!("its batch has no entries {:?} with texts {:?}", part.entries, part.texts)
}

fn questions(batch: &[PromptTexts], part: &Part) -> Result<Vec<PromptTexts>, String> {
    let entries = batch.get(part.entries.clone()).ok_or_else(|| no_such(part))?;
    let Some(texts) = &part.texts else { return Ok(entries.to_vec()) };
    let [question] = entries else { return Err(no_such(part)) };
    let texts = question.texts.get(texts.clone()).ok_or_else(|| no_such(part))?;
    Ok(texts.iter().map(|text| PromptTexts { prompt: question.prompt.clone(), texts: vec![text.clone()] }).collect())
}

fn bundles<'a>(batch: &'a [Bundle], part: &Part) -> Result<&'a [Bundle], String> {
    batch.get(part.entries.clone()).filter(|_| part.texts.is_none()).ok_or_else(|| no_such(part))
}

/// The first place at which two outcomes differ in a bit.
fn difference(recorded: &Result<Output, Failure>, now: &Result<Output, Failure>) -> Option<Difference> {
    let differ = |place: String, recorded: String, now: String| Some(Difference::Output { place, recorded, now });
    match (recorded, now) {
        // What a failure says may hold an address or a number of a process.
        (Err(a), Err(b)) if a.kind == b.kind => None,
        (Ok(a), Ok(b)) => {
            let (a, b) = (values(a), values(b));
            let at = (0..a.len().max(b.len())).find(|at| a.get(*at) != b.get(*at))?;
            let shown =
                |values: &[(String, String)]| values.get(at).map_or("nothing".into(), |(_, value)| value.clone());
            let place = a.get(at).or(b.get(at)).map_or_else(String::new, |(place, _)| place.clone());
            differ(place, shown(&a), shown(&b))
        }
        (a, b) => {
            let shown = |outcome: &Result<Output, Failure>| match outcome {
                Ok(_) => "an answer".to_owned(),
                Err(failure) => failure.to_string(),
            };
            differ("the call".into(), shown(a), shown(b))
        }
    }
}

/// Every value of an output with its place, in writing that shows every bit.
fn values(output: &Output) -> Vec<(String, String)> {
    let number = |value: &f64| format!("{value:?} (bits {:016x})", value.to_bits());
    fn nested<T>(entries: &[Vec<T>], show: impl Fn(&T) -> String) -> Vec<(String, String)> {
        let entry = |(at, texts): (usize, &Vec<T>)| {
            let mut shown = vec![(format!("entry {at}, number of texts"), texts.len().to_string())];
            shown.extend(
                texts.iter().enumerate().map(|(text, value)| (format!("entry {at}, text {text}"), show(value))),
            );
            shown
        };
        entries.iter().enumerate().flat_map(entry).collect()
    }
    match output {
        Output::Keys(entries) => nested(entries, |key| format!("{key:?}")),
        Output::Scores(entries) => nested(entries, number),
        Output::Valuations(entries) => {
            let one = |(at, valuation): (usize, &Valuation)| {
                let mut shown = vec![
                    (format!("bundle {at}, utility"), number(&valuation.utility)),
                    (format!("bundle {at}, violation"), valuation.violation.as_ref().map_or("none".into(), number)),
                ];
                let rewards = nested(&valuation.rewards, number).into_iter();
                shown.extend(rewards.map(|(place, value)| (format!("bundle {at}, reward of {place}"), value)));
                shown
            };
            entries.iter().enumerate().flat_map(one).collect()
        }
    }
}

/// What a batch's items were worth when they were recorded: the answers of the calls that succeeded, put together. For
/// readers and verifiers an item is a text, for objectives a bundle.
pub fn items(input: &Input<'_>, calls: &[Call]) -> Vec<Result<Item, Failure>> {
    let sizes: Vec<usize> = match input {
        Input::Read(batch) | Input::Score(batch) => batch.iter().map(|question| question.texts.len()).collect(),
        Input::Evaluate(batch) => vec![1; batch.len()],
    };
    let starts: Vec<usize> = sizes.iter().scan(0, |next, size| Some(std::mem::replace(next, *next + size))).collect();
    let never = || Err(Failure::new(FailureKind::Shape, "no call was about it"));
    let mut items: Vec<Result<Item, Failure>> = (0..sizes.iter().sum()).map(|_| never()).collect();
    // Halves come after the call that failed as a whole.
    for call in calls {
        let first = call.part.entries.start;
        let (Some(start), Some(end)) = (starts.get(first), call.part.entries.end.checked_sub(1)) else { continue };
        let Some(end) = starts.get(end).zip(sizes.get(end)).map(|(start, size)| start + size) else { continue };
        let range = match &call.part.texts {
            None => *start..end,
            Some(texts) => start + texts.start..start + texts.end,
        };
        let given: Vec<Item> = match &call.outcome {
            Ok(output) => flat(output),
            Err(failure) => {
                items[range].iter_mut().for_each(|item| *item = Err(failure.clone()));
                continue;
            }
        };
        if given.len() == range.len() {
            items[range].iter_mut().zip(given).for_each(|(item, given)| *item = Ok(given));
        }
    }
    items
}

/// What one item of a batch was given.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// By a reader.
    Key(Option<String>),
    /// By a verifier.
    Score(f64),
    /// By an objective.
    Valuation(Valuation),
}

fn flat(output: &Output) -> Vec<Item> {
    match output {
        Output::Keys(entries) => entries.iter().flatten().cloned().map(Item::Key).collect(),
        Output::Scores(entries) => entries.iter().flatten().copied().map(Item::Score).collect(),
        Output::Valuations(entries) => entries.iter().cloned().map(Item::Valuation).collect(),
    }
}

/// Asks a plugin what was recorded of another.
///
/// # Errors
/// It does not have the role.
pub fn ask(plugin: &Plugin, input: &Input<'_>) -> Result<Vec<Result<Item, Failure>>, String> {
    if !plugin.has(input.role()) {
        return Err(format!("the plugin does not have the role {}", input.role()));
    }
    Ok(match input {
        Input::Read(batch) => plugin.read(batch).items.into_iter().map(|item| item.map(Item::Key)).collect(),
        Input::Score(batch) => plugin.score(batch).items.into_iter().map(|item| item.map(Item::Score)).collect(),
        Input::Evaluate(batch) => {
            plugin.evaluate(batch).items.into_iter().map(|item| item.map(Item::Valuation)).collect()
        }
    })
}
