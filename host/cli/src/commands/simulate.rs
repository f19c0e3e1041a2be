//! `alft simulate`: exact games played from samples, measured against their equilibria.

use std::path::PathBuf;
use std::sync::Mutex;

use alft_game::estimator::SurprisalEstimator;
use alft_game::{Baseline, TargetConfig, TargetDynamics};
use alft_policy::KlPenalty;
use alft_runtime::data::read_games;
use alft_runtime::{Outcome, SimulationConfig, SimulationProgress, simulate};
use clap::ValueEnum;

use crate::error::Result;
use crate::plots;
use crate::print;
use crate::progress::Progress;
use crate::values::{group, positive, share};

/// Play exact games from samples, with a tabular policy, and show how far from the equilibrium that ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft simulate examples/estimators/games.jsonl --group 4,8,16 --estimator plug-in,variance-optimal\n\n\
Only the language model is missing: samples go through the same groups, estimates, objectives, target, advantages, GRPO \
loss and AdamW as in `alft train`. regret: value of the equilibrium less that of the trained policy; distance: total \
variation between their answer marginals; both as mean ± standard error over seeds.")]
pub(crate) struct SimulateArgs {
    /// Games, in the format of `alft solve`
    #[arg(value_name = "GAMES.jsonl")]
    games: PathBuf,
    /// K: traces sampled for each prompt and step; several with commas
    #[arg(long = "group", value_name = "K", value_delimiter = ',', default_value = "8", value_parser = group)]
    groups: Vec<usize>,
    /// The estimator of −log ν; several with commas
    #[arg(long = "estimator", value_name = "NAME", value_delimiter = ',', default_value = "variance-optimal")]
    estimators: Vec<SurprisalEstimator>,
    /// Training steps
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(5..))]
    steps: u64,
    /// Runs of each kind, with consecutive seeds
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The highest learning rate; it falls to 0 along a cosine
    #[arg(long, value_name = "RATE", default_value_t = 0.03, value_parser = positive)]
    learning_rate: f64,
    /// The price of leaving the reference: in the reward, or k1, k2, k3 or k3-ratio in the loss; several with commas
    #[arg(long, value_name = "FORM", value_delimiter = ',', default_value = "reward")]
    kl: Vec<KlPenalty>,
    /// Compare a sample with the others of its group, not with the mean of all
    #[arg(long)]
    leave_one_out: bool,
    /// The way in which the target moves
    #[arg(long, value_enum, default_value_t)]
    target: TargetName,
    /// The rate at which an averaging or mirror target moves in a step
    #[arg(long, value_name = "RATE", default_value_t = 0.3, value_parser = share)]
    target_rate: f64,
    /// Draw regret and distance by group size
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// [`TargetDynamics`] by the names of the command line.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum TargetName {
    /// The step's own samples
    #[default]
    BestResponse,
    /// A moving average of the samples
    Average,
    /// A moving geometric mean
    Mirror,
}

pub(crate) fn run(args: &SimulateArgs) -> Result<()> {
    let instances = read_games(&args.games)?;
    let progress: Mutex<Option<Progress>> = Mutex::new(None);
    let observer = |SimulationProgress { done, total, latest }: SimulationProgress<'_>| {
        let mut progress = progress.lock().expect("nobody panics with it");
        progress.get_or_insert_with(|| Progress::begin("simulate", 0, total)).at(done, latest);
    };
    let outcomes = simulate(&args.games, &instances, &args.config(), &observer)?;
    if let Some(progress) = progress.into_inner().expect("nobody panics with it") {
        progress.end();
    }
    if let Some(file) = &args.plot {
        plots::draw_outcomes(&outcomes, file)?;
    }
    if args.json {
        for outcome in &outcomes {
            print::json(outcome);
        }
        return Ok(());
    }
    say!("{:<20}{:<10}{:<18}{:>6}{:>24}{:>24}", "game", "kl", "estimator", "group", "regret", "distance");
    for Outcome { game, kl, estimator, group, regret, regret_error, distance, distance_error } in &outcomes {
        let regret = format!("{regret:.6} ± {regret_error:.6}");
        let distance = format!("{distance:.5} ± {distance_error:.5}");
        say!("{game:<20}{kl:<10}{estimator:<18}{group:>6}{regret:>24}{distance:>24}");
    }
    Ok(())
}

impl SimulateArgs {
    fn config(&self) -> SimulationConfig {
        let dynamics = match self.target {
            TargetName::BestResponse => TargetDynamics::BestResponse,
            TargetName::Average => TargetDynamics::Average,
            TargetName::Mirror => TargetDynamics::Mirror,
        };
        SimulationConfig {
            groups: self.groups.clone(),
            estimators: self.estimators.clone(),
            steps: self.steps,
            seed: self.seed,
            seeds: self.seeds,
            learning_rate: self.learning_rate,
            kl: self.kl.clone(),
            baseline: if self.leave_one_out { Baseline::LeaveOneOut } else { Baseline::Mean },
            target: TargetConfig { dynamics, rate: self.target_rate },
        }
    }
}
