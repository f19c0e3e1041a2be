//! Files of exact games: JSON lines, one instance a line.
//!
//! ```json
//! {"name": "g", "beta": 0.1,
//!  "prompts": [{"id": "x", "traces": [{"answer": "A", "prob": 0.7}, {"answer": "B", "prob": 0.3}]}],
//!  "objectives": [{"kind": "entropy", "weight": 0.5}]}
//! ```
//!
//! An objective's fields besides `kind` and `weight` are the configuration of the builtin plugin of that name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alft_fs::nearest;
use alft_game::exact::{self, Game, InvalidGame, Term};
use alft_sdk::call::{Output, PromptTexts};
use alft_sdk::roles::{Batch, Role};
use alft_sdk::{Bundle, Linked, Prompt, Valuation};
use alft_text::Foreign;
use serde::Deserialize;

use super::lines::read_lines;
use crate::error::{Error, Result, chain};

/// One line of a games file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    name: Option<String>,
    beta: f64,
    prompts: Vec<Prompts>,
    objectives: Vec<GameObjective>,
    /// Published instances come with their solution, which is ignored.
    #[serde(default, rename = "solution")]
    _solution: serde::de::IgnoredAny,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompts {
    id: String,
    traces: Vec<Trace>,
}

/// A trace that the policy can give for a prompt.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trace {
    /// The trace's final answer.
    pub answer: String,
    /// The trace's probability under the reference policy.
    #[serde(rename = "prob")]
    pub probability: f64,
}

/// An objective by the name of its builtin plugin.
#[derive(Debug, Clone, Deserialize)]
pub struct GameObjective {
    /// The builtin plugin's name.
    pub kind: String,
    /// The weight of the objective's utility.
    #[serde(default = "one")]
    pub weight: f64,
    #[serde(flatten)]
    config: serde_json::Map<String, serde_json::Value>,
}

impl GameObjective {
    /// The plugin's configuration, a JSON object.
    pub(crate) fn config_text(&self) -> String {
        serde_json::to_string(&self.config).expect("JSON values print")
    }
}

fn one() -> f64 {
    1.0
}

/// A game with its objectives.
#[derive(Debug)]
pub struct Instance {
    /// The game's name.
    pub name: String,
    /// The game's line in the file, from 1.
    pub line: usize,
    /// The prompts.
    pub prompts: Vec<Prompt>,
    /// The traces of each prompt.
    pub traces: Vec<Vec<Trace>>,
    /// The game, for the exact solver.
    pub game: Game,
    /// The objectives as the file has them.
    pub objectives: Vec<GameObjective>,
    /// The objectives as the exact solver calls them.
    pub terms: Vec<Term<'static>>,
}

const SHAPE: &str = "a line is {\"name\": …, \"beta\": …, \"prompts\": [{\"id\": …, \"traces\": [{\"answer\": …, \"prob\": …}, …]}, …], \
                     \"objectives\": [{\"kind\": …, \"weight\": …, …}, …]}";

/// Reads games.
///
/// # Errors
/// The first mistake, with its line and the remedy.
pub fn read_games(path: &Path) -> Result<Vec<Instance>> {
    let mut names = BTreeMap::new();
    let mut instances = Vec::new();
    for (number, line) in read_lines::<Line>(path, SHAPE)? {
        let name = line.name.clone().unwrap_or_else(|| number.to_string());
        let wrong = |(reason, help): (String, &'static str)| Error::DataLine {
            path: path.into(),
            line: number,
            reason: format!("game \"{name}\": {reason}", name = Foreign::new(&name)),
            help,
        };
        if let Some(before) = names.insert(name.clone(), number) {
            return Err(wrong((format!("the name is that of line {before}"), "give each game another name")));
        }
        let instance = instance(name.clone(), number, line).map_err(wrong)?;
        instances.push(instance);
    }
    Ok(instances)
}

/// An error's reason and remedy.
type Wrong = (String, &'static str);

fn instance(name: String, number: usize, line: Line) -> std::result::Result<Instance, Wrong> {
    let mut ids = BTreeSet::new();
    if let Some(twice) = line.prompts.iter().find(|prompt| !ids.insert(&prompt.id)) {
        return Err((
            format!("two prompts have the id \"{}\"", Foreign::new(&twice.id)),
            "give each prompt another id",
        ));
    }
    let prompts: Vec<(Prompt, BTreeMap<String, f64>)> = line
        .prompts
        .iter()
        .map(|prompt| {
            let mut marginal = BTreeMap::new();
            for trace in &prompt.traces {
                if !(trace.probability >= 0.0 && trace.probability.is_finite()) {
                    return Err((
                        format!(
                            "prompt {}: a trace has the probability {:?}",
                            Foreign::new(&prompt.id),
                            trace.probability
                        ),
                        "a probability must be 0 or more",
                    ));
                }
                *marginal.entry(trace.answer.clone()).or_insert(0.0) += trace.probability;
            }
            Ok((Prompt { id: prompt.id.clone(), ..Prompt::default() }, marginal))
        })
        .collect::<std::result::Result<_, _>>()?;
    let game = Game::new(line.beta, &prompts).map_err(|error| (error.to_string(), SHAPE))?;
    let answers: BTreeSet<&str> =
        prompts.iter().flat_map(|(_, marginal)| marginal.keys().map(String::as_str)).collect();
    if line.objectives.is_empty() {
        return Err(("the game has no objectives".into(), SHAPE));
    }
    let terms = line
        .objectives
        .iter()
        .map(|objective| term(objective, game.bundle(), &answers))
        .collect::<std::result::Result<_, _>>()?;
    Ok(Instance {
        name,
        line: number,
        prompts: prompts.into_iter().map(|(prompt, _)| prompt).collect(),
        objectives: line.objectives,
        traces: line.prompts.into_iter().map(|prompt| prompt.traces).collect(),
        game,
        terms,
    })
}

/// The tables of an objective that are keyed by answer: an answer that no prompt can give is a mistake there.
const BY_ANSWER: [&str; 3] = ["reward", "cost", "attribute"];

fn term(
    objective: &GameObjective,
    bundle: &Bundle,
    answers: &BTreeSet<&str>,
) -> std::result::Result<Term<'static>, Wrong> {
    let GameObjective { kind, weight, config } = objective;
    let weight = *weight;
    let wrong = |reason: String| {
        (
            format!("objective {kind}: {reason}", kind = Foreign::new(&kind)),
            "see the kinds and their fields in the README",
        )
    };
    if !(weight >= 0.0 && weight.is_finite()) {
        return Err(wrong(format!("the weight is {weight:?}; it must be 0 or more")));
    }
    for table in BY_ANSWER.iter().filter_map(|key| config.get(*key)?.as_object()) {
        if let Some(answer) = table.keys().find(|answer| !answers.contains(answer.as_str())) {
            return Err((
                format!(
                    "objective {kind}: the table names the answer \"{answer}\", which no prompt can give",
                    kind = Foreign::new(&kind),
                    answer = Foreign::new(&answer)
                ),
                "name answers of the traces",
            ));
        }
    }
    let plugin = match alft_builtin::open(kind, &objective.config_text()) {
        None => {
            let known: Vec<&str> = alft_builtin::kinds().collect();
            let near = nearest(kind, &known).map(|near| format!("; did you mean \"{near}\"?"));
            let known = known.join(", ");
            return Err((
                format!(
                    "unknown kind \"{kind}\"{}",
                    near.unwrap_or_else(|| format!("; there is: {known}")),
                    kind = Foreign::new(&kind)
                ),
                "a kind is the name of a builtin plugin",
            ));
        }
        Some(opened) => opened.map_err(|error| wrong(error.to_string()))?,
    };
    // In training it is no mistake that no sample was right yet; here it is known that no trace ever is.
    if plugin.manifest().name == "alft-maximum-likelihood"
        && let Some(reward) = config.get("reward").and_then(|table| table.as_object())
    {
        let right =
            |answer: &alft_sdk::Answer| reward.get(&answer.key).and_then(|r| r.as_f64()).is_some_and(|r| r > 0.0);
        if let Some(group) = bundle.groups.iter().find(|group| !group.answers.iter().any(right)) {
            let id = Foreign::new(&group.prompt.id);
            return Err(wrong(format!("prompt {id} has no answer with a reward, and the log of 0 is no utility")));
        }
    }
    let roles = plugin.roles();
    if roles.has(Role::Objective) {
        return Ok(Term {
            name: kind.clone(),
            weight,
            concave: plugin.manifest().concave,
            evaluate: Box::new(move |bundle| evaluate(&plugin, bundle).map_err(Into::into)),
        });
    }
    if roles.has(Role::Verifier) {
        let scores = scores(&plugin, bundle).map_err(|error| wrong(error.to_string()))?;
        return Ok(linear_term(kind.clone(), weight, scores));
    }
    Err(wrong("it grades completions, and an exact game has only answers".into()))
}

/// Evaluates an objective at a bundle.
fn evaluate(plugin: &Linked, bundle: &Bundle) -> alft_sdk::Result<Valuation> {
    let output = plugin.call(&Batch::Objective(std::slice::from_ref(bundle).into()))?;
    match output {
        Output::Valuations(mut valuations) => valuations.pop().ok_or_else(|| "it returned no valuation".into()),
        Output::Keys(_) | Output::Scores(_) => unreachable!("an objective returns valuations"),
    }
}

/// Scores the answers of each of a bundle's groups.
fn scores(plugin: &Linked, bundle: &Bundle) -> alft_sdk::Result<Vec<Vec<f64>>> {
    let entry = |group: &alft_sdk::Group| PromptTexts {
        prompt: group.prompt.clone(),
        texts: group.answers.iter().map(|answer| answer.key.clone()).collect(),
    };
    match plugin.call(&Batch::Verifier(bundle.groups.iter().map(entry).collect()))? {
        Output::Scores(scores) => Ok(scores),
        Output::Keys(_) | Output::Valuations(_) => unreachable!("a verifier returns scores"),
    }
}

/// A verifier's term: its scores are a linear utility, (1/m) Σ_i ⟨score, ν_i⟩.
pub fn linear_term(name: String, weight: f64, scores: Vec<Vec<f64>>) -> Term<'static> {
    let evaluate = move |bundle: &Bundle| {
        let expected = |(group, scores): (&alft_sdk::Group, &Vec<f64>)| {
            group.answers.iter().zip(scores).map(|(answer, score)| answer.frequency * score).sum::<f64>()
        };
        let utility = bundle.groups.iter().zip(&scores).map(expected).sum::<f64>() / bundle.groups.len() as f64;
        Ok(Valuation { utility, rewards: scores.clone(), violation: None })
    };
    Term { name, weight, concave: true, evaluate: Box::new(evaluate) }
}

impl Instance {
    /// The solver's error on this game, with the game's place in its file.
    pub fn error(&self, path: &Path, error: &exact::Error) -> Error {
        let help = match error {
            exact::Error::Infeasible { .. } => "raise the limit, or give the prompts answers of less cost",
            exact::Error::Invalid(InvalidGame::WeightedConstraint { .. }) => {
                "to make a constraint dearer or cheaper, change its limit"
            }
            exact::Error::Overflow { .. } => "scale the weights or beta; in a simulation, also lower the learning rate",
            _ => SHAPE,
        };
        let reason = format!("game \"{}\": {}", Foreign::new(&self.name), chain(error));
        Error::DataLine { path: path.into(), line: self.line, reason, help }
    }
}
