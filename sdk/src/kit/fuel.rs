//! How the work grows with the input. Fuel counts instructions, so the figures are the same every time.

use super::calls::Call;
use super::general::tolerated;
use super::{Case, Outcome, Reply, Role, inputs};
use crate::batch::PromptTexts;

/// Inputs of 1, 2, 4 and 8 times a size.
const TIMES: [usize; 4] = [1, 2, 4, 8];

/// The exponent by which fuel may grow. Sorting n things takes n log n, which from 2,000 bytes to 16,000 looks like
/// n^1.1, and buffers that double add some; what is quadratic shows 2.
const MOST: f64 = 1.3;

/// An input of any size, by name.
type Growing<'a> = (&'static str, Box<dyn Fn(usize) -> Call + 'a>);

/// Twice the input takes about twice the fuel, whatever it is that there is more of.
pub(super) fn linear(case: &Case<'_>) -> Result<(), Outcome> {
    let mut skipped = Some("fuel is metered in components alone".to_owned());
    for (name, input) in growing(case) {
        let mut fuel = Vec::new();
        for times in TIMES {
            let Reply { result, fuel: used } = input(times).to(case.subject, case.config);
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
        if exponent > MOST {
            return Err(Outcome::Failed(format!(
                "1, 2, 4 and 8 times as many {name} take {fuel:?} units of fuel, which grow as n^{exponent:.1}"
            )));
        }
    }
    skipped.map_or(Ok(()), |reason| Err(Outcome::Skipped(reason)))
}

/// From what each doubling adds, so that the price of the call itself does not hide it.
fn exponent(fuel: &[f64]) -> f64 {
    // What is less than this over the first doubling is no work worth fitting.
    let least = 1000.0;
    let (first, last) = ((fuel[1] - fuel[0]).max(least), (fuel[3] - fuel[2]).max(least));
    (last / first).log2() / 2.0
}

fn growing<'a>(case: &'a Case<'_>) -> Vec<Growing<'a>> {
    let settings = case.settings;
    let one = move |text: String| vec![PromptTexts { prompt: settings.prompt("p"), texts: vec![text] }];
    let several = move |texts: Vec<String>| vec![PromptTexts { prompt: settings.prompt("p"), texts }];
    let words = |times: usize| inputs::words(400 * times, &mut case.random("fuel"));
    let answers = |times: usize| (0..64 * times).map(|at| at.to_string()).collect::<Vec<_>>();
    let mut all: Vec<Growing<'a>> = Vec::new();
    if case.subject.has(Role::Reader) {
        all.push((
            "words of a completion",
            Box::new(move |times| Call::Read(one(format!("{} {}", words(times), settings.completed("42"))))),
        ));
        all.push((
            "digits of a completion",
            Box::new(move |times| Call::Read(one(settings.completed(&"7".repeat(2000 * times))))),
        ));
        all.push((
            "answers in a completion",
            Box::new(move |times| Call::Read(one(format!("{}\n", settings.completed("42")).repeat(64 * times)))),
        ));
        all.push(("open brackets of a completion", Box::new(move |times| Call::Read(one("(".repeat(2000 * times))))));
        all.push((
            "completions",
            Box::new(move |times| {
                Call::Read(several(answers(times).iter().map(|answer| settings.completed(answer)).collect()))
            }),
        ));
    }
    if case.subject.has(Role::Verifier) {
        all.push(("words of an answer", Box::new(move |times| Call::Score(one(words(times))))));
        all.push(("digits of an answer", Box::new(move |times| Call::Score(one("7".repeat(2000 * times))))));
        all.push(("answers", Box::new(move |times| Call::Score(several(answers(times))))));
    }
    if case.subject.has(Role::Objective) {
        all.push((
            "answers of a group",
            Box::new(move |times| {
                let keys: Vec<Option<String>> = answers(times).into_iter().map(Some).collect();
                Call::Evaluate(vec![inputs::counted(settings, &[keys.clone(), keys], &mut case.random("fuel"))])
            }),
        ));
        all.push((
            "bundles",
            Box::new(move |times| {
                let random = &mut case.random("fuel");
                Call::Evaluate((0..8 * times).map(|_| inputs::sampled(settings, random)).collect())
            }),
        ));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_linear_passes_and_what_is_quadratic_does_not() {
        let grown = |cost: fn(f64) -> f64| exponent(&TIMES.map(|times| 30_000.0 + cost(2000.0 * times as f64)));
        assert!((grown(|n| 50.0 * n) - 1.0).abs() < 1e-9);
        let sorting = grown(|n| n * n.log2());
        assert!(sorting > 1.0 && sorting < MOST - 0.1, "{sorting}");
        assert!((grown(|n| n * n / 10.0) - 2.0).abs() < 1e-9);
        assert!(grown(|n| n.powf(1.5)) > MOST);
        assert!(grown(|_| 5.0) < 0.1, "a constant is no growth");
    }
}
