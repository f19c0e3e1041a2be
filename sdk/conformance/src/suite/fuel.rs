//! The growth of the work with the input. Fuel counts instructions, so the measurements repeat exactly.

use alft_sdk::call::Takes;
use alft_sdk::roles::{Batch, Role};

use super::tolerance::tolerated;
use crate::case::{Case, texts_batch};
use crate::outcome::Outcome;
use crate::subject::Reply;
use crate::{calls, inputs};

/// Sizes of the inputs, relative to the smallest.
const TIMES: [usize; 4] = [1, 2, 4, 8];

/// Largest exponent by which fuel may grow. Sorting n things needs n log n, which from 2,000 bytes to 16,000 looks like
/// n^1.1, and buffers that double add to it; a quadratic cost shows as 2.
const MAX_EXPONENT: f64 = 1.3;

/// A kind of input, and its batch of a given relative size.
type Growing<'a> = (&'static str, Box<dyn Fn(usize) -> Batch<'static> + 'a>);

/// Twice the input needs about twice the fuel, for each kind of input.
pub(crate) fn linear(case: &Case<'_>) -> Result<(), Outcome> {
    let mut skipped = Some("only components are metered".to_owned());
    for (name, input) in growing(case) {
        let mut fuel = Vec::new();
        for times in TIMES {
            let Reply { result, fuel: used } = calls::call(case.subject, case.config, &input(times));
            match (result, used) {
                (Ok(_), Some(used)) => fuel.push(used as f64),
                (Ok(_), None) => {}
                (Err(fault), _) => {
                    tolerated(name, Err::<(), _>(fault.clone()))?;
                    skipped = skipped.map(|_| format!("on {name}: {fault}"));
                }
            }
        }
        if fuel.len() < TIMES.len() {
            continue;
        }
        skipped = None;
        let exponent = exponent(&fuel);
        if exponent > MAX_EXPONENT {
            return Err(Outcome::Failed(format!(
                "1, 2, 4 and 8 times as many {name} need {fuel:?} units of fuel, which grow as n^{exponent:.1}"
            )));
        }
    }
    skipped.map_or(Ok(()), |reason| Err(Outcome::Skipped(reason)))
}

/// Returns the exponent of growth. It compares the differences between sizes, so that the constant cost of a call does
/// not hide the growth.
fn exponent(fuel: &[f64]) -> f64 {
    // A smaller difference is no growth.
    let least = 1000.0;
    let (first, last) = ((fuel[1] - fuel[0]).max(least), (fuel[3] - fuel[2]).max(least));
    (last / first).log2() / 2.0
}

fn growing<'a>(case: &'a Case<'_>) -> Vec<Growing<'a>> {
    let settings = case.settings;
    let words = |times: usize| inputs::words(400 * times, &mut case.random("fuel"));
    let answers = |times: usize| (0..64 * times).map(|at| at.to_string()).collect::<Vec<_>>();
    let mut all: Vec<Growing<'a>> = Vec::new();
    for role in case.subject.roles().iter().filter(|role| role.takes() == Takes::Completions) {
        let one = move |text: String| texts_batch(role, vec![case.entry(vec![text])]);
        all.push((
            "words of a completion",
            Box::new(move |times| one(format!("{} {}", words(times), settings.completed("42")))),
        ));
        all.push(("digits of a completion", Box::new(move |times| one(settings.completed(&"7".repeat(2000 * times))))));
        all.push((
            "answers in a completion",
            Box::new(move |times| one(format!("{}\n", settings.completed("42")).repeat(64 * times))),
        ));
        all.push(("open brackets of a completion", Box::new(move |times| one("(".repeat(2000 * times)))));
        all.push(("open tags of a completion", Box::new(move |times| one("<".repeat(2000 * times)))));
        all.push((
            "completions",
            Box::new(move |times| {
                let completions = answers(times).iter().map(|answer| settings.completed(answer)).collect();
                texts_batch(role, vec![case.entry(completions)])
            }),
        ));
    }
    if case.has(Role::Verifier) {
        let several = move |texts: Vec<String>| texts_batch(Role::Verifier, vec![case.entry(texts)]);
        all.push(("words of an answer", Box::new(move |times| several(vec![words(times)]))));
        all.push(("digits of an answer", Box::new(move |times| several(vec!["7".repeat(2000 * times)]))));
        all.push(("answers", Box::new(move |times| several(answers(times)))));
    }
    if case.has(Role::Objective) {
        all.push((
            "answers of a group",
            Box::new(move |times| {
                let keys: Vec<Option<String>> = answers(times).into_iter().map(Some).collect();
                let bundle = inputs::counted(settings, &[keys.clone(), keys], &mut case.random("fuel"));
                Batch::Objective(vec![bundle].into())
            }),
        ));
        all.push((
            "bundles",
            Box::new(move |times| {
                let random = &mut case.random("fuel");
                let bundles: Vec<_> =
                    (0..8 * times).map(|_| inputs::sampled(settings, inputs::GROUP_SIZE, random)).collect();
                Batch::Objective(bundles.into())
            }),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linear_costs_pass_and_quadratic_costs_do_not() {
        let grown = |cost: fn(f64) -> f64| exponent(&TIMES.map(|times| 30_000.0 + cost(2000.0 * times as f64)));
        assert!((grown(|n| 50.0 * n) - 1.0).abs() < 1e-9);
        let sorting = grown(|n| n * n.log2());
        assert!(sorting > 1.0 && sorting < MAX_EXPONENT - 0.1, "{sorting}");
        assert!((grown(|n| n * n / 10.0) - 2.0).abs() < 1e-9);
        assert!(grown(|n| n.powf(1.5)) > MAX_EXPONENT);
        assert!(grown(|_| 5.0) < 0.1, "a constant does not grow");
    }
}
