//! The command line.

use std::path::PathBuf;
use std::str::FromStr;

use alft_game::TargetDynamics;
use alft_game::estimator::{EstimatorKind, SurprisalEstimator};
use alft_game::exact::Dynamics;
use alft_policy::KlPenalty;
use clap::{Parser, Subcommand, ValueEnum};

use crate::error::EXIT_CODES;

/// Fine-tunes language models on what their final answers are worth.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Train(TrainArgs),
    Solve(SolveArgs),
    Simulate(SimulateArgs),
    Estimator(EstimatorArgs),
    #[command(subcommand)]
    Plugin(PluginCommand),
}

/// Train a policy against the plugins of a run file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft train examples/quickstart/run.toml --set plugin.coherence.weight=0 --seed 1\n\n\
A run's folder holds metrics.jsonl, samples.jsonl, summary.json, curves.svg, the model in Hugging Face's format, and \
the state from which --resume goes on.")]
pub(crate) struct TrainArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    pub(crate) run: PathBuf,
    /// Override a key of the run file: train.steps=10, plugin.NAME.weight=0.5 (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Training steps (as --set train.steps=N)
    #[arg(long, value_name = "N")]
    pub(crate) steps: Option<u64>,
    /// The seed of every random number (as --set seed=N)
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// The run's folder (as --set output=DIR)
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Go on with the run in this folder from its last saved state
    #[arg(long, value_name = "DIR", conflicts_with = "output")]
    pub(crate) resume: Option<PathBuf>,
    /// Print the summary as JSON on standard output
    #[arg(long)]
    pub(crate) json: bool,
}

impl TrainArgs {
    /// All overrides, those with a flag of their own last.
    pub(crate) fn all_overrides(&self) -> Vec<String> {
        let mut all = self.overrides.clone();
        all.extend(self.steps.map(|steps| format!("train.steps={steps}")));
        all.extend(self.seed.map(|seed| format!("seed={seed}")));
        // As a TOML string: a path may look like a number.
        let folder = self.output.as_ref().or(self.resume.as_ref());
        all.extend(folder.map(|dir| format!("output={}", toml::Value::String(dir.display().to_string()))));
        all
    }
}

/// Play exact games to their Nash equilibria, each with a certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft solve examples/games/games.jsonl --plot paths.svg\n\n\
The gap is the duality gap of the point that is printed: no policy is worth more than value + gap. With --json, one \
object a line: name, value, gap, marginals by prompt, multipliers of constraints, iterations (evaluations of the \
objectives). Exit code 0 only when every gap is within --tolerance, 8 when one is not.")]
pub(crate) struct SolveArgs {
    /// Games, one a line: beta, prompts with traces, objectives
    #[arg(value_name = "GAMES.jsonl")]
    pub(crate) games: PathBuf,
    /// How the players move
    #[arg(long, value_enum, default_value_t)]
    pub(crate) dynamics: DynamicsName,
    /// The duality gap that counts as an equilibrium (default: 1e-8, and 1e-6 for games with constraints)
    #[arg(long, value_name = "GAP", value_parser = positive)]
    pub(crate) tolerance: Option<f64>,
    /// Give a game up after so many evaluations of its objectives
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub(crate) iterations: u64,
    /// Solve the game of this name alone
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Option<String>,
    /// Add a component or native library to every game's objectives: FILE, FILE,weight=W or FILE,weight=W,config=JSON (may be
    /// repeated)
    #[arg(long = "plugin", value_name = "FILE")]
    pub(crate) plugins: Vec<ExtraPlugin>,
    /// Let native libraries of --plugin run, with all the rights of this program
    #[arg(long)]
    pub(crate) trust_native: bool,
    /// Draw both players' paths and the gap
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON object a game
    #[arg(long)]
    pub(crate) json: bool,
}

/// [`Dynamics`], as the command line says it.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum DynamicsName {
    /// KL-proximal policy, accelerated: by far the fastest
    #[default]
    Accelerated,
    /// KL-proximal policy against the target's best response
    BestResponse,
    /// Fictitious play: the target averages, the policy responds in full
    Average,
    /// The target takes mirror steps, the policy responds in full
    Mirror,
}

impl From<DynamicsName> for Dynamics {
    fn from(name: DynamicsName) -> Self {
        match name {
            DynamicsName::Accelerated => Self::Accelerated,
            DynamicsName::BestResponse => Self::BestResponse,
            DynamicsName::Average => Self::Average,
            DynamicsName::Mirror => Self::Mirror,
        }
    }
}

/// Play exact games from samples, with a tabular policy, and show how far from the equilibrium that ends.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft simulate examples/estimators/game.jsonl --group 4,8,16 --estimator plug-in,variance-optimal\n\n\
Only the language model is missing: samples go through the same groups, estimates, objectives, target, advantages, GRPO \
loss and AdamW as in `alft train`. regret: value of the equilibrium less that of the trained policy; distance: total \
variation between their answer marginals; both as mean ± standard error over seeds.")]
pub(crate) struct SimulateArgs {
    /// Games, in the format of `alft solve`
    #[arg(value_name = "GAME.jsonl")]
    pub(crate) game: PathBuf,
    /// K: traces sampled for each prompt and step; several with commas
    #[arg(long = "group", value_name = "K", value_delimiter = ',', default_value = "8", value_parser = group)]
    pub(crate) groups: Vec<usize>,
    /// How −log ν is estimated; several with commas
    #[arg(long = "estimator", value_name = "NAME", value_delimiter = ',', default_value = "variance-optimal")]
    pub(crate) estimators: Vec<SurprisalEstimator>,
    /// Training steps
    #[arg(long, value_name = "N", default_value_t = 3000, value_parser = clap::value_parser!(u64).range(5..))]
    pub(crate) steps: u64,
    /// Runs of each kind, with seeds of their own
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) seeds: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
    /// The highest learning rate; it falls to 0 along a cosine
    #[arg(long, value_name = "RATE", default_value_t = 0.03, value_parser = positive)]
    pub(crate) learning_rate: f64,
    /// Where the price of leaving the reference is paid
    #[arg(long, value_enum, default_value_t)]
    pub(crate) kl: KlName,
    /// How the target moves
    #[arg(long, value_enum, default_value_t)]
    pub(crate) target: TargetName,
    /// How far an averaging or mirror target moves in a step
    #[arg(long, value_name = "RATE", default_value_t = 0.3, value_parser = share)]
    pub(crate) target_rate: f64,
    /// Draw regret and distance by group size
    #[arg(long, value_name = "FILE.svg")]
    pub(crate) plot: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// [`KlPenalty`], as the command line says it.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum KlName {
    /// β log(π/π_ref) off the reward: the game's own equilibrium
    #[default]
    Reward,
    /// k3 in the loss, as GRPO has it: another equilibrium
    Loss,
}

impl From<KlName> for KlPenalty {
    fn from(name: KlName) -> Self {
        match name {
            KlName::Reward => Self::Reward,
            KlName::Loss => Self::Loss,
        }
    }
}

/// [`TargetDynamics`], as the command line says it.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum TargetName {
    /// The step's own samples
    #[default]
    BestResponse,
    /// A moving average of what was sampled
    Average,
    /// A moving geometric mean
    Mirror,
}

impl From<TargetName> for TargetDynamics {
    fn from(name: TargetName) -> Self {
        match name {
            TargetName::BestResponse => Self::BestResponse,
            TargetName::Average => Self::Average,
            TargetName::Mirror => Self::Mirror,
        }
    }
}

/// Print an estimator's table, and its worst bias and second moment.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft estimator --kind variance-optimal --group 16 --bias-factor 4 --json\n\n\
Entry n of the table is the estimate of a sample whose answer n of the other K − 1 samples share. Of −log p: plug-in, \
harmonic, minimax, variance-optimal; of p: leave-one-out; of a power of p: u-statistic.")]
pub(crate) struct EstimatorArgs {
    /// plug-in, leave-one-out, harmonic, u-statistic, minimax or variance-optimal
    #[arg(long, value_name = "NAME", value_parser = crate::estimator::kind)]
    pub(crate) kind: EstimatorKind,
    /// K: the group's size, 2 to 64
    #[arg(long, value_name = "K")]
    pub(crate) group: u32,
    /// variance-optimal: the bias allowed, in units of 0.325/K² (default: 4 up to K = 32, and 8 above)
    #[arg(long, value_name = "C")]
    pub(crate) bias_factor: Option<f64>,
    /// u-statistic: the power of p (default: 2)
    #[arg(long, value_name = "J")]
    pub(crate) order: Option<u32>,
    /// Print a JSON object: table, sup_weighted_bias, max_weighted_second_moment
    #[arg(long)]
    pub(crate) json: bool,
}

/// A plugin put into games from the command line.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ExtraPlugin {
    pub(crate) path: PathBuf,
    pub(crate) weight: f64,
    pub(crate) config: String,
}

impl FromStr for ExtraPlugin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The configuration comes last: JSON has commas of its own.
        let (rest, config) = text.split_once(",config=").unwrap_or((text, "{}"));
        let (path, weight) = rest.split_once(",weight=").unwrap_or((rest, "1"));
        let weight = weight.parse().ok().filter(|w: &f64| *w >= 0.0 && w.is_finite());
        let weight = weight.ok_or("weight: write a number, 0 or more")?;
        match serde_json::from_str::<serde_json::Value>(config) {
            Ok(serde_json::Value::Object(_)) => Ok(Self { path: path.into(), weight, config: config.into() }),
            _ => Err("config: write a JSON object".into()),
        }
    }
}

fn group(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|k| (2..=1024).contains(k)).ok_or_else(|| "write a number from 2 to 1024".into())
}

fn share(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| *x > 0.0 && *x <= 1.0).ok_or_else(|| "write a number above 0, at most 1".into())
}

fn positive(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| *x > 0.0 && x.is_finite()).ok_or_else(|| "write a number above 0".into())
}

/// Work on plugins.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginCommand {
    Build(BuildArgs),
    Check(crate::plugin::check::CheckArgs),
    Inspect(crate::plugin::inspect::InspectArgs),
    Bench(crate::plugin::bench::BenchArgs),
    /// One test of `check`, in a process of its own
    #[command(hide = true, name = crate::plugin::child::COMMAND)]
    KitChild,
}

/// Build a plugin crate into a component, a native library, or both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alft plugin build plugins/entropy --native")]
pub(crate) struct BuildArgs {
    /// The folder of the plugin crate
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Build the WebAssembly component (the default)
    #[arg(long)]
    pub(crate) component: bool,
    /// Build the native library
    #[arg(long)]
    pub(crate) native: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_comes_with_its_weight_and_configuration() {
        let plain: ExtraPlugin = "a/b.wasm".parse().unwrap();
        assert_eq!(plain, ExtraPlugin { path: "a/b.wasm".into(), weight: 1.0, config: "{}".into() });
        let full: ExtraPlugin = r#"b.so,weight=0.5,config={"k": 2, "l": [1,2]}"#.parse().unwrap();
        assert_eq!((full.weight, full.config.as_str()), (0.5, r#"{"k": 2, "l": [1,2]}"#));
        assert!("b.so,weight=-1".parse::<ExtraPlugin>().is_err());
        assert!("b.so,config=[1]".parse::<ExtraPlugin>().is_err());
    }
}
