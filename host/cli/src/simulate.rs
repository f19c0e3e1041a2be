//! `alft simulate`: exact games played from samples, by a tabular policy in place of a language model. Everything else
//! is what `alft train` does: groups, classes, estimates, objectives, target, advantages, the GRPO loss and AdamW. The
//! exact equilibrium is known, so it shows how far sampled training ends from it, by estimator and group size.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use alft_game::estimator::SurprisalEstimator;
use alft_game::exact::objective::{Oracle, Price};
use alft_game::exact::solve::Config;
use alft_game::exact::{Certificate, solve};
use alft_game::{AdvantageConfig, Scale, TargetConfig};
use alft_policy::tabular::{Tabular, choose};
use alft_policy::{Decay, GrpoConfig, KlPenalty, OptimiserConfig, Schedule};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::args::SimulateArgs;
use crate::error::{Error, Result};
use crate::games::{self, Instance};
use crate::panel::{Panel, Seat};
use crate::picture;
use crate::play::{Answered, Memory, Penalty, Rules, play};
use crate::progress::Progress;
use crate::questions::Asked;

/// The price of a constraint moves at this rate.
const MULTIPLIER_RATE: f64 = 0.1;

/// How well the equilibrium that training is measured against must be known.
const TOLERANCE: f64 = 1e-6;

/// Where sampled training of one game ended, over seeds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Outcome {
    pub(crate) game: String,
    pub(crate) estimator: SurprisalEstimator,
    pub(crate) group: usize,
    /// J at the equilibrium less J of the trained policy, mean over seeds.
    pub(crate) regret: f64,
    /// Its standard error.
    pub(crate) regret_error: f64,
    /// Total variation distance between the trained and the exact answer marginals, mean over prompts and seeds.
    pub(crate) distance: f64,
    /// Its standard error.
    pub(crate) distance_error: f64,
}

/// One training run.
struct Trial<'a> {
    instance: &'a Instance,
    equilibrium: &'a alft_game::exact::Solution,
    estimator: SurprisalEstimator,
    group: usize,
    seed: u64,
}

pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    let instances = games::read(&args.game)?;
    for instance in &instances {
        check(args, instance)?;
    }
    for estimator in &args.estimators {
        let sizes = args.groups.iter().map(|group| *group as u32);
        let pooled = instances.iter().flat_map(|i| args.groups.iter().map(|group| (group * i.prompts.len()) as u32));
        estimator.prepare(sizes.chain(pooled)).map_err(|error| Error::Estimator(error.to_string()))?;
    }
    let equilibria: Vec<_> = instances
        .iter()
        .map(|instance| {
            let solution = solve(&instance.game, &instance.terms, Config::default())
                .map_err(|error| instance.wrong(&args.game, &error))?;
            match solution.certificate {
                Some(certificate) if certificate.gap <= TOLERANCE => Ok(solution),
                _ => Err(Error::Uncertified { games: vec![instance.name.clone()] }),
            }
        })
        .collect::<Result<_>>()?;
    let mut trials = Vec::new();
    for (instance, equilibrium) in instances.iter().zip(&equilibria) {
        for &estimator in &args.estimators {
            for &group in &args.groups {
                let trial = |seed| Trial { instance, equilibrium, estimator, group, seed };
                trials.extend((0..args.seeds).map(|at| trial(args.seed.wrapping_add(at))));
            }
        }
    }
    let ends = all(args, &trials)?;
    let outcomes: Vec<Outcome> = trials
        .chunks(args.seeds as usize)
        .zip(ends.chunks(args.seeds as usize))
        .map(|(trials, ends)| {
            let (regret, regret_error) = mean_and_error(ends.iter().map(|end| end.regret));
            let (distance, distance_error) = mean_and_error(ends.iter().map(|end| end.distance));
            let Trial { instance, estimator, group, .. } = trials[0];
            Outcome { game: instance.name.clone(), estimator, group, regret, regret_error, distance, distance_error }
        })
        .collect();
    if let Some(file) = &args.plot {
        picture::draw_outcomes(&outcomes, file)?;
    }
    if args.json {
        for outcome in &outcomes {
            say!("{}", serde_json::to_string(outcome).expect("an outcome is plain data"));
        }
        return Ok(());
    }
    say!("{:<20}{:<18}{:>6}{:>24}{:>24}", "game", "estimator", "group", "regret", "distance");
    for Outcome { game, estimator, group, regret, regret_error, distance, distance_error } in &outcomes {
        let regret = format!("{regret:.6} ± {regret_error:.6}");
        let distance = format!("{distance:.5} ± {distance_error:.5}");
        say!("{game:<20}{estimator:<18}{group:>6}{regret:>24}{distance:>24}");
    }
    Ok(())
}

/// What can be solved and not be sampled.
fn check(args: &SimulateArgs, instance: &Instance) -> Result<()> {
    let wrong = |reason: String, help| Error::DataLine { path: args.game.clone(), line: instance.line, reason, help };
    match instance.traces.iter().flatten().find(|trace| trace.probability == 0.0) {
        Some(trace) => Err(wrong(
            format!("game \"{}\": a trace of answer \"{}\" has probability 0", instance.name, trace.answer),
            "a policy that is trained from samples never meets it; leave it out",
        )),
        None => Ok(()),
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy)]
struct End {
    regret: f64,
    distance: f64,
}

/// All trials, spread over the cores.
fn all(args: &SimulateArgs, trials: &[Trial<'_>]) -> Result<Vec<End>> {
    let next = AtomicUsize::new(0);
    let ends = Mutex::new(vec![None; trials.len()]);
    let progress = Mutex::new((Progress::begin("simulate", 0, trials.len() as u64), 0));
    let work = || -> Result<()> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(trial) = trials.get(at) else { return Ok(()) };
            let end = trial.play(args)?;
            ends.lock().expect("no trial panics")[at] = Some(end);
            let mut progress = progress.lock().expect("no trial panics");
            progress.1 += 1;
            let done = progress.1;
            let Trial { instance, estimator, group, .. } = trial;
            progress.0.at(done, &format!("{} {estimator} K = {group}", instance.name));
        }
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..cores.min(trials.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("no trial panics"))
    })?;
    progress.into_inner().expect("no trial panics").0.end();
    Ok(ends.into_inner().expect("no trial panics").into_iter().flatten().collect())
}

impl Trial<'_> {
    /// Trains a tabular policy on the game and measures where it ended: the mean of its answer marginals over the last
    /// fifth of the steps, in which the learning rate falls from a tenth of its height to 0.
    fn play(&self, args: &SimulateArgs) -> Result<End> {
        let instance = self.instance;
        let reference: Vec<Vec<f64>> = instance
            .traces
            .iter()
            .map(|traces| {
                let sum: f64 = traces.iter().map(|trace| trace.probability).sum();
                traces.iter().map(|trace| trace.probability / sum).collect()
            })
            .collect();
        let schedule = Schedule {
            learning_rate: args.learning_rate,
            warmup_steps: 0,
            decay: Decay::Cosine,
            total_steps: args.steps,
        };
        let mut policy = Tabular::new(&reference, OptimiserConfig { schedule, ..Default::default() })?;
        let panel = panel(instance);
        let mut memory = Memory::default();
        let reference_marginals = instance.game.by_answer(&instance.game.reference());
        memory.references.insert(instance.name.clone(), reference_marginals);
        let asked = Asked { id: instance.name.clone(), prompts: instance.prompts.clone() };
        let rules = Rules {
            step: 0,
            estimator: &self.estimator,
            target: TargetConfig { dynamics: args.target.into(), rate: args.target_rate },
            advantage: AdvantageConfig { scale: Scale::None, ..AdvantageConfig::default() },
        };
        let loss = GrpoConfig { beta: instance.game.beta(), kl: args.kl.into(), ..GrpoConfig::default() };
        let tail = args.steps - args.steps / 5;
        let mut sum: Vec<Vec<f64>> = reference.iter().map(|traces| vec![0.0; traces.len()]).collect();
        for step in 0..args.steps {
            let probabilities = policy.probabilities()?;
            if step >= tail {
                let all = sum.iter_mut().flatten().zip(probabilities.iter().flatten());
                all.for_each(|(sum, p)| *sum += p / (args.steps - tail) as f64);
            }
            let mut rng = ChaCha8Rng::from_seed(key(self.seed, step));
            let drawn: Vec<Vec<usize>> =
                probabilities.iter().map(|own| (0..self.group).map(|_| choose(own, &mut rng)).collect()).collect();
            let completions = drawn
                .iter()
                .zip(&instance.traces)
                .map(|(drawn, traces)| drawn.iter().map(|at| traces[*at].answer.clone()).collect())
                .collect();
            let ratios = policy.log_ratios()?;
            let paid: Vec<f64> =
                drawn.iter().zip(&ratios).flat_map(|(drawn, own)| drawn.iter().map(|at| own[*at])).collect();
            let penalty = (loss.kl == KlPenalty::Reward).then_some(Penalty { beta: loss.beta, log_ratios: &paid });
            let (played, deeds) = play(&panel, &[Answered { asked: &asked, completions }], rules, penalty, &mut memory);
            if let Some((seat, (_, first))) =
                panel.seats.iter().zip(&deeds).find_map(|(seat, deeds)| Some((seat, deeds.failures.values().next()?)))
            {
                return Err(Error::Plugin { name: seat.name.clone(), reason: first.clone() });
            }
            let advantages = played[0].advantages.iter().zip(&drawn).enumerate();
            let samples: Vec<(usize, usize, f64)> = advantages
                .flat_map(|(prompt, (advantages, drawn))| {
                    let own = advantages.iter().zip(drawn);
                    own.filter_map(move |(advantage, trace)| Some((prompt, *trace, (*advantage)?)))
                })
                .collect();
            policy.grpo_step(&samples, &loss)?;
        }
        self.end(&sum)
    }

    fn end(&self, traces: &[Vec<f64>]) -> Result<End> {
        let instance = self.instance;
        let marginals: Vec<BTreeMap<&str, f64>> = instance
            .traces
            .iter()
            .zip(traces)
            .map(|(listed, probabilities)| {
                let mut marginal = BTreeMap::new();
                for (trace, p) in listed.iter().zip(probabilities) {
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
        let wrong = |error: alft_game::exact::Error| Error::Estimator(error.to_string());
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

fn panel(instance: &Instance) -> Panel {
    let seats = instance.objectives.iter().enumerate().map(|(at, objective)| {
        let plugin = alft_builtin::open(&objective.kind, &objective.config_text())
            .expect("the game was read")
            .expect("the game was read");
        Seat::linked(format!("{} {}", at + 1, objective.kind), objective.weight, MULTIPLIER_RATE, plugin)
    });
    Panel::linked(seats.collect())
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
