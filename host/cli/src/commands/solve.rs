//! `alft solve`: exact games to their equilibria, with a proof.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;

use alft_build::Form;
use alft_game::exact::{self, BoxError, Dynamics, Solution, Term, TermError, solve, solve::Config};
use alft_plugin_host::{Failure, Limits, NativeTrust, Plugin};
use alft_runtime::data::{Instance, linear_term, read_games};
use alft_runtime::plugins::open_file;
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::roles::{Batch, Role};
use alft_sdk::{Bundle, Valuation};
use alft_text::Foreign;
use clap::ValueEnum;
use serde_json::Value;

use crate::error::{Error, Result, chain};
use crate::values::{PluginArg, PluginArgs, positive};
use crate::{engine, plots, print};

/// Play exact games to their Nash equilibria, each with a certificate.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft solve examples/games/games.jsonl --plot paths.svg\n\n\
The gap is the duality gap of the point that is printed: no policy is worth more than value + gap. With --json, one \
object a line: name, value, gap, marginals by prompt, multipliers of constraints, iterations (evaluations of the \
objectives). A gap of null says that nothing is proved: an objective is a heuristic, or a limit is not kept. Exit code 0 \
only when every gap is within --tolerance, 8 when one is not.")]
pub(crate) struct SolveArgs {
    /// Games, one a line: beta, prompts with traces, objectives
    #[arg(value_name = "GAMES.jsonl")]
    games: PathBuf,
    /// The way in which the players move
    #[arg(long, value_enum, default_value_t)]
    dynamics: DynamicsName,
    /// The duality gap that counts as an equilibrium (default: 1e-8, and 1e-6 for games with constraints)
    #[arg(long, value_name = "GAP", value_parser = positive)]
    tolerance: Option<f64>,
    /// Give a game up after this many evaluations of its objectives
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    iterations: u64,
    /// Solve the game of this name alone
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    #[command(flatten)]
    plugins: PluginArgs,
    /// Let native libraries of --plugin run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Draw both players' paths and the gap
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
    /// Print one JSON object a game
    #[arg(long)]
    json: bool,
}

/// [`Dynamics`] by the names of the command line.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum DynamicsName {
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

/// The default tolerance.
const SMOOTH: f64 = 1e-8;

/// The default tolerance with constraints, whose prices are only as good as the marginals that they are found from.
const CONSTRAINED: f64 = 1e-6;

/// Turns kept for the picture.
const TURNS: usize = 2000;

pub(crate) fn run(args: &SolveArgs) -> Result<()> {
    let mut instances = read_games(&args.games)?;
    if let Some(only) = &args.only {
        let known: Vec<String> = instances.iter().map(|instance| Foreign::new(&instance.name).to_string()).collect();
        instances.retain(|instance| instance.name == *only);
        if instances.is_empty() {
            let reason = format!("it has no game {:?} (there is: {})", Foreign::new(only), known.join(", "));
            return Err(Error::Data { path: args.games.clone(), reason });
        }
    }
    if args.plot.is_some() && instances.len() > plots::MOST_GAMES {
        let reason = format!(
            "{} games do not fit in a picture (at most {}); choose one with --only",
            instances.len(),
            plots::MOST_GAMES
        );
        return Err(Error::Data { path: args.games.clone(), reason });
    }
    let plugins = open(&args.plugins.0, args.trust_native)?;
    let config = Config {
        dynamics: args.dynamics.into(),
        tolerance: args.tolerance.unwrap_or(SMOOTH),
        max_evaluations: args.iterations,
        max_turns: if args.plot.is_some() { TURNS } else { 0 },
    };
    if !args.json {
        say!("{:<24}{:>16}{:>12}{:>12}  certificate", "game", "value", "gap", "iterations");
    }
    let (mut uncertified, mut failed) = (Vec::new(), None);
    let mut solved = Vec::new();
    for mut instance in instances {
        for plugin in &plugins {
            instance.terms.push(plugin.term(&instance)?);
        }
        let solution = match solve(&instance.game, &instance.terms, config) {
            Ok(solution) => solution,
            // A game without a solution does not keep the others from theirs.
            Err(error) => {
                let error = match error {
                    exact::Error::Objective { name, source: TermError::Failed(failure) } if failure.is::<Failure>() => {
                        Error::plugin_failed(&name, &instance.name)(failure)
                    }
                    error => instance.error(&args.games, &error).into(),
                };
                if !args.json {
                    say!("{:<24}{}", Foreign::new(&instance.name), chain(&error));
                }
                failed.get_or_insert(error);
                continue;
            }
        };
        let tolerance = args.tolerance.unwrap_or(if solution.multipliers.is_empty() { SMOOTH } else { CONSTRAINED });
        let certified = solution.certificate.is_some_and(|certificate| certificate.gap <= tolerance);
        if args.json {
            print::json(&for_machines(&instance, &solution));
        } else {
            print_row(&instance, &solution, certified);
        }
        if !certified {
            uncertified.push(instance.name.clone());
        }
        solved.push((instance, solution));
    }
    if let Some(file) = &args.plot {
        plots::draw_paths(&solved, file)?;
    }
    if let Some(error) = failed {
        return Err(error);
    }
    match uncertified.is_empty() {
        true => Ok(()),
        false => Err(Error::Uncertified { games: uncertified }),
    }
}

fn for_machines(instance: &Instance, solution: &Solution) -> serde_json::Value {
    let ids = instance.prompts.iter().map(|prompt| prompt.id.clone());
    let marginals: serde_json::Map<_, _> =
        ids.zip(&solution.marginals).map(|(id, marginal)| (id, serde_json::json!(marginal))).collect();
    serde_json::json!({
        "name": instance.name,
        "value": solution.value,
        "gap": solution.certificate.map(|certificate| certificate.gap),
        "marginals": marginals,
        "multipliers": solution.multipliers,
        "iterations": solution.evaluations,
    })
}

fn print_row(instance: &Instance, solution: &Solution, certified: bool) {
    let gap = solution.certificate.map_or("–".into(), |certificate| format!("{:.1e}", certificate.gap));
    let says = match (solution.certificate, certified) {
        (None, _) => "none: an objective is not concave, so no equilibrium can be proved",
        (Some(_), true) => "equilibrium",
        (Some(_), false) => "not within tolerance",
    };
    say!("{:<24}{:>16.9}{gap:>12}{:>12}  {says}", Foreign::new(&instance.name), solution.value, solution.evaluations);
    for (prompt, marginal) in instance.prompts.iter().zip(&solution.marginals) {
        let answers: Vec<String> =
            marginal.iter().map(|(answer, p)| format!("{} {p:.4}", Foreign::new(answer))).collect();
        say!("  {:<22}{}", Foreign::new(&prompt.id), answers.join("  "));
    }
    if !solution.multipliers.is_empty() {
        let prices: Vec<String> = solution.multipliers.iter().map(|price| format!("{price:.6}")).collect();
        say!("  {:<22}{}", "multipliers", prices.join("  "));
    }
}

/// A plugin that is added to every game.
struct ExtraObjective {
    name: String,
    weight: f64,
    plugin: Arc<Plugin>,
}

fn open(plugins: &[PluginArg], trust_native: bool) -> Result<Vec<ExtraObjective>> {
    let limits = Limits::default();
    let engine = engine::start(&limits)?;
    let native = if trust_native { NativeTrust::InProcess } else { NativeTrust::Refused };
    let open = |arg: &PluginArg| {
        let name = Foreign::path(&arg.path).to_string();
        let config = Value::from(arg.config.clone()).to_string();
        let file = if arg.path.is_dir() {
            alft_build::build(&arg.path, Form::Component, &|event| tell!("{event}"))?
        } else {
            arg.path.clone()
        };
        let plugin = open_file(&file, &config, &limits, native, &engine).map_err(Error::open(&name))?;
        if !plugin.has(Role::Objective) && !plugin.has(Role::Verifier) {
            return Err(Error::plugin(&name)("it is neither an objective nor a verifier"));
        }
        Ok(ExtraObjective { name, weight: arg.weight, plugin: Arc::new(plugin) })
    };
    plugins.iter().map(open).collect()
}

impl ExtraObjective {
    /// The plugin as a term of a game: an objective if it is one, else the linear utility of its scores.
    fn term(&self, instance: &Instance) -> Result<Term<'static>> {
        if self.plugin.has(Role::Objective) {
            let plugin = self.plugin.clone();
            return Ok(Term {
                name: self.name.clone(),
                weight: self.weight,
                concave: self.plugin.manifest().concave,
                evaluate: Box::new(move |bundle| evaluate(&plugin, bundle)),
            });
        }
        let texts = |group: &alft_sdk::Group| PromptTexts {
            prompt: group.prompt.clone(),
            texts: group.answers.iter().map(|answer| answer.key.clone()).collect(),
        };
        let batch: Vec<PromptTexts> = instance.game.bundle().groups.iter().map(texts).collect();
        let score = |item| match item {
            Item::Score(score) => score,
            Item::Key(_) | Item::Valuation(_) => unreachable!("a verifier returns scores"),
        };
        let result = self.plugin.call(&Batch::Verifier(Cow::Borrowed(&batch))).map(score);
        let scores: Result<Vec<f64>, _> = result.items.into_iter().collect();
        let mut scores = scores.map_err(Error::plugin_failed(&self.name, &instance.name))?.into_iter();
        let shaped = batch.iter().map(|entry| scores.by_ref().take(entry.texts.len()).collect()).collect();
        Ok(linear_term(self.name.clone(), self.weight, shaped))
    }
}

fn evaluate(plugin: &Plugin, bundle: &Bundle) -> Result<Valuation, BoxError> {
    match plugin.call(&Batch::Objective(Cow::Borrowed(std::slice::from_ref(bundle)))).items.pop() {
        Some(Ok(Item::Valuation(valuation))) => Ok(valuation),
        Some(Err(failure)) => Err(failure.into()),
        Some(Ok(_)) | None => unreachable!("an objective returns a valuation for each bundle"),
    }
}
