//! Tests of objectives: their promises about the utility, on random exact games.

use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::roles::Batch;

use crate::calls::difference;
use crate::case::Case;
use crate::inputs::{self, Random};
use crate::outcome::Outcome;
use crate::scene::{Marginals, Scene};

/// Games that each promise is tested on.
const GAMES: usize = 64;

/// Relative tolerance for rounding: sums in another order, logarithms.
const ROUNDING: f64 = 1e-9;

/// Step of central differences. Their error is about the square of the step, plus [`ROUNDING`] divided by it.
const STEP: f64 = 1e-5;
/// Relative tolerance of slopes.
const SLOPE: f64 = 1e-4;

/// At the midpoint of two points the utility is at least the mean of their utilities.
pub(crate) fn concave(case: &Case<'_>) -> Result<(), Outcome> {
    if !case.subject.describe(case.config).result?.concave {
        return Err(Outcome::Skipped("it promises no concave utility".into()));
    }
    let random = &mut case.random("concave");
    for _ in 0..GAMES {
        let scene = Scene::random(case.settings, random);
        let (one, other) = (scene.marginals(random), scene.marginals(random));
        let half = |(p, q): (&Vec<f64>, &Vec<f64>)| p.iter().zip(q).map(|(p, q)| (p + q) / 2.0).collect();
        let mid: Marginals = one.iter().zip(&other).map(half).collect();
        let utilities: Vec<f64> = valuations(case, [&one, &other, &mid].map(|nu| scene.bundle(nu)))?
            .iter()
            .map(|valuation| valuation.utility)
            .collect();
        let chord = (utilities[0] + utilities[1]) / 2.0;
        if utilities[2] < chord - ROUNDING * (1.0 + chord.abs()) {
            return Err(Outcome::Failed(format!(
                "at the midpoint of points with the utilities {:?} and {:?} the utility is {:?}, below their mean",
                utilities[0], utilities[1], utilities[2]
            )));
        }
    }
    Ok(())
}

/// Moving probability from one answer of a prompt to another changes m times the utility by the difference of their
/// rewards, where m is the number of prompts. A constant for each prompt does not matter, since the baseline removes it.
pub(crate) fn gradient(case: &Case<'_>) -> Result<(), Outcome> {
    if !case.subject.describe(case.config).result?.gradient {
        return Err(Outcome::Skipped("it promises no gradient".into()));
    }
    let random = &mut case.random("gradient");
    for _ in 0..GAMES {
        let scene = Scene::random(case.settings, random);
        let nu = scene.marginals(random);
        let mut bundles = vec![scene.bundle(&nu)];
        let transfers: Vec<Transfer> =
            (0..scene.prompts()).flat_map(|prompt| Transfer::all(prompt, &nu[prompt])).collect();
        bundles.extend(
            transfers.iter().flat_map(|transfer| [STEP, -STEP].map(|step| scene.bundle(&transfer.of(&nu, step)))),
        );
        let valued = valuations(case, bundles)?;
        for (transfer, pair) in transfers.iter().zip(valued[1..].chunks(2)) {
            let slope = scene.prompts() as f64 * (pair[0].utility - pair[1].utility) / (2.0 * STEP);
            let rewards = reward(case, &scene.bundle(&nu), &valued[0], transfer);
            if !close(slope, rewards, SLOPE) {
                let (m, from, to) =
                    (scene.prompts(), &case.settings.answers[transfer.from], &case.settings.answers[transfer.to]);
                return Err(Outcome::Failed(format!(
                    "at prompt {} of {m}, moving probability from \"{from}\" to \"{to}\" raises {m} times the utility by \
                     {slope:?} per unit; the rewards say {rewards:?}",
                    transfer.prompt + 1
                )));
            }
        }
    }
    Ok(())
}

/// A transfer of probability from one answer of a prompt to another.
struct Transfer {
    prompt: usize,
    from: usize,
    to: usize,
}

impl Transfer {
    /// Returns the transfers from the first answer of the prompt's support to every other.
    fn all(prompt: usize, marginal: &[f64]) -> Vec<Self> {
        let mut given = (0..marginal.len()).filter(|answer| marginal[*answer] > 0.0);
        let from = given.next().unwrap_or(0);
        given.map(|to| Self { prompt, from, to }).collect()
    }

    /// Returns `nu` after a transfer of `step`.
    fn of(&self, nu: &Marginals, step: f64) -> Marginals {
        let mut nu = nu.clone();
        nu[self.prompt][self.from] -= step;
        nu[self.prompt][self.to] += step;
        nu
    }
}

/// Returns the difference of the rewards of the two answers.
fn reward(case: &Case<'_>, bundle: &Bundle, valuation: &Valuation, transfer: &Transfer) -> f64 {
    let earned = |answer: usize| {
        let key = &case.settings.answers[answer];
        let at = bundle.groups[transfer.prompt].answers.iter().position(|answer| answer.key == *key);
        valuation.rewards[transfer.prompt][at.expect("a transfer is within the support")]
    };
    earned(transfer.to) - earned(transfer.from)
}

/// Groups in which all completions agree, or all but agree, have finite utilities and rewards. Training often ends there.
pub(crate) fn unanimous(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("unanimous");
    let settings = case.settings;
    for prompts in 1..4 {
        let agreed = vec![vec![Some(settings.answers[0].clone()); 16]; prompts];
        let sampled = inputs::counted(settings, &agreed, random);
        let scene = Scene::random(settings, random);
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
        valuations(case, [sampled, scene.bundle(&exact)])?;
    }
    Ok(())
}

/// The order of prompts and the names of answers do not matter. Where the order of the names is kept, results are equal to
/// the last bit, since every sum has the same order.
pub(crate) fn renaming(case: &Case<'_>) -> Result<(), Outcome> {
    let random = &mut case.random("renaming");
    let mut named = false;
    for _ in 0..GAMES {
        let scene = Scene::random(case.settings, random);
        let nu = scene.marginals(random);
        let plain = scene.bundle(&nu);
        prompts_in_any_order(case, &plain, random)?;
        named = named || answers_by_other_names(case, &scene, &nu, random)?;
    }
    match named {
        true => Err(Outcome::Skipped("the order of prompts does not matter; its configuration names answers".into())),
        false => Ok(()),
    }
}

fn prompts_in_any_order(case: &Case<'_>, plain: &Bundle, random: &mut Random) -> Result<(), Outcome> {
    let order = random.order(plain.groups.len());
    let mut other = plain.clone();
    other.groups = order.iter().map(|at| plain.groups[*at].clone()).collect();
    let valued = valuations(case, [plain.clone(), other])?;
    let moved: Vec<Vec<f64>> = order.iter().map(|at| valued[0].rewards[*at].clone()).collect();
    same(&valued[0], &moved, &valued[1], "the order of the prompts")
}

/// Returns true if the objective depends on the names of answers.
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
    let lines = |bundle: &Bundle| case.lines(&Batch::Objective(vec![bundle.clone()].into()));
    let one = lines(&plain)?;
    // An objective may refuse names that its configuration does not list.
    let Ok(other) = lines(&renamed) else { return Ok(true) };
    let valued = valuations(case, [plain.clone(), renamed])?;
    if let Some(difference) = difference(&one, &other) {
        let near = same(&valued[0], &valued[0].rewards, &valued[1], "").is_ok();
        return match near {
            true => Err(Outcome::Failed(format!(
                "new names in the same order change the last bits, as sums over a hash map would: {difference}"
            ))),
            false => Ok(true),
        };
    }
    let moved = valued[0].rewards.iter().zip(nu).map(|(rewards, marginal)| {
        let given = sorted.iter().filter(|at| marginal[**at] > 0.0);
        let mut named: Vec<(&String, f64)> =
            given.zip(rewards).map(|(at, reward)| (&any_order[*at], *reward)).collect();
        named.sort_by_key(|(name, _)| *name);
        named.into_iter().map(|(_, reward)| reward).collect()
    });
    let moved: Vec<Vec<f64>> = moved.collect();
    same(&valued[0], &moved, &valuations(case, [shuffled])?[0], "the answers' names")?;
    Ok(false)
}

/// Fails unless `other` has the utility of `one` and these rewards, up to rounding.
fn same(one: &Valuation, rewards: &[Vec<f64>], other: &Valuation, change: &str) -> Result<(), Outcome> {
    let pairs = rewards.iter().flatten().zip(other.rewards.iter().flatten()).map(|(one, two)| ("a reward", *one, *two));
    let mut pairs = pairs.chain([("the utility", one.utility, other.utility)]);
    match pairs.find(|(_, one, two)| !close(*one, *two, ROUNDING)) {
        Some((which, one, two)) => Err(Outcome::Failed(format!("{change} changes {which} from {one:?} to {two:?}"))),
        None => Ok(()),
    }
}

/// Returns the valuations of ordinary bundles, on which an error is a failure.
fn valuations(case: &Case<'_>, bundles: impl Into<Vec<Bundle>>) -> Result<Vec<Valuation>, Outcome> {
    Ok(case.evaluate(bundles.into())?)
}

fn close(one: f64, other: f64, tolerance: f64) -> bool {
    (one - other).abs() <= tolerance * (1.0 + one.abs().max(other.abs()))
}
