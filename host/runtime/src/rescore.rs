//! Another plugin on the recorded batches of a run.

use std::path::Path;

use alft_plugin_host::ledger::{self, Record, replay};
use alft_plugin_host::{Failure, Plugin};
use alft_sdk::call::{Entries, Item};
use alft_sdk::roles::Batch;
use alft_text::Foreign;
use serde::{Serialize, Serializer};

use crate::error::Result;
use crate::stats::Mean;

/// Calls a plugin with every batch of a ledger that is for one of its roles, and compares the results with the recorded
/// ones: a comparison for each of the run's plugins and roles. `with` names one of the run's plugins; `max_changes` bounds
/// the changes that are kept of each.
///
/// # Errors
/// The ledger cannot be read.
pub fn rescore(ledger: &Path, plugin: &Plugin, with: Option<&str>, max_changes: usize) -> Result<Vec<Comparison>> {
    let mut names: Vec<String> = Vec::new();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for record in ledger::read(ledger)? {
        match record? {
            Record::Header { .. } => {}
            Record::Plugin(record) => names.push(record.name.into_owned()),
            Record::Batch { step, plugin: number, batch, calls } => {
                let name = names.get(number).map_or("?", String::as_str);
                if !plugin.has(batch.role()) || with.is_some_and(|wanted| wanted != name) {
                    continue;
                }
                let before = replay::items(&batch, &calls);
                let now = plugin.call(&batch).items;
                comparison(&mut comparisons, name, batch.role().name()).add(step, &batch, &before, &now, max_changes);
            }
        }
    }
    Ok(comparisons)
}

/// The new plugin compared with one of the run's plugins in one role.
#[derive(Debug, Default, Serialize)]
pub struct Comparison {
    /// The name of the run's plugin.
    pub with: String,
    /// The role's name.
    pub role: &'static str,
    /// Items that both plugins were asked about.
    pub items: u64,
    /// Items with another result.
    pub changed: u64,
    /// Items on which only the run's plugin failed.
    pub failed_before: u64,
    /// Items on which only the new plugin failed.
    pub failed_now: u64,
    /// Mean score or utility of the items that have one from both plugins.
    #[serde(serialize_with = "serialize_mean")]
    pub mean_before: Mean,
    /// The mean of the new plugin.
    #[serde(serialize_with = "serialize_mean")]
    pub mean_now: Mean,
    /// The first changes.
    pub changes: Vec<ItemChange>,
}

fn serialize_mean<S: Serializer>(mean: &Mean, serializer: S) -> Result<S::Ok, S::Error> {
    mean.get().serialize(serializer)
}

/// An item with another result.
#[derive(Debug, Serialize)]
pub struct ItemChange {
    /// The step of the run, from 1.
    pub step: u64,
    /// The item, for people.
    pub item: String,
    /// The result of the run's plugin.
    pub before: String,
    /// The result of the new plugin.
    pub now: String,
}

/// Returns the comparison with a plugin in a role. Adds it if there is none.
fn comparison<'a>(all: &'a mut Vec<Comparison>, with: &str, role: &'static str) -> &'a mut Comparison {
    let index = all.iter().position(|one| one.with == with && one.role == role).unwrap_or_else(|| {
        all.push(Comparison { with: with.into(), role, ..Comparison::default() });
        all.len() - 1
    });
    &mut all[index]
}

type ItemResult = std::result::Result<Item, Failure>;

impl Comparison {
    /// Compares the results of a batch. Keeps the first `max_changes` changes.
    fn add(&mut self, step: u64, batch: &Batch<'_>, before: &[ItemResult], now: &[ItemResult], max_changes: usize) {
        for ((before, now), item) in before.iter().zip(now).zip(labels(batch)) {
            self.items += 1;
            self.failed_before += u64::from(before.is_err() && now.is_ok());
            self.failed_now += u64::from(now.is_err() && before.is_ok());
            if let (Some(before), Some(now)) = (number(before), number(now)) {
                self.mean_before.add(before);
                self.mean_now.add(now);
            }
            if before.as_ref().ok() != now.as_ref().ok() {
                self.changed += 1;
                if self.changes.len() < max_changes {
                    self.changes.push(ItemChange { step, item, before: text(before), now: text(now) });
                }
            }
        }
    }
}

/// Returns a label for each item of a batch.
fn labels(batch: &Batch<'_>) -> Vec<String> {
    let shorten = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    };
    match batch.entries() {
        Entries::Texts(entries) => entries
            .iter()
            .flat_map(|entry| {
                entry.texts.iter().map(|text| format!("prompt {}, {}", Foreign::new(&entry.prompt.id), shorten(text)))
            })
            .collect(),
        Entries::Bundles(bundles) => {
            bundles.iter().map(|bundle| format!("bundle {}", Foreign::new(&bundle.id))).collect()
        }
    }
}

/// Returns the score or utility of an item.
fn number(item: &ItemResult) -> Option<f64> {
    match item {
        Ok(Item::Score(score)) => Some(*score),
        Ok(Item::Valuation(valuation)) => Some(valuation.utility),
        Ok(Item::Key(_)) | Err(_) => None,
    }
    .filter(|number| number.is_finite())
}

fn text(item: &ItemResult) -> String {
    match item {
        Ok(Item::Key(Some(key))) => format!("{key:?}"),
        Ok(Item::Key(None)) => "no answer".into(),
        Ok(Item::Score(score)) => score.to_string(),
        Ok(Item::Valuation(valuation)) => format!("utility {:.6}", valuation.utility),
        Err(failure) => format!("failed ({})", failure.kind),
    }
}
