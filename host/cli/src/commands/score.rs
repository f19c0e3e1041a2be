//! `alft score`: plugins over stored completions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alft_game::{TargetConfig, advantage::Scale};
use alft_plugin_host::Limits;
use alft_registry::Reference;
use alft_runtime::config::{PluginEntry, RunFileWatcher};
use alft_runtime::data::{AnsweredQuestion, read_completions};
use alft_runtime::plugins::{PinSource, PluginEvent, PluginSet};
use alft_runtime::record::ScoreLine;
use alft_runtime::reward::{self, RewardConfig, TargetState};
use alft_runtime::rollout::Rollout;
use alft_runtime::stats::{Averages, StepStats, failure_counts};
use alft_text::Foreign;
use serde_json::json;

use crate::engine;
use crate::error::Result;
use crate::print;
use crate::progress::Progress;
use crate::values::{PluginArg, PluginArgs};

/// Score stored completions with plugins
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("source").args(["plugin", "run"]).required(true).multiple(true))]
#[command(after_help = "\
Example: alft score completions.jsonl --plugin plugins/math --config '{\"strict\": true}' > scores.jsonl\n\n\
A line of the file is {\"id\": …, \"prompt\": …, \"completions\": […], \"gold\": …}; phrasings of one question have the \
same \"bundle\". One plugin reads the answers, the others reward them, exactly as in a training step. For each line one is \
printed: {\"id\": …, \"answers\": […], \"scores\": {PLUGIN: […]}, \"rewards\": […], \"advantages\": […]}, with an entry for \
each completion; a completion that a plugin failed on has {\"failure\": …} in place of its score. The means of the plugins \
follow on standard error.")]
pub(crate) struct ScoreArgs {
    /// The completions
    #[arg(value_name = "COMPLETIONS.jsonl")]
    completions: PathBuf,
    #[command(flatten)]
    plugins: PluginArgs,
    /// Take the plugins, weights and estimator of this run file
    #[arg(long, value_name = "RUN.toml", conflicts_with = "plugin")]
    run: Option<PathBuf>,
    /// Let native libraries of --plugin run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
}

/// Questions that are scored at a time, so that long files show progress and lines come out early.
const AT_A_TIME: usize = 256;

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let answered = read_completions(&args.completions)?;
    let run = args.run.as_ref().map(|path| RunFileWatcher::new(path.clone(), Vec::new())).transpose()?;
    let run = run.map(|(_, run)| run);
    let estimator = run.as_ref().map(|run| run.game.estimator).unwrap_or_default();
    estimator.prepare(answered.iter().flat_map(AnsweredQuestion::sample_sizes))?;
    let plugins = match &run {
        Some(run) => open(&run.plugins, &run.limits)?,
        None => open(&args.entries(), &Limits::default())?,
    };
    let advantage = run.as_ref().map(|run| run.game.advantage).unwrap_or_default();
    let target = TargetConfig::default();
    let config = RewardConfig { step: 0, estimator: &estimator, target, advantage, kl_penalty: None };
    // Advantages that are scaled by their batch are those of a training step of that many questions.
    let steps = run.as_ref().filter(|_| advantage.scale == Scale::Batch);
    let at_a_time = steps.map_or(AT_A_TIME, |run| run.game.bundles_per_step);

    let mut rollouts: Vec<Rollout<'_>> = answered.iter().map(AnsweredQuestion::rollout).collect();
    let mut totals = StepStats::new(&plugins);
    let mut progress = Progress::begin("scored", 0, rollouts.len() as u64);
    let mut done = 0;
    for step in rollouts.chunks_mut(at_a_time) {
        let stats = reward::assign(step, &plugins, &mut TargetState::default(), &config);
        for ((plugin, stats), totals) in plugins.iter().zip(&stats.plugins).zip(&totals.plugins) {
            let first = stats.failures.iter().filter(|(kind, _)| !totals.failures.contains_key(*kind));
            first.for_each(|(_, (_, first))| {
                progress.line(&format!("plugin {} failed: {first}", Foreign::new(&plugin.name)))
            });
        }
        totals.add(stats);
        for group in step.iter().flat_map(|rollout| &rollout.groups) {
            progress.suspend(|| print::json(&ScoreLine::new(group, &plugins)));
        }
        done += step.len() as u64;
        progress.at(done, "questions");
    }
    progress.end();
    tell_means(&plugins, &totals, &Averages::over(&rollouts));
    Ok(())
}

fn open(entries: &[PluginEntry], limits: &Limits) -> Result<PluginSet> {
    let mut observer = |event: PluginEvent<'_>| match event {
        PluginEvent::Build { event, .. } => tell!("{event}"),
        PluginEvent::Opened { name, description } => tell!("plugin {}: {description}", Foreign::new(name)),
    };
    Ok(PluginSet::open(entries, limits, PinSource::Unpinned, &engine::worker()?, &mut observer)?)
}

fn tell_means(plugins: &PluginSet, stats: &StepStats, averages: &Averages) {
    let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.4}"));
    tell!("{:<24}{:>10}{:>10}{:>10}{:>14}  failures", "plugin", "weight", "mean", "std", "fuel");
    for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
        let counts: BTreeMap<&str, u64> = stats.failures.iter().map(|(kind, (count, _))| (*kind, *count)).collect();
        let (mean, std) = (number(stats.reward.get()), number(stats.reward_std()));
        let weight = plugin.weight.at(0);
        tell!(
            "{:<24}{weight:>10?}{mean:>10}{std:>10}{:>14}  {}",
            Foreign::new(&plugin.name),
            stats.usage.fuel,
            failure_counts(&counts)
        );
    }
    tell!(
        "accuracy {}  reward {:.4}  entropy {:.3}  JSD {}  without an answer {:.1}%  dropped {}",
        number(averages.accuracy),
        averages.reward,
        averages.entropy,
        number(averages.jsd),
        100.0 * averages.unreadable,
        averages.dropped
    );
}

impl ScoreArgs {
    /// The plugins as a run file would name them: by their files' stems.
    fn entries(&self) -> Vec<PluginEntry> {
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        let mut entry = |plugin: &PluginArg| {
            let stem = match Reference::of_path(&plugin.path) {
                Some(Ok(reference)) => reference.name().rsplit('/').next().map(str::to_owned),
                _ => plugin.path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
            };
            let stem = stem.unwrap_or_default();
            let count = names.entry(stem.clone()).or_default();
            *count += 1;
            let name = if *count == 1 { stem } else { format!("{stem}-{count}") };
            let source = if plugin.path.is_dir() { "crate" } else { "path" };
            let mut table =
                json!({ "name": name, source: plugin.path, "weight": plugin.weight, "config": plugin.config });
            if self.trust_native {
                table["trust"] = "native".into();
            }
            serde_json::from_value(table).expect("a plugin's table is complete")
        };
        self.plugins.0.iter().map(&mut entry).collect()
    }
}
