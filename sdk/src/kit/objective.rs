//! Tests of objectives: what they promise of their utility, on exact games at random.

use super::calls::{Call, difference};
use super::inputs::{self, Random};
use super::scene::{Marginals, Scene};
use super::{Case, Outcome};
use crate::bundle::{Bundle, Valuation};

/// Games that each promise is tried on.
const GAMES: usize = 64;

/// What sums in another order, logarithms and the like may cost in accuracy.
const ROUNDING: f64 = 1e-9;

/// Central differences at this step are exact to about its square, and to [`ROUNDING`] over it.
const STEP: f64 = 1e-5;
const SLOPE: f64 = 1e-4;

/// Halfway between two points the utility is no lower than the mean of theirs.
pub(super) fn concave(case: &Case<'_>) -> Result<(), Outcome> {
    if !case.subject.describe(case.config).result?.concave {
        return Err(Outcome::Skipped("it promises no concave utility".into()));
    }
    let random = &mut case.random("concave");
    for _ in 0..GAMES {
        let scene = Scene::any(case.settings, random);
        let (one, other) = (scene.marginals(random), scene.marginals(random));
        let half = |(p, q): (&Vec<f64>, &Vec<f64>)| p.iter().zip(q).map(|(p, q)| (p + q) / 2.0).collect();
        let mid: Marginals = one.iter().zip(&other).map(half).collect();
        let utilities: Vec<f64> = priced(case, [&one, &other, &mid].map(|nu| scene.bundle(nu)))?
            .iter()
            .map(|valuation| valuation.utility)
            .collect();
        let chord = (utilities[0] + utilities[1]) / 2.0;
        if utilities[2] < chord - ROUNDING * (1.0 + chord.abs()) {
            return Err(Outcome::Failed(format!(
                "halfway between points worth {} and {} the utility is {}, below their mean",
                utilities[0], utilities[1], utilities[2]
            )));
        }
    }
    Ok(())
}

/// Moving probability from one answer of a prompt to another changes the utility, times the number of prompts, by the
/// difference of their rewards. A constant for each prompt is free: a baseline removes it.
pub(super) fn gradient(case: &Case<'_>) -> Result<(), Outcome> {
    if !case.subject.describe(case.config).result?.gradient {
        return Err(Outcome::Skipped("it promises no gradient".into()));
    }
    let random = &mut case.random("gradient");
    for _ in 0..GAMES {
        let scene = Scene::any(case.settings, random);
        let nu = scene.marginals(random);
        let mut bundles = vec![scene.bundle(&nu)];
        let moves: Vec<Move> = (0..scene.prompts()).flat_map(|prompt| Move::all(prompt, &nu[prompt])).collect();
        bundles.extend(moves.iter().flat_map(|way| [STEP, -STEP].map(|step| scene.bundle(&way.of(&nu, step)))));
        let valuations = priced(case, bundles)?;
        for (way, pair) in moves.iter().zip(valuations[1..].chunks(2)) {
            let slope = scene.prompts() as f64 * (pair[0].utility - pair[1].utility) / (2.0 * STEP);
            let rewards = reward(case, &scene.bundle(&nu), &valuations[0], way);
            if !close(slope, rewards, SLOPE) {
                let (m, from, to) = (scene.prompts(), &case.settings.answers[way.from], &case.settings.answers[way.to]);
                return Err(Outcome::Failed(format!(
                    "at prompt {} of {m}, moving probability from \"{from}\" to \"{to}\" raises {m} times the utility by \
                     {slope} per unit; the rewards say {rewards}",
                    way.prompt + 1
                )));
            }
        }
    }
    Ok(())
}

/// Probability that goes from one answer of a prompt to another.
struct Move {
    prompt: usize,
    from: usize,
    to: usize,
}

impl Move {
    /// From the first answer that the prompt can have to every other.
    fn all(prompt: usize, marginal: &[f64]) -> Vec<Self> {
        let mut given = (0..marginal.len()).filter(|answer| marginal[*answer] > 0.0);
        let from = given.next().unwrap_or(0);
        given.map(|to| Self { prompt, from, to }).collect()
    }

    fn of(&self, nu: &Marginals, step: f64) -> Marginals {
        let mut nu = nu.clone();
        nu[self.prompt][self.from] -= step;
        nu[self.prompt][self.to] += step;
        nu
    }
}

/// How much more the move's goal earns than its start.
fn reward(case: &Case<'_>, bundle: &Bundle, valuation: &Valuation, way: &Move) -> f64 {
    let earned = |answer: usize| {
        let key = &case.settings.answers[answer];
        let at = bundle.groups[way.prompt].answers.iter().position(|answer| answer.key == *key);
        valuation.rewards[way.prompt][at.expect("a move is among answers that the prompt can have")]
    };
    earned(way.to) - earned(way.from)
}

/// Groups that training ends in: all completions agree, or all but agree.
pub(super) fn unanimous(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("unanimous");
    let settings = case.settings;
    for prompts in 1..4 {
        let agreed = vec![vec![Some(settings.answers[0].clone()); 16]; prompts];
        let sampled = inputs::counted(settings, &agreed, random);
        let scene = Scene::any(settings, random);
        let sure = |marginal: &Vec<f64>| {
            let given = marginal.iter().filter(|p| **p > 0.0).count() as f64;
            let rare = 1e-12;
            let p = |(at, p): (usize, &f64)| match (at, *p > 0.0) {
                (0, _) => 1.0 - rare * (given - 1.0),
                (_, true) => rare,
                (_, false) => 0.0,
            };
            marginal.iter().enumerate().map(p).collect()
        };
        let exact: Marginals = scene.marginals(random).iter().map(sure).collect();
        priced(case, [sampled, scene.bundle(&exact)])?;
    }
    Ok(())
}

/// Prompts in another order and answers by other names earn what they earned. To the last bit where the order of
/// the names stays: then every sum is the same sum.
pub(super) fn renaming(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("renaming");
    let mut named = false;
    for _ in 0..GAMES {
        let scene = Scene::any(case.settings, random);
        let nu = scene.marginals(random);
        let plain = scene.bundle(&nu);
        prompts_in_any_order(case, &plain, random)?;
        named = named || answers_by_other_names(case, &scene, &nu, random)?;
    }
    match named {
        true => Err(Outcome::Skipped("prompts may come in any order; its configuration goes by answers' names".into())),
        false => Ok(()),
    }
}

fn prompts_in_any_order(case: &Case<'_>, plain: &Bundle, random: &mut Random) -> Result<(), Outcome> {
    let order = random.order(plain.groups.len());
    let mut other = plain.clone();
    other.groups = order.iter().map(|at| plain.groups[*at].clone()).collect();
    let valuations = priced(case, [plain.clone(), other])?;
    let moved: Vec<Vec<f64>> = order.iter().map(|at| valuations[0].rewards[*at].clone()).collect();
    same(&valuations[0], &moved, &valuations[1], "the order of the prompts")
}

/// Whether the objective goes by the answers' names.
fn answers_by_other_names(
    case: &Case<'_>,
    scene: &Scene<'_>,
    nu: &Marginals,
    random: &mut Random,
) -> Result<bool, Outcome> {
    let mut sorted: Vec<usize> = (0..case.settings.answers.len()).collect();
    sorted.sort_by_key(|at| &case.settings.answers[*at]);
    let mut in_order = vec![String::new(); sorted.len()];
    sorted.iter().enumerate().for_each(|(rank, at)| in_order[*at] = format!("answer {rank:03}"));
    let any_order: Vec<String> = random.order(in_order.len()).iter().map(|at| in_order[*at].clone()).collect();

    let plain = scene.bundle(nu);
    let [renamed, shuffled] = [&in_order, &any_order].map(|names| scene.named(nu, names));
    let said = |bundle: &Bundle| case.said(&Call::Evaluate(vec![bundle.clone()]));
    let one = said(&plain)?;
    // A name that the configuration does not know may be an error.
    let Ok(other) = said(&renamed) else { return Ok(true) };
    let valuations = priced(case, [plain.clone(), renamed])?;
    if let Some(difference) = difference(&one, &other) {
        let near = same(&valuations[0], &valuations[0].rewards, &valuations[1], "").is_ok();
        return match near {
            true => Err(Outcome::Failed(format!(
                "new names in the same order change the last bits, as sums over a hash map would: {difference}"
            ))),
            false => Ok(true),
        };
    }
    let moved = valuations[0].rewards.iter().zip(nu).map(|(rewards, marginal)| {
        let given = sorted.iter().filter(|at| marginal[**at] > 0.0);
        let mut named: Vec<(&String, f64)> =
            given.zip(rewards).map(|(at, reward)| (&any_order[*at], *reward)).collect();
        named.sort_by_key(|(name, _)| *name);
        named.into_iter().map(|(_, reward)| reward).collect()
    });
    let moved: Vec<Vec<f64>> = moved.collect();
    same(&valuations[0], &moved, &priced(case, [shuffled])?[0], "the answers' names")?;
    Ok(false)
}

/// That `other` has the utility of `one` and these rewards.
fn same(one: &Valuation, rewards: &[Vec<f64>], other: &Valuation, what: &str) -> Result<(), Outcome> {
    let pairs = rewards.iter().flatten().zip(other.rewards.iter().flatten()).map(|(one, two)| ("a reward", *one, *two));
    let mut pairs = pairs.chain([("the utility", one.utility, other.utility)]);
    match pairs.find(|(_, one, two)| !close(*one, *two, ROUNDING)) {
        Some((which, one, two)) => Err(Outcome::Failed(format!("{what} changes {which} from {one} to {two}"))),
        None => Ok(()),
    }
}

/// Valuations of bundles as ordinary as any.
fn priced(case: &Case<'_>, bundles: impl Into<Vec<Bundle>>) -> Result<Vec<Valuation>, Outcome> {
    Ok(case.evaluate(&bundles.into())?)
}

fn close(one: f64, other: f64, tolerance: f64) -> bool {
    (one - other).abs() <= tolerance * (1.0 + one.abs().max(other.abs()))
}
