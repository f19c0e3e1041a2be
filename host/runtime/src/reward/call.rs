//! One batch call of a plugin, with its fuel shared out over the samples that it was about.

use alft_plugin_host::Failure;
use alft_sdk::call::{Entries, Item, PromptTexts};
use alft_sdk::roles::{Batch, Role};
use alft_sdk::{Prompt, Valuation};

use crate::config::OnLimit;
use crate::plugins::RunPlugin;
use crate::rollout::Group;
use crate::stats::PluginStepStats;

/// The results of a batch, one for each item in the batch's order, and the price of their bytes.
pub(super) struct Replies {
    items: std::vec::IntoIter<Result<Item, Failure>>,
    /// Fuel of a byte of input: what the items of a batch used is metered together, so it is shared out by the bytes of
    /// each item, as fuel itself is granted by bytes.
    fuel_per_byte: f64,
}

impl Replies {
    /// Calls the plugin and records the call.
    pub(super) fn of(plugin: &RunPlugin, batch: Batch<'static>, stats: &mut PluginStepStats) -> Self {
        let bytes = batch_bytes(&batch);
        let result = plugin.scorer.call(&batch);
        let fuel = result.usage.fuel as f64;
        let items = stats.record(batch, result).into_iter();
        Self { items, fuel_per_byte: if bytes == 0 { 0.0 } else { fuel / bytes as f64 } }
    }

    /// The next completion's answer key.
    pub(super) fn key(&mut self) -> Result<Option<String>, Failure> {
        self.next().map(|item| match item {
            Item::Key(key) => key,
            Item::Score(_) | Item::Valuation(_) => unreachable!("the role returns keys"),
        })
    }

    /// The next completion's or answer's score.
    pub(super) fn score(&mut self) -> Result<f64, Failure> {
        self.next().map(|item| match item {
            Item::Score(score) => score,
            Item::Key(_) | Item::Valuation(_) => unreachable!("the role returns scores"),
        })
    }

    /// The next bundle's valuation.
    pub(super) fn valuation(&mut self) -> Result<Valuation, Failure> {
        self.next().map(|item| match item {
            Item::Valuation(valuation) => valuation,
            Item::Key(_) | Item::Score(_) => unreachable!("the role returns valuations"),
        })
    }

    fn next(&mut self) -> Result<Item, Failure> {
        self.items.next().expect("a batch has a result for each of its items")
    }

    /// The fuel of an item of so many bytes.
    pub(super) fn fuel(&self, bytes: usize) -> f64 {
        self.fuel_per_byte * bytes as f64
    }
}

/// Returns the score that the run file has for a verifier's or grader's failure on an item, or else the reason to drop
/// its samples. Counts the failure; `place` names the item.
pub(super) fn score_of_failure(
    (plugin, role): (&RunPlugin, Role),
    failure: &Failure,
    stats: &mut PluginStepStats,
    place: impl FnOnce() -> String,
) -> Result<f64, String> {
    if let Some(OnLimit { score, .. }) = plugin.at_limit(failure) {
        stats.reached_limit(role, failure, place);
        return Ok(score);
    }
    stats.failed(failure, place);
    plugin.on_error.score().ok_or_else(|| plugin.reason(failure))
}

/// A group's completions as a reader or grader is given them: those of the samples that no plugin failed on. Before the
/// reader is asked, that is all of them.
pub(super) fn kept_completions(group: &Group<'_>) -> PromptTexts {
    let texts = group.kept().map(|sample| sample.completion.text.clone()).collect();
    PromptTexts { prompt: group.prompt.clone(), texts }
}

/// Bytes of an item's input: a text of a prompt.
pub(super) fn text_bytes(prompt: &Prompt, text: &str) -> usize {
    // Metadata is a JSON object, so no item is without a byte.
    prompt.text.len() + prompt.metadata.len() + text.len()
}

/// Bytes of an item's input: a bundle.
pub(super) fn bundle_bytes(bundle: &alft_sdk::Bundle) -> usize {
    let group = |group: &alft_sdk::Group| {
        text_bytes(&group.prompt, "") + group.answers.iter().map(|answer| answer.key.len()).sum::<usize>()
    };
    bundle.groups.iter().map(group).sum()
}

fn batch_bytes(batch: &Batch<'_>) -> usize {
    let texts = |entries: &[PromptTexts]| -> usize {
        entries.iter().flat_map(|entry| entry.texts.iter().map(|text| text_bytes(&entry.prompt, text))).sum()
    };
    match batch.entries() {
        Entries::Texts(entries) => texts(entries),
        Entries::Bundles(bundles) => bundles.iter().map(bundle_bytes).sum(),
    }
}
