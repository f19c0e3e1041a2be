//! Exact games played from samples, by a tabular policy in place of a language model.
//!
//! Everything else is that of a training run: groups, estimates, objectives, target, advantages, the GRPO loss and AdamW.
//! The exact equilibrium is known, so a simulation shows how far sampled training ends from it, by form of the KL
//! penalty, estimator and group size.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use alft_game::estimator::SurprisalEstimator;
use alft_game::exact::objective::{Oracle, Price};
use alft_game::exact::solve::Config;
use alft_game::exact::{Certificate, Solution, solve};
use alft_game::{AdvantageConfig, Baseline, Scale, TargetConfig};
use alft_policy::tabular::{TabularPolicy, sample_index};
use alft_policy::{Completion, Decay, GrpoConfig, KlPenalty, OptimiserConfig, Schedule};
use alft_sdk::{Manifest, Plugin, Prompt, Reader, linked, manifest};
use alft_text::Foreign;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::data::{Instance, Question, Trace};
use crate::error::{Error, Result};
use crate::plugins::{PluginSet, RunPlugin};
use crate::reward::{self, RewardConfig, TargetState};
use crate::rollout::{Group, Rollout, Sample};

/// The step size of dual ascent on the price of a constraint.
const MULTIPLIER_RATE: f64 = 0.1;

/// The largest duality gap of an equilibrium that training is measured against.
const TOLERANCE: f64 = 1e-6;

/// The settings of a simulation. Every combination of KL penalty, estimator and group size is played with every seed.
#[derive(Debug, Clone)]
pub struct SimulationConfig {
    /// K: traces sampled for each prompt and step.
    pub groups: Vec<usize>,
    /// Estimators of −log ν.
    pub estimators: Vec<SurprisalEstimator>,
    /// Training steps.
    pub steps: u64,
    /// The first seed.
    pub seed: u64,
    /// Runs of each combination, with consecutive seeds.
    pub seeds: u64,
    /// The highest learning rate; it falls to 0 along a cosine.
    pub learning_rate: f64,
    /// Forms of the KL penalty.
    pub kl: Vec<KlPenalty>,
    /// The baseline of advantages.
    pub baseline: Baseline,
    /// The dynamics of the target player.
    pub target: TargetConfig,
}

/// The end of sampled training of one game with one KL penalty, estimator and group size, over seeds.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The game's name.
    pub game: String,
    /// The form of the KL penalty.
    pub kl: KlPenalty,
    /// The estimator of −log ν.
    pub estimator: SurprisalEstimator,
    /// K.
    pub group: usize,
    /// J at the equilibrium less J of the trained policy, mean over seeds.
    pub regret: f64,
    /// The standard error of `regret`.
    pub regret_error: f64,
    /// Total variation distance between the trained and the exact answer marginals, mean over prompts and seeds.
    pub distance: f64,
    /// The standard error of `distance`.
    pub distance_error: f64,
}

/// The progress of a simulation: training runs that are done, of how many, and the latest.
#[derive(Debug)]
pub struct SimulationProgress<'a> {
    /// Training runs that are done.
    pub done: u64,
    /// Training runs in all.
    pub total: u64,
    /// The game, KL penalty, estimator and group size of the latest.
    pub latest: &'a str,
}

/// One training run.
struct Trial<'a> {
    config: &'a SimulationConfig,
    path: &'a Path,
    instance: &'a Instance,
    equilibrium: &'a Solution,
    kl: KlPenalty,
    estimator: SurprisalEstimator,
    group: usize,
    seed: u64,
}

/// The end of a training run.
#[derive(Debug, Clone, Copy)]
struct End {
    regret: f64,
    distance: f64,
}

/// Plays the games of the file `path`, on all cores.
///
/// # Errors
/// A game that can be solved and not be sampled, a game without a proved equilibrium, an estimator without a table for a
/// group size, or an objective that fails.
pub fn simulate(
    path: &Path,
    instances: &[Instance],
    config: &SimulationConfig,
    observer: &(dyn Fn(SimulationProgress<'_>) + Sync),
) -> Result<Vec<Outcome>> {
    instances.iter().try_for_each(|instance| check(path, instance))?;
    for estimator in &config.estimators {
        let sizes = config.groups.iter().map(|group| *group as u32);
        let prompts = instances.iter().map(|instance| instance.prompts.len());
        let pooled = prompts.flat_map(|prompts| config.groups.iter().map(move |group| (group * prompts) as u32));
        estimator.prepare(sizes.chain(pooled))?;
    }
    let equilibria: Vec<Solution> =
        instances.iter().map(|instance| equilibrium(path, instance)).collect::<Result<_>>()?;
    let mut trials = Vec::new();
    for (instance, equilibrium) in instances.iter().zip(&equilibria) {
        for &kl in &config.kl {
            for &estimator in &config.estimators {
                for &group in &config.groups {
                    let trial = |seed| Trial { config, path, instance, equilibrium, kl, estimator, group, seed };
                    trials.extend((0..config.seeds).map(|seed| trial(config.seed.wrapping_add(seed))));
                }
            }
        }
    }
    let ends = play_all(&trials, observer)?;
    let outcomes = trials.chunks(config.seeds as usize).zip(ends.chunks(config.seeds as usize));
    Ok(outcomes.map(|(trials, ends)| Outcome::over(&trials[0], ends)).collect())
}

/// Refuses a game that can be solved and not be sampled.
fn check(path: &Path, instance: &Instance) -> Result<()> {
    match instance.traces.iter().flatten().find(|trace| trace.probability == 0.0) {
        Some(trace) => Err(Error::DataLine {
            path: path.into(),
            line: instance.line,
            reason: format!(
                "game \"{}\": a trace of answer \"{}\" has probability 0",
                Foreign::new(&instance.name),
                Foreign::new(&trace.answer)
            ),
            help: "a policy that is trained from samples never meets such a trace; leave it out",
        }),
        None => Ok(()),
    }
}

fn equilibrium(path: &Path, instance: &Instance) -> Result<Solution> {
    let solution =
        solve(&instance.game, &instance.terms, Config::default()).map_err(|error| instance.error(path, &error))?;
    match solution.certificate {
        Some(certificate) if certificate.gap <= TOLERANCE => Ok(solution),
        _ => Err(Error::Uncertified { games: vec![instance.name.clone()] }),
    }
}

fn play_all(trials: &[Trial<'_>], observer: &(dyn Fn(SimulationProgress<'_>) + Sync)) -> Result<Vec<End>> {
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ends = Mutex::new(vec![None; trials.len()]);
    let work = || -> Result<()> {
        while let Some((index, trial)) =
            Some(next.fetch_add(1, Ordering::Relaxed)).and_then(|i| Some((i, trials.get(i)?)))
        {
            let end = trial.play()?;
            ends.lock().expect("no trial panics")[index] = Some(end);
            let Trial { instance, kl, estimator, group, .. } = trial;
            let latest = format!("{} {kl} {estimator} K = {group}", instance.name);
            let done = done.fetch_add(1, Ordering::Relaxed) as u64 + 1;
            observer(SimulationProgress { done, total: trials.len() as u64, latest: &latest });
        }
        Ok(())
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(trials.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no trial panics"))
    })?;
    Ok(ends.into_inner().expect("no trial panics").into_iter().flatten().collect())
}

impl Trial<'_> {
    /// Trains a tabular policy on the game, and measures the mean of its answer marginals over the last fifth of the
    /// steps, in which the learning rate falls from a tenth of its height to 0.
    fn play(&self) -> Result<End> {
        let (instance, steps) = (self.instance, self.config.steps);
        let reference = reference(instance);
        let schedule = Schedule {
            learning_rate: self.config.learning_rate,
            warmup_steps: 0,
            decay: Decay::Cosine,
            total_steps: steps,
            decay_steps: None,
        };
        let mut policy = TabularPolicy::new(&reference, OptimiserConfig { schedule, ..Default::default() })?;
        let plugins = plugins(instance)?;
        let mut targets = TargetState::default();
        let reference_marginals = instance.game.by_answer(&instance.game.reference());
        targets.references.insert(instance.name.clone(), reference_marginals);
        let question = Question::of_texts(instance.name.clone(), instance.prompts.clone());
        let loss = GrpoConfig { beta: instance.game.beta(), kl: self.kl, ..GrpoConfig::default() };
        let config = RewardConfig {
            step: 0,
            estimator: &self.estimator,
            target: self.config.target,
            advantage: AdvantageConfig {
                baseline: self.config.baseline,
                scale: Scale::None,
                ..AdvantageConfig::default()
            },
            kl_penalty: (loss.kl == KlPenalty::Reward).then_some(loss.beta),
        };
        let tail = steps - steps / 5;
        let mut mean: Vec<Vec<f64>> = reference.iter().map(|traces| vec![0.0; traces.len()]).collect();
        for step in 0..steps {
            let probabilities = policy.probabilities()?;
            if step >= tail {
                let all = mean.iter_mut().flatten().zip(probabilities.iter().flatten());
                all.for_each(|(mean, p)| *mean += p / (steps - tail) as f64);
            }
            let mut rng = ChaCha8Rng::from_seed(key(self.seed, step));
            let log_ratios = policy.log_ratios()?;
            let mut rollout = Rollout { question: &question, groups: Vec::new() };
            for (prompt, own) in question.prompts.iter().zip(&probabilities) {
                let drawn: Vec<usize> = (0..self.group).map(|_| sample_index(own, &mut rng)).collect();
                rollout.groups.push(self.group(prompt, &drawn));
            }
            if config.kl_penalty.is_some() {
                for (group, own) in rollout.groups.iter_mut().zip(&log_ratios) {
                    group.samples.iter_mut().for_each(|sample| sample.log_ratio = Some(own[trace(sample)]));
                }
            }
            let stats = reward::assign(std::slice::from_mut(&mut rollout), &plugins, &mut targets, &config);
            for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
                if let Some((_, failure)) = stats.failures.values().next() {
                    return Err(Error::Objective { objective: plugin.name.clone(), failure: failure.clone() });
                }
            }
            let groups = rollout.groups.iter().enumerate();
            let samples = groups.flat_map(|(prompt, group)| group.samples.iter().map(move |sample| (prompt, sample)));
            let samples: Vec<(usize, usize, f64)> =
                samples.filter_map(|(prompt, sample)| Some((prompt, trace(sample), sample.advantage?))).collect();
            policy.grpo_step(&samples, &loss)?;
        }
        self.measure(&mean)
    }

    /// The group of the traces that were drawn for a prompt. A trace's number stands for its tokens, and its answer for
    /// its text.
    fn group<'q>(&self, prompt: &'q Prompt, drawn: &[usize]) -> Group<'q> {
        let place = self.instance.prompts.iter().position(|own| own.id == prompt.id).expect("the game has the prompt");
        let completion = |trace: &usize| Completion {
            tokens: vec![*trace as u32],
            log_probs: Vec::new(),
            text: self.instance.traces[place][*trace].answer.clone(),
            finished: true,
        };
        Group::new(prompt, Vec::new(), drawn.iter().map(completion).collect())
    }

    /// Measures the policy with these probabilities of traces against the equilibrium.
    fn measure(&self, probabilities: &[Vec<f64>]) -> Result<End> {
        let instance = self.instance;
        let marginals: Vec<BTreeMap<&str, f64>> = instance
            .traces
            .iter()
            .zip(probabilities)
            .map(|(traces, probabilities)| {
                let mut marginal = BTreeMap::new();
                for (trace, p) in traces.iter().zip(probabilities) {
                    *marginal.entry(trace.answer.as_str()).or_insert(0.0) += p;
                }
                marginal
            })
            .collect();
        let exact = &self.equilibrium.marginals;
        let apart = |(own, exact): (&BTreeMap<&str, f64>, &BTreeMap<String, f64>)| {
            0.5 * exact.iter().map(|(key, p)| (own[key.as_str()] - p).abs()).sum::<f64>()
        };
        let distance = marginals.iter().zip(exact).map(apart).sum::<f64>() / exact.len() as f64;
        let wrong = |error: alft_game::exact::Error| instance.error(self.path, &error);
        let mut oracle = Oracle::new(&instance.game, &instance.terms).map_err(wrong)?;
        let log_nu = marginals.iter().flat_map(BTreeMap::values).map(|p| p.max(1e-300).ln()).collect();
        // A constraint is priced at its equilibrium price: a policy that breaks the limit pays, one that keeps it is not paid.
        let multipliers = &self.equilibrium.multipliers;
        let prices: Vec<Price> = multipliers.iter().copied().map(Price::fixed).collect();
        let point = oracle.at(log_nu, &prices).map_err(wrong)?;
        let paid: f64 = multipliers.iter().zip(&point.violations).map(|(mu, v)| mu * v.min(0.0)).sum();
        let reached = Certificate::at_prices(&instance.game, &point).lower + paid;
        Ok(End { regret: self.equilibrium.value - reached, distance })
    }
}

impl Outcome {
    fn over(trial: &Trial<'_>, ends: &[End]) -> Self {
        let (regret, regret_error) = mean_and_error(ends.iter().map(|end| end.regret));
        let (distance, distance_error) = mean_and_error(ends.iter().map(|end| end.distance));
        let Trial { instance, kl, estimator, group, .. } = *trial;
        Self { game: instance.name.clone(), kl, estimator, group, regret, regret_error, distance, distance_error }
    }
}

/// The reference policy: the probabilities of each prompt's traces.
fn reference(instance: &Instance) -> Vec<Vec<f64>> {
    let normalised = |traces: &Vec<Trace>| {
        let sum: f64 = traces.iter().map(|trace| trace.probability).sum();
        traces.iter().map(|trace| trace.probability / sum).collect()
    };
    instance.traces.iter().map(normalised).collect()
}

/// The reader of a game: a trace of a tabular policy is its answer.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Traces {}

impl Plugin for Traces {
    fn manifest(&self) -> Manifest {
        manifest!("Takes the whole completion for the answer.")
    }
}

impl Reader for Traces {
    fn read(&self, _: &Prompt, completion: &str) -> alft_sdk::Result<Option<String>> {
        Ok(Some(completion.to_owned()))
    }
}

/// The reader and the game's objectives.
fn plugins(instance: &Instance) -> Result<PluginSet> {
    let reader = linked!(Traces: Reader)("{}").expect("the reader has no settings");
    let objectives = instance.objectives.iter().enumerate().map(|(place, objective)| {
        let plugin = alft_builtin::open(&objective.kind, &objective.config_text())
            .expect("the game was read")
            .expect("the game was read");
        let mut plugin = RunPlugin::linked(&format!("{} {}", place + 1, objective.kind), objective.weight, plugin);
        plugin.multiplier_rate = MULTIPLIER_RATE;
        plugin
    });
    PluginSet::new(std::iter::once(RunPlugin::linked("traces", 1.0, reader)).chain(objectives).collect())
}

/// The trace that a sample stands for.
fn trace(sample: &Sample) -> usize {
    sample.completion.tokens[0] as usize
}

fn key(seed: u64, step: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&step.to_le_bytes());
    key
}

/// The mean and its standard error.
fn mean_and_error(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let variance = values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / (n - 1.0).max(1.0);
    (mean, (variance / n).sqrt())
}
