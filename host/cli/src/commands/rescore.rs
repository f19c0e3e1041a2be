//! `alft rescore`: calls another plugin with the recorded batches of a run, and compares the results.

use std::path::PathBuf;

use alft_plugin_host::ledger::{self, Record, replay};
use alft_plugin_host::{Failure, Limits, NativeTrust};
use alft_runtime::record::RunDir;
use alft_runtime::stats::Mean;
use alft_sdk::batch::{Batch, Item, Role};
use serde::{Serialize, Serializer};

use super::plugin::{cannot_use, open};
use crate::engine;
use crate::error::{Error, Result};

/// Call another plugin with the recorded inputs of a run, and show the changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft rescore runs/quickstart --plugin stricter.wasm --config '{\"marker\": \"=\"}'\n\n\
The new plugin gets every input that the run's plugins of the same role got: completions for a reader or a grader, \
answers for a verifier, bundles for an objective. Nothing is trained, and the run's folder does not change.")]
pub(crate) struct RescoreArgs {
    /// The run's folder
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// The new plugin: a component or a native library
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    /// The new plugin's configuration, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Compare with the plugin of this name in the run alone
    #[arg(long, value_name = "NAME")]
    with: Option<String>,
    /// Number of changes to show for each plugin
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
    /// Run a native library, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object for each plugin of the run
    #[arg(long)]
    json: bool,
}

/// The new plugin compared with one of the run's plugins in one role.
#[derive(Debug, Default, Serialize)]
struct Comparison {
    /// Name of the run's plugin.
    with: String,
    role: &'static str,
    items: u64,
    changed: u64,
    /// Items on which only the run's plugin failed.
    failed_before: u64,
    /// Items on which only the new plugin failed.
    failed_now: u64,
    /// Mean score or utility of the items that have one from both plugins.
    #[serde(serialize_with = "serialize_mean")]
    mean_before: Mean,
    #[serde(serialize_with = "serialize_mean")]
    mean_now: Mean,
    changes: Vec<Change>,
}

fn serialize_mean<S: Serializer>(mean: &Mean, serializer: S) -> Result<S::Ok, S::Error> {
    mean.get().serialize(serializer)
}

/// An item with another result.
#[derive(Debug, Serialize)]
struct Change {
    step: u64,
    item: String,
    before: String,
    now: String,
}

/// A run without a call that the new plugin could be compared with.
#[derive(Debug, thiserror::Error)]
#[error(
    "the ledger of {} has no call of a {roles}{}; name a run whose plugins have such a role",
    run.display(),
    with.as_ref().map_or(String::new(), |with| format!(" by \"{with}\""))
)]
struct NothingToCompare {
    run: PathBuf,
    roles: String,
    with: Option<String>,
}

pub(crate) fn run(args: &RescoreArgs) -> Result<()> {
    let name = args.plugin.display().to_string();
    let limits = Limits::default();
    let native = if args.trust_native { NativeTrust::Process } else { NativeTrust::Refused };
    let plugin =
        open(&args.plugin, &args.config, &limits, native, &engine::start(&limits)?).map_err(cannot_use(&name))?;
    let mut names: Vec<String> = Vec::new();
    let mut comparisons: Vec<Comparison> = Vec::new();
    for record in ledger::read(&RunDir { path: args.run.clone() }.ledger())? {
        match record? {
            Record::Header { .. } => {}
            Record::Plugin(record) => names.push(record.name.into_owned()),
            Record::Batch { step, plugin: number, batch, calls } => {
                let with = names.get(number).map_or("?", String::as_str);
                if !plugin.has(batch.role()) || args.with.as_ref().is_some_and(|wanted| wanted != with) {
                    continue;
                }
                let before = replay::items(&batch, &calls);
                let now = plugin.call(&batch).items;
                comparison(&mut comparisons, with, batch.role().name()).add(step, &batch, &before, &now, args.show);
            }
        }
    }
    if comparisons.is_empty() {
        let roles = plugin.roles().iter().map(Role::name).collect::<Vec<_>>().join(" or a ");
        let error = NothingToCompare { run: args.run.clone(), roles, with: args.with.clone() };
        return Err(Error::plugin(&name)(error));
    }
    for comparison in &comparisons {
        match args.json {
            true => say!("{}", serde_json::to_string(comparison).expect("a comparison is plain data")),
            false => comparison.print(),
        }
    }
    Ok(())
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
                    self.changes.push(Change { step, item, before: text(before), now: text(now) });
                }
            }
        }
    }

    fn print(&self) {
        let share = 100.0 * self.changed as f64 / self.items as f64;
        say!("{} as {}: {} of {} items would change ({share:.1}%)", self.with, self.role, self.changed, self.items);
        if let (Some(before), Some(now)) = (self.mean_before.get(), self.mean_now.get()) {
            say!("  mean {before:.4} before, {now:.4} now");
        }
        if self.failed_before + self.failed_now > 0 {
            say!("  failed on {} items only before, on {} only now", self.failed_before, self.failed_now);
        }
        for Change { step, item, before, now } in &self.changes {
            say!("  step {step:<6}{item}: {before} → {now}");
        }
        let more = self.changed - self.changes.len() as u64;
        if more > 0 && !self.changes.is_empty() {
            say!("  and {more} more (--show)");
        }
    }
}

/// Returns a label for each item of a batch.
fn labels(batch: &Batch<'_>) -> Vec<String> {
    let shorten = |text: &str| match text.char_indices().nth(60) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    };
    match batch {
        Batch::Reader(entries) | Batch::Grader(entries) | Batch::Verifier(entries) => entries
            .iter()
            .flat_map(|entry| entry.texts.iter().map(|text| format!("prompt {}, {}", entry.prompt.id, shorten(text))))
            .collect(),
        Batch::Objective(bundles) => bundles.iter().map(|bundle| format!("bundle {}", bundle.id)).collect(),
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
