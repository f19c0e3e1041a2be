//! `alft score`: plugins over stored completions.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alft_game::TargetConfig;
use alft_plugin_host::Limits;
use alft_runtime::config::{PluginEntry, RunFileWatcher};
use alft_runtime::data::{AnsweredQuestion, read_completions};
use alft_runtime::plugins::{PinSource, PluginEvent, PluginSet};
use alft_runtime::reward::{self, RewardConfig, TargetState};
use alft_runtime::rollout::{Group, Rollout, Sample};
use alft_runtime::stats::{StepStats, failure_counts};
use serde::Serialize;
use serde_json::json;

use crate::engine;
use crate::error::Result;
use crate::values::PluginArg;

/// Score stored completions with plugins
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft score completions.jsonl --plugin arithmetic.wasm --plugin format.wasm,weight=0.2\n\n\
A line of the file is {\"prompt\": …, \"completions\": […], \"gold\": …}; phrasings of one question have the same \
\"bundle\". One plugin reads the answers, the others reward them, exactly as in a training step: prints the means of the \
plugins, or with --json one object a completion with its answer, rewards and advantage.")]
pub(crate) struct ScoreArgs {
    /// The completions
    #[arg(value_name = "COMPLETIONS.jsonl")]
    completions: PathBuf,
    /// A component or native library: FILE, FILE,weight=W or FILE,weight=W,config=JSON (may be repeated)
    #[arg(long = "plugin", value_name = "FILE", required_unless_present = "run", conflicts_with = "run")]
    plugins: Vec<PluginArg>,
    /// Take the plugins, weights and estimator of this run file
    #[arg(long, value_name = "RUN.toml")]
    run: Option<PathBuf>,
    /// Let native libraries of --plugin run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object a completion
    #[arg(long)]
    json: bool,
}

/// A completion with its rewards.
#[derive(Debug, Serialize)]
struct Line<'a> {
    prompt: &'a str,
    sample: usize,
    answer: Option<&'a str>,
    rewards: BTreeMap<String, f64>,
    accuracy: Option<f64>,
    reward: Option<f64>,
    advantage: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<&'a str>,
}

pub(crate) fn run(args: &ScoreArgs) -> Result<()> {
    let answered = read_completions(&args.completions)?;
    let run = args.run.as_ref().map(|path| RunFileWatcher::new(path.clone(), Vec::new())).transpose()?;
    let run = run.map(|(_, run)| run);
    let estimator = run.as_ref().map(|run| run.game.estimator).unwrap_or_default();
    let sizes = answered.iter().map(|answered| answered.completions.iter().map(Vec::len));
    let sizes = sizes.flat_map(|sizes| sizes.clone().chain([sizes.sum()]).collect::<Vec<usize>>());
    estimator.prepare(sizes.filter(|size| *size > 1).map(|size| size as u32))?;
    let plugins = match &run {
        Some(run) => open(&run.plugins, &run.limits)?,
        None => open(&args.entries(), &Limits::default())?,
    };
    let config = RewardConfig {
        step: 0,
        estimator: &estimator,
        target: TargetConfig::default(),
        advantage: run.as_ref().map(|run| run.game.advantage).unwrap_or_default(),
        kl_penalty: None,
    };
    let mut rollouts: Vec<Rollout<'_>> = answered.iter().map(rollout).collect();
    let stats = reward::assign(&mut rollouts, &plugins, &mut TargetState::default(), &config);
    for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
        stats.failures.values().for_each(|(_, first)| eprintln!("plugin {} failed: {first}", plugin.name));
    }
    if args.json {
        for group in rollouts.iter().flat_map(|rollout| &rollout.groups) {
            for (index, sample) in group.samples.iter().enumerate() {
                let line = line(group, index, sample, &plugins);
                say!("{}", serde_json::to_string(&line).expect("a line is plain data"));
            }
        }
    } else {
        print(&plugins, &stats);
    }
    Ok(())
}

fn open(entries: &[PluginEntry], limits: &Limits) -> Result<PluginSet> {
    let mut observer = |event: PluginEvent<'_>| match event {
        PluginEvent::Build { event, .. } => eprintln!("{event}"),
        PluginEvent::Opened { name, description } => eprintln!("plugin {name}: {description}"),
    };
    Ok(PluginSet::open(entries, limits, PinSource::Unpinned, &engine::worker()?, &mut observer)?)
}

fn rollout(answered: &AnsweredQuestion) -> Rollout<'_> {
    let phrasings = answered.question.prompts.iter().zip(&answered.completions);
    let groups = phrasings.map(|(prompt, completions)| Group::new(prompt, Vec::new(), completions.clone()));
    Rollout { question: &answered.question, groups: groups.collect() }
}

fn line<'a>(group: &'a Group<'_>, index: usize, sample: &'a Sample, plugins: &PluginSet) -> Line<'a> {
    let mut rewards = BTreeMap::new();
    for reward in &sample.rewards {
        *rewards.entry(plugins.get(reward.plugin).name.clone()).or_default() += reward.value;
    }
    Line {
        prompt: &group.prompt.id,
        sample: index,
        answer: sample.answer.key(),
        rewards,
        accuracy: sample.accuracy,
        reward: sample.reward,
        advantage: sample.advantage,
        dropped: sample.dropped.as_deref(),
    }
}

fn print(plugins: &PluginSet, stats: &StepStats) {
    let number = |value: Option<f64>| value.map_or("–".into(), |value| format!("{value:.4}"));
    say!("{:<24}{:>10}{:>10}{:>10}{:>14}  failures", "plugin", "weight", "mean", "std", "fuel");
    for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
        let counts: BTreeMap<&str, u64> = stats.failures.iter().map(|(kind, (count, _))| (*kind, *count)).collect();
        let (mean, std) = (number(stats.reward.get()), number(stats.reward_std()));
        let weight = plugin.weight.at(0);
        say!("{:<24}{weight:>10}{mean:>10}{std:>10}{:>14}  {}", plugin.name, stats.usage.fuel, failure_counts(&counts));
    }
    let averages = &stats.averages;
    say!(
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
            let stem = plugin.path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            let count = names.entry(stem.clone()).or_default();
            *count += 1;
            let name = if *count == 1 { stem } else { format!("{stem}-{count}") };
            let config: serde_json::Value = serde_json::from_str(&plugin.config).expect("the argument was parsed");
            let mut table = json!({ "name": name, "path": plugin.path, "weight": plugin.weight, "config": config });
            if self.trust_native {
                table["trust"] = "native".into();
            }
            serde_json::from_value(table).expect("a plugin's table is complete")
        };
        self.plugins.iter().map(&mut entry).collect()
    }
}
