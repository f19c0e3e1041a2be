//! Checks of what a call returned, and comparisons of results to the last bit.

use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::call::{Entries, Output, PromptTexts};
use alft_sdk::roles::Batch;

use crate::subject::{Fault, Reply, Subject};

/// Calls the subject and checks the shape and the finiteness of the result. A reader gets the prompts without their gold
/// answer, as in a run.
pub(crate) fn call(subject: &dyn Subject, config: &str, batch: &Batch<'_>) -> Reply<Output> {
    let reply = match batch {
        Batch::Reader(entries) => {
            let shown: Vec<PromptTexts> = entries.iter().cloned().map(PromptTexts::without_gold).collect();
            subject.call(config, &Batch::Reader(shown.into()))
        }
        batch => subject.call(config, batch),
    };
    let result = reply.result.and_then(|output| match check(batch, &output) {
        Ok(()) => Ok(output),
        Err(reason) => Err(Fault::Invalid(reason)),
    });
    Reply { result, fuel: reply.fuel }
}

fn check(batch: &Batch<'_>, output: &Output) -> Result<(), String> {
    if output.kind() != batch.role().returns() {
        return Err(format!("it returned the output of another role than {}", batch.role()));
    }
    match (batch.entries(), output) {
        (Entries::Texts(entries), Output::Keys(keys)) => check_shape(keys, entries),
        (Entries::Texts(entries), Output::Scores(scores)) => {
            check_shape(scores, entries)?;
            check_finite("a score", scores.iter().flatten())
        }
        (Entries::Bundles(bundles), Output::Valuations(valuations)) => {
            check_count(valuations.len(), bundles.len())?;
            valuations.iter().zip(bundles).try_for_each(|(valuation, bundle)| check_valuation(valuation, bundle))
        }
        (_, output) => unreachable!("no role returns {output:?} for these entries"),
    }
}

fn check_valuation(valuation: &Valuation, bundle: &Bundle) -> Result<(), String> {
    let given: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
    let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
    if given != wanted {
        return Err(format!("it returned rewards of the shape {given:?} for answers of the shape {wanted:?}"));
    }
    check_finite("a utility", [&valuation.utility])?;
    check_finite("a violation", valuation.violation.iter())?;
    check_finite("a reward", valuation.rewards.iter().flatten())
}

fn check_shape<T>(results: &[Vec<T>], entries: &[PromptTexts]) -> Result<(), String> {
    check_count(results.len(), entries.len())?;
    results.iter().zip(entries).try_for_each(|(results, entry)| check_count(results.len(), entry.texts.len()))
}

fn check_count(given: usize, wanted: usize) -> Result<(), String> {
    if given == wanted { Ok(()) } else { Err(format!("it returned {given} results for {wanted} entries")) }
}

fn check_finite<'a>(name: &str, numbers: impl IntoIterator<Item = &'a f64>) -> Result<(), String> {
    match numbers.into_iter().find(|number| !number.is_finite()) {
        Some(number) => Err(format!("{name} is {number}")),
        None => Ok(()),
    }
}

/// Returns each item of an output as text. The text of an `f64` is the shortest that parses back to it, so equal texts
/// are equal bits.
pub(crate) fn lines(output: Output) -> Vec<String> {
    match output {
        Output::Keys(keys) => keys.iter().flatten().map(|key| format!("{key:?}")).collect(),
        Output::Scores(scores) => scores.iter().flatten().map(|score| format!("{score:?}")).collect(),
        Output::Valuations(valuations) => valuations.iter().map(|valuation| format!("{valuation:?}")).collect(),
    }
}

/// Returns the first pair of lines that differ.
pub(crate) fn difference(one: &[String], other: &[String]) -> Option<String> {
    let pair = one.iter().zip(other).find(|(one, other)| one != other);
    pair.map(|(one, other)| format!("{} against {}", shortened(one), shortened(other)))
}

/// Returns the first 120 characters of a text in quotes, for a message. Control characters and marks that change the
/// direction of text are escaped: a plugin chose them.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Returns the first 120 characters of a text.
pub(crate) fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
