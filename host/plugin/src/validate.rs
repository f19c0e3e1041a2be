//! Validation of batches before a call and of outputs after it. No number leaves the host unchecked.

use alft_sdk::Manifest;
use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::call::{Entries, Item, Output};
use alft_sdk::roles::Batch;

use crate::batch::call::BatchResult;
use crate::batch::size::output_bytes;
use crate::failure::{Failure, FailureKind};
use crate::limits::Limits;

/// Bytes that an output may have for each item beside the item's key: a list and a number.
const ITEM_BYTES: usize = 64;

/// Refuses a batch that must not reach a plugin.
pub(crate) fn batch(batch: &Batch<'_>) -> Result<(), Failure> {
    let Entries::Bundles(bundles) = batch.entries() else { return Ok(()) };
    let fits = |bundle: &Bundle| {
        let mut answers = bundle.groups.iter().flat_map(|group| &group.answers);
        answers.all(|answer| answer.scores.len() == bundle.verifiers.len())
    };
    // The C ABI has one length for all answers, so a library would read past the shorter list.
    match bundles.iter().all(fits) {
        true => Ok(()),
        false => Err(Failure::new(FailureKind::Shape, "an answer does not have one score for each verifier")),
    }
}

/// Refuses an output that is too large to be kept until the step is recorded: bisection may make a thousand calls.
pub(crate) fn output_size(batch: &Batch<'_>, output: Output, limits: &Limits) -> Result<Output, Failure> {
    let count = match batch.entries() {
        Entries::Bundles(bundles) => bundles.iter().flat_map(|bundle| &bundle.groups).map(|g| g.answers.len()).sum(),
        Entries::Texts(_) => batch.item_count(),
    };
    let limit = limits.key_bytes;
    let (bytes, max_bytes) = (output_bytes(&output), limit.saturating_add(ITEM_BYTES).saturating_mul(count.max(1)));
    if bytes <= max_bytes {
        return Ok(output);
    }
    let detail = format!("returned {bytes} bytes for {count} items; `limits.key_bytes` is {limit} for each");
    Err(Failure::new(FailureKind::Output, detail))
}

/// Splits an output into the items of each entry, or fails if its shape is not that of the batch.
pub(crate) fn entries(batch: &Batch<'_>, output: Output) -> Result<Vec<Vec<Item>>, Failure> {
    let shape = |detail| Failure::new(FailureKind::Shape, detail);
    if output.kind() != batch.role().returns() {
        return Err(shape(format!("the results are not those of a {}", batch.role())));
    }
    let entries = output.into_entries();
    if entries.len() != batch.len() {
        return Err(shape(format!("{} results for {} entries", entries.len(), batch.len())));
    }
    for (at, (items, wanted)) in entries.iter().zip(batch.entries().item_counts()).enumerate() {
        if items.len() != wanted {
            let found = items.len();
            return Err(shape(format!("{found} results for {wanted} texts of prompt {}", prompt_id(batch, at))));
        }
    }
    Ok(entries)
}

/// Turns each item that has an invalid value into a failure.
pub(crate) fn items(result: &mut BatchResult, batch: &Batch<'_>, manifest: &Manifest, limits: &Limits) {
    for (at, item) in result.items.iter_mut().enumerate() {
        let checked = match (&*item, batch.entries()) {
            (Err(_), _) => continue,
            (Ok(Item::Key(key)), _) => check_key(key.as_deref(), limits),
            (Ok(Item::Score(score)), _) => check_score(*score, manifest),
            (Ok(Item::Valuation(valuation)), Entries::Bundles(bundles)) => check_valuation(valuation, &bundles[at]),
            (Ok(Item::Valuation(_)), _) => unreachable!("the results are those of the batch's role"),
        };
        if let Err(failure) = checked {
            *item = Err(failure);
        }
    }
}

fn check_key(key: Option<&str>, limits: &Limits) -> Result<(), Failure> {
    let (bytes, limit) = (key.map_or(0, str::len), limits.key_bytes);
    if bytes <= limit {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Output, format!("returned a key of {bytes} bytes; `limits.key_bytes` is {limit}")))
}

fn check_score(score: f64, manifest: &Manifest) -> Result<(), Failure> {
    check_finite("score", score)?;
    match manifest.score_range {
        Some((low, high)) if score < low || score > high => {
            Err(Failure::new(FailureKind::OutOfRange, format!("scored {score:?}, but promises {low:?} to {high:?}")))
        }
        _ => Ok(()),
    }
}

fn check_valuation(valuation: &Valuation, bundle: &Bundle) -> Result<(), Failure> {
    check_finite("utility", valuation.utility)?;
    if let Some(violation) = valuation.violation {
        check_finite("violation", violation)?;
    }
    let found: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
    let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
    if found != wanted {
        let detail = format!("rewards of the shape {found:?} for answers of the shape {wanted:?}");
        return Err(Failure::new(FailureKind::Shape, detail));
    }
    valuation.rewards.iter().flatten().try_for_each(|reward| check_finite("reward", *reward))
}

fn check_finite(name: &str, value: f64) -> Result<(), Failure> {
    if value.is_finite() { Ok(()) } else { Err(Failure::new(FailureKind::NonFinite, format!("a {name} is {value}"))) }
}

fn prompt_id<'a>(batch: &'a Batch<'_>, entry: usize) -> &'a str {
    match batch.entries() {
        Entries::Texts(entries) => &entries[entry].prompt.id,
        Entries::Bundles(bundles) => &bundles[entry].id,
    }
}
