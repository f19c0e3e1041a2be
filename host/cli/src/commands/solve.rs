//! `alft solve`: games to their equilibria, with a proof.

use std::path::Path;
use std::sync::Arc;

use alft_game::exact::{Solution, Term, solve, solve::Config};
use alft_plugin_host::{Limits, NativeTrust, Plugin, Role, Source, file};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Valuation};

use crate::args::{ExtraPlugin, SolveArgs};
use crate::engine;
use crate::error::{Error, Result};
use crate::games::{self, Instance, linear};
use crate::picture;

/// The gap that counts as an equilibrium, unless another is asked for.
const SMOOTH: f64 = 1e-8;

/// With constraints, whose prices are only as good as the marginals that they are found by.
const CONSTRAINED: f64 = 1e-6;

/// What a run file says by `trust` is a flag here.
const UNTRUSTED: &str = "it is a native library, which runs with all the rights of this program; add --trust-native if \
                         you trust it, or use a component";

/// Turns kept for the picture.
const TURNS: usize = 2000;

pub(crate) fn run(args: &SolveArgs) -> Result<()> {
    let mut instances = games::read(&args.games)?;
    if let Some(only) = &args.only {
        let known: Vec<String> = instances.iter().map(|instance| instance.name.clone()).collect();
        instances.retain(|instance| instance.name == *only);
        if instances.is_empty() {
            let reason = format!("it has no game \"{only}\" (there is: {})", known.join(", "));
            return Err(Error::Data { path: args.games.clone(), reason });
        }
    }
    if args.plot.is_some() && instances.len() > picture::MOST_GAMES {
        let reason = format!(
            "{} games do not fit in a picture (at most {}); choose one with --only",
            instances.len(),
            picture::MOST_GAMES
        );
        return Err(Error::Data { path: args.games.clone(), reason });
    }
    let plugins = open(&args.plugins, args.trust_native)?;
    let config = Config {
        dynamics: args.dynamics.into(),
        tolerance: args.tolerance.unwrap_or(SMOOTH),
        evaluations: args.iterations,
        turns: if args.plot.is_some() { TURNS } else { 0 },
    };
    if !args.json {
        say!("{:<24}{:>16}{:>12}{:>12}  certificate", "game", "value", "gap", "iterations");
    }
    let (mut uncertified, mut failed) = (Vec::new(), None);
    let mut solved = Vec::new();
    for mut instance in instances {
        for plugin in &plugins {
            instance.terms.push(plugin.term(instance.game.bundle())?);
        }
        let solution = match solve(&instance.game, &instance.terms, config) {
            Ok(solution) => solution,
            // One game that has no solution does not keep the others from theirs.
            Err(error) => {
                let error = instance.wrong(&args.games, &error);
                if !args.json {
                    say!("{:<24}{error}", instance.name);
                }
                failed.get_or_insert(error);
                continue;
            }
        };
        let tolerance = args.tolerance.unwrap_or(if solution.multipliers.is_empty() { SMOOTH } else { CONSTRAINED });
        let certified = solution.certificate.is_some_and(|certificate| certificate.gap <= tolerance);
        if args.json {
            say!("{}", for_machines(&instance, &solution));
        } else {
            print_row(&instance, &solution, certified);
        }
        if !certified {
            uncertified.push(instance.name.clone());
        }
        solved.push((instance, solution));
    }
    if let Some(file) = &args.plot {
        picture::draw_paths(&solved, file)?;
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
        "iterations": solution.iterations,
    })
}

fn print_row(instance: &Instance, solution: &Solution, certified: bool) {
    let gap = solution.certificate.map_or("–".into(), |certificate| format!("{:.1e}", certificate.gap));
    let says = match (solution.certificate, certified) {
        (None, _) => "none: an objective is not concave, so no equilibrium can be proved",
        (Some(_), true) => "equilibrium",
        (Some(_), false) => "not within tolerance",
    };
    say!("{:<24}{:>16.9}{gap:>12}{:>12}  {says}", instance.name, solution.value, solution.iterations);
    for (prompt, marginal) in instance.prompts.iter().zip(&solution.marginals) {
        let answers: Vec<String> = marginal.iter().map(|(answer, p)| format!("{answer} {p:.4}")).collect();
        say!("  {:<22}{}", prompt.id, answers.join("  "));
    }
    if !solution.multipliers.is_empty() {
        let prices: Vec<String> = solution.multipliers.iter().map(|price| format!("{price:.6}")).collect();
        say!("  {:<22}{}", "multipliers", prices.join("  "));
    }
}

/// A plugin put into the games from outside.
struct Extra {
    name: String,
    weight: f64,
    plugin: Arc<Plugin>,
}

fn open(extras: &[ExtraPlugin], trust_native: bool) -> Result<Vec<Extra>> {
    let limits = Limits::default();
    let engine = engine::start(&limits)?;
    let native = if trust_native { NativeTrust::InProcess } else { NativeTrust::Refused };
    let wrong = |path: &Path, reason: String| Error::Plugin { name: path.display().to_string(), reason };
    extras
        .iter()
        .map(|extra| {
            // Whoever names a file and trusts it on the same command line means the file that is there now.
            let pin = trust_native.then(|| file::hash(&extra.path, &limits)).transpose();
            let pin = pin.map_err(|error| wrong(&extra.path, error.to_string()))?;
            let source =
                Source { path: extra.path.clone(), pin, native, config: extra.config.clone(), limits: limits.clone() };
            let plugin = Plugin::open(&source, &engine).map_err(|error| match error {
                alft_plugin_host::Error::Untrusted { path } => wrong(&path, UNTRUSTED.into()),
                error => wrong(&extra.path, error.to_string()),
            })?;
            if !plugin.has(Role::Objective) && !plugin.has(Role::Verifier) {
                return Err(wrong(&extra.path, "it is neither an objective nor a verifier".into()));
            }
            Ok(Extra { name: extra.path.display().to_string(), weight: extra.weight, plugin: Arc::new(plugin) })
        })
        .collect()
}

impl Extra {
    /// The plugin as a term of a game: an objective if it is one, else the linear utility of its scores.
    fn term(&self, bundle: &Bundle) -> Result<Term<'static>> {
        let one = |mut items: Vec<Result<Valuation, alft_plugin_host::Failure>>| match items.pop() {
            Some(Ok(valuation)) => Ok(valuation),
            Some(Err(failure)) => Err(failure.to_string()),
            None => Err("it said nothing".into()),
        };
        if self.plugin.has(Role::Objective) {
            let plugin = self.plugin.clone();
            return Ok(Term {
                name: self.name.clone(),
                weight: self.weight,
                concave: self.plugin.manifest().concave,
                evaluate: Box::new(move |bundle| one(plugin.evaluate(std::slice::from_ref(bundle)).items)),
            });
        }
        let batch: Vec<PromptTexts> = bundle
            .groups
            .iter()
            .map(|group| PromptTexts {
                prompt: group.prompt.clone(),
                texts: group.answers.iter().map(|answer| answer.key.clone()).collect(),
            })
            .collect();
        let failed =
            |failure: alft_plugin_host::Failure| Error::Plugin { name: self.name.clone(), reason: failure.to_string() };
        let scores: Vec<f64> = self.plugin.score(&batch).items.into_iter().collect::<Result<_, _>>().map_err(failed)?;
        let mut scores = scores.into_iter();
        let shaped = batch.iter().map(|question| scores.by_ref().take(question.texts.len()).collect()).collect();
        Ok(linear(self.name.clone(), self.weight, shaped))
    }
}
