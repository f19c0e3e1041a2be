//! The statistics of a step, read off its samples.

use std::collections::BTreeMap;
use std::time::Duration;

use alft_game::{Answer, metrics};
use alft_plugin_host::{BatchResult, Call, Failure, FailureKind, Usage};
use alft_sdk::Valuation;
use alft_sdk::call::Item;
use alft_sdk::roles::{Batch, Role};
use serde::{Deserialize, Serialize};

use super::Mean;
use crate::plugins::PluginSet;
use crate::rollout::Rollout;

/// The statistics of one call of [`reward::assign`](crate::reward::assign).
#[derive(Debug, Clone, Default)]
pub struct StepStats {
    /// One for each plugin, in the run file's order.
    pub plugins: Vec<PluginStepStats>,
    /// Averages over the samples.
    pub averages: Averages,
}

/// A plugin's calls, usage, failures and rewards in a step.
#[derive(Debug, Clone, Default)]
pub struct PluginStepStats {
    /// Calls, fuel, memory and time.
    pub usage: Usage,
    /// Completions, answers and bundles that the plugin was asked about, by the role in which it was.
    pub items: BTreeMap<Role, ItemCount>,
    /// Failures by kind: their number, and the first one with its place.
    pub failures: BTreeMap<&'static str, (u64, String)>,
    /// Lines of diagnostics.
    pub log: Vec<String>,
    /// The batches and the calls that they took, for the ledger; empty for a plugin that is linked in.
    pub calls: Vec<(Batch<'static>, Vec<Call>)>,
    /// Mean of the samples' unweighted rewards.
    pub reward: Mean,
    /// Mean of the squares of the samples' unweighted rewards.
    pub reward_squared: Mean,
    /// Mean of the bundles' utilities.
    pub utility: Mean,
    /// Mean of the bundles' violations.
    pub violation: Mean,
}

/// Items of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ItemCount {
    /// All of them.
    pub asked: u64,
    /// Those without a value.
    pub failed: u64,
}

/// Averages over samples and bundles, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Averages {
    /// Mean of the first verifier's score over kept samples; `None` without a verifier.
    pub accuracy: Option<f64>,
    /// Mean entropy of a group's answers, in nats.
    pub entropy: f64,
    /// Mean Jensen–Shannon divergence between a bundle's groups, in nats; `None` where no bundle has two.
    pub jsd: Option<f64>,
    /// Share of kept samples without a readable answer.
    pub unreadable: f64,
    /// Mean weighted sum of rewards.
    pub reward: f64,
    /// Share of groups whose rewards have no spread.
    pub groups_without_spread: f64,
    /// Samples that a plugin failed on.
    pub dropped: u64,
}

/// The largest magnitude of a score, reward, utility or violation: the sum of squares of such numbers over a model's
/// weights is still a number in single precision. A plugin may return 1e300, which is finite, and the sum of two is not.
const LARGEST: f64 = 1e12;

impl StepStats {
    /// Statistics of nothing, with a place for each plugin.
    pub fn new(plugins: &PluginSet) -> Self {
        Self { plugins: plugins.iter().map(|_| PluginStepStats::default()).collect(), averages: Averages::default() }
    }

    /// Adds the plugins' statistics of another round of the same step, or of another part of a file. Its calls and diagnostics
    /// are on record by themselves, if at all, and averages are not added up.
    pub fn add(&mut self, other: Self) {
        for (own, other) in self.plugins.iter_mut().zip(other.plugins) {
            own.usage.add(other.usage);
            for (role, count) in other.items {
                let own = own.items.entry(role).or_default();
                *own = ItemCount { asked: own.asked + count.asked, failed: own.failed + count.failed };
            }
            for (kind, (count, first)) in other.failures {
                own.failures.entry(kind).or_insert((0, first)).0 += count;
            }
            own.reward.extend(other.reward);
            own.reward_squared.extend(other.reward_squared);
            own.utility.extend(other.utility);
            own.violation.extend(other.violation);
        }
    }

    /// The statistics of the plugin at this place of the run file.
    pub(crate) fn plugin(&mut self, place: usize) -> &mut PluginStepStats {
        &mut self.plugins[place]
    }

    /// Reads averages and mean rewards off samples that have their advantages.
    pub(crate) fn summarize(&mut self, rollouts: &[Rollout<'_>]) {
        for reward in rollouts.iter().flat_map(Rollout::samples).flat_map(|sample| &sample.rewards) {
            let stats = &mut self.plugins[reward.plugin];
            stats.reward.add(reward.value);
            stats.reward_squared.add(reward.value * reward.value);
        }
        self.averages = Averages::over(rollouts);
    }

    /// Wall-clock time within plugins.
    pub fn plugin_time(&self) -> Duration {
        self.plugins.iter().map(|plugin| plugin.usage.time).sum()
    }
}

impl PluginStepStats {
    /// Records a batch call and returns its items, those with a number too large for training replaced by failures.
    pub(crate) fn record(&mut self, batch: Batch<'static>, result: BatchResult) -> Vec<Result<Item, Failure>> {
        let items: Vec<_> = result.items.into_iter().map(|item| item.and_then(bounded)).collect();
        let count = self.items.entry(batch.role()).or_default();
        count.asked += items.len() as u64;
        count.failed += items.iter().filter(|item| item.is_err()).count() as u64;
        self.usage.add(result.usage);
        self.log.extend(result.log);
        if !result.calls.is_empty() {
            self.calls.push((batch, result.calls));
        }
        items
    }

    /// Items of all roles.
    pub fn asked(&self) -> u64 {
        self.items.values().map(|count| count.asked).sum()
    }

    /// Tells the failure of an item of a recorded batch; `place` names the first of its kind.
    pub(crate) fn failed(&mut self, failure: &Failure, place: impl FnOnce() -> String) {
        self.count_failure(failure.kind.name(), || format!("{}: {failure}", place()));
    }

    /// Counts an item on which the plugin used up a limit and that has a worth all the same. It is no failed item: the
    /// failure rate is of those that nothing can be learnt from.
    pub(crate) fn reached_limit(&mut self, role: Role, failure: &Failure, place: impl FnOnce() -> String) {
        self.items.entry(role).or_default().failed -= 1;
        self.failed(failure, place);
    }

    /// Counts a failure that takes the values of so many items, which the plugin returned.
    pub(crate) fn failed_after_all(
        &mut self,
        role: Role,
        kind: &'static str,
        items: u64,
        message: impl FnOnce() -> String,
    ) {
        self.items.entry(role).or_default().failed += items;
        self.count_failure(kind, message);
    }

    fn count_failure(&mut self, kind: &'static str, message: impl FnOnce() -> String) {
        self.failures.entry(kind).or_insert_with(|| (0, message())).0 += 1;
    }

    /// Records an objective's valuation of a bundle.
    pub(crate) fn valued(&mut self, valuation: &Valuation) {
        self.utility.add(valuation.utility);
        valuation.violation.iter().for_each(|violation| self.violation.add(*violation));
    }

    /// Standard deviation of the samples' unweighted rewards.
    pub fn reward_std(&self) -> Option<f64> {
        let (mean, square) = (self.reward.get()?, self.reward_squared.get()?);
        // Rounding must not make a variance negative.
        Some((square - mean * mean).max(0.0).sqrt())
    }
}

/// Refuses an item with a number too large for training.
fn bounded(item: Item) -> Result<Item, Failure> {
    let largest = match &item {
        Item::Key(_) => 0.0,
        Item::Score(score) => score.abs(),
        Item::Valuation(Valuation { utility, rewards, violation }) => {
            let numbers = rewards.iter().flatten().chain([utility]).chain(violation);
            numbers.fold(0.0, |largest: f64, number| largest.max(number.abs()))
        }
    };
    if largest > LARGEST {
        let detail = format!("returned a number of magnitude {largest:e}; training accepts up to {LARGEST:e}");
        return Err(Failure::new(FailureKind::OutOfRange, detail));
    }
    Ok(item)
}

impl Averages {
    /// Averages over rollouts that have their advantages.
    pub fn over(rollouts: &[Rollout<'_>]) -> Self {
        fn average(values: impl Iterator<Item = f64>) -> Option<f64> {
            values.collect::<Mean>().get()
        }
        let answers: Vec<Vec<Vec<Answer>>> =
            rollouts.iter().map(|rollout| rollout.groups.iter().map(|group| group.answers()).collect()).collect();
        let groups = || rollouts.iter().flat_map(|rollout| &rollout.groups);
        let samples = || groups().flat_map(|group| &group.samples);
        let kept = || samples().filter(|sample| sample.is_kept());
        // Answers that nobody could read are wrong by themselves. Where the verifier failed on all the others it measured nothing.
        let measured = samples().any(|sample| sample.accuracy.is_some() && sample.answer != Answer::Unreadable)
            || samples().all(|sample| sample.accuracy.is_some());
        let indicator = |condition: bool| f64::from(u8::from(condition));
        let jsd =
            |groups: &Vec<Vec<Answer>>| metrics::jensen_shannon(&groups.iter().map(Vec::as_slice).collect::<Vec<_>>());
        Self {
            accuracy: measured.then(|| average(samples().filter_map(|sample| sample.accuracy))).flatten(),
            entropy: average(answers.iter().flatten().filter_map(|group| metrics::entropy(group))).unwrap_or(0.0),
            jsd: average(answers.iter().filter_map(jsd)),
            unreadable: average(kept().map(|sample| indicator(sample.answer == Answer::Unreadable))).unwrap_or(0.0),
            reward: average(samples().filter_map(|sample| sample.reward)).unwrap_or(0.0),
            groups_without_spread: average(groups().map(|group| indicator(!group.teaches()))).unwrap_or(0.0),
            dropped: samples().filter(|sample| !sample.is_kept()).count() as u64,
        }
    }
}
