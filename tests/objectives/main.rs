//! The promises of every objective, on random bundles of exact probabilities. A wrong sign, a missing factor m or the
//! gradient of another utility fails here, whatever the objective.

mod equilibria;
mod support;

use alft_sdk::Bundle;
use alft_sdk::bundle::Valuation;
use proptest::prelude::*;

use support::{Case, Marginals, Names, RandomBundle, cases};

/// The step of central differences of U. Their error is about its square; that of U is about 1e-16.
const STEP: f64 = 1e-6;

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    (a - b).abs() <= tolerance * (1.0 + a.abs().max(b.abs()))
}

/// Returns the mean of two bundles' marginals.
fn midpoint(one: &Marginals, other: &Marginals) -> Marginals {
    one.iter().zip(other).map(|(p, q)| p.iter().zip(q).map(|(p, q)| (p + q) / 2.0).collect()).collect()
}

/// Returns the reward of an answer for a prompt.
fn reward(bundle: &Bundle, valuation: &Valuation, prompt: &str, key: &str) -> Option<f64> {
    let at = bundle.groups.iter().position(|group| group.prompt.id == prompt)?;
    let answer = bundle.groups[at].answers.iter().position(|answer| answer.key == key)?;
    Some(valuation.rewards[at][answer])
}

/// Checks that U changes by the difference of two rewards if probability moves between the two answers of a prompt.
fn check_gradient(case: &Case, random: &RandomBundle, names: &Names) -> Result<(), TestCaseError> {
    let nu = &random.nu[0];
    let m = nu.len() as f64;
    let rewards = case.evaluate(&random.bundle(nu, names)).rewards;
    for (prompt, marginal) in nu.iter().enumerate() {
        let given: Vec<usize> = (0..marginal.len()).filter(|answer| marginal[*answer] > 0.0).collect();
        for (at, answer) in given.iter().enumerate().skip(1) {
            let moved = |step: f64| {
                let mut nu = nu.clone();
                nu[prompt][*answer] += step;
                nu[prompt][given[0]] -= step;
                case.evaluate(&random.bundle(&nu, names)).utility
            };
            let slope = m * (moved(STEP) - moved(-STEP)) / (2.0 * STEP);
            let promised = rewards[prompt][at] - rewards[prompt][0];
            prop_assert!(
                close(slope, promised, 1e-6),
                "{}: U rises by {slope}, the rewards promise {promised}",
                case.name
            );
        }
    }
    Ok(())
}

proptest! {
    /// The rewards are the gradient up to a constant for each prompt, which a baseline removes.
    #[test]
    fn rewards_are_the_gradient_of_the_utility(random in RandomBundle::any()) {
        let names = Names::plain(&random);
        for case in cases(&random, &names).iter().filter(|case| case.manifest.gradient) {
            check_gradient(case, &random, &names)?;
        }
    }

    #[test]
    fn utilities_are_concave_and_a_constraints_cost_is_linear(random in RandomBundle::any()) {
        let names = Names::plain(&random);
        let mid = midpoint(&random.nu[0], &random.nu[1]);
        for case in cases(&random, &names).iter().filter(|case| case.manifest.concave) {
            let [one, other, mid] =
                [&random.nu[0], &random.nu[1], &mid].map(|nu| case.evaluate(&random.bundle(nu, &names)));
            let chord = (one.utility + other.utility) / 2.0;
            prop_assert!(mid.utility >= chord - 1e-12 * (1.0 + chord.abs()), "{}: {} < {chord}", case.name, mid.utility);
            if let (Some(one), Some(other), Some(mid)) = (one.violation, other.violation, mid.violation) {
                prop_assert!(close(mid, (one + other) / 2.0, 1e-12), "{}", case.name);
            }
        }
    }

    #[test]
    fn the_order_of_prompts_and_the_names_of_answers_do_not_matter(
        (random, prompts, answers) in RandomBundle::any().prop_flat_map(|random| {
            let order = |n: usize| Just((0..n).collect::<Vec<usize>>()).prop_shuffle();
            let (prompts, answers) = (order(random.prompts()), order(random.answers()));
            (Just(random), prompts, answers)
        }),
    ) {
        let plain = Names::plain(&random);
        let renamed = Names { answers: answers.iter().map(|at| plain.answers[*at].clone()).collect(), ..plain.clone() };
        for (case, twin) in cases(&random, &plain).iter().zip(cases(&random, &renamed)) {
            let bundle = random.bundle(&random.nu[0], &plain);
            let mut other = random.bundle(&random.nu[0], &renamed);
            other.groups = prompts.iter().map(|at| other.groups[*at].clone()).collect();
            let (one, two) = (case.evaluate(&bundle), twin.evaluate(&other));
            prop_assert!(close(one.utility, two.utility, 1e-12), "{}: {} and {}", case.name, one.utility, two.utility);
            for prompt in &plain.prompts {
                for (key, new) in plain.answers.iter().zip(&renamed.answers) {
                    let pair = (reward(&bundle, &one, prompt, key), reward(&other, &two, prompt, new));
                    let same = match pair {
                        (Some(one), Some(two)) => close(one, two, 1e-12),
                        (one, two) => one == two,
                    };
                    prop_assert!(same, "{}: {prompt}, {key}: {pair:?}", case.name);
                }
            }
        }
    }

    /// The tests above check an objective that promises it, so this test ensures that they skip only the heuristics.
    #[test]
    fn all_but_the_heuristics_promise_a_concave_utility_and_its_gradient(random in RandomBundle::any()) {
        let names = Names::plain(&random);
        for case in cases(&random, &names) {
            let heuristic = ["alft-majority", "alft-semantic-entropy"].contains(&case.manifest.name.as_str());
            prop_assert_eq!((case.manifest.concave, case.manifest.gradient), (!heuristic, !heuristic), "{}", case.name);
            prop_assert_eq!(case.manifest.summary.contains("heuristic"), heuristic, "{}", case.name);
            let constraint = case.evaluate(&random.bundle(&random.nu[0], &names)).violation.is_some();
            prop_assert_eq!(constraint, case.manifest.name == "alft-constraint", "{}", case.name);
            prop_assert_eq!(case.manifest.needs_reference, case.name.contains("\"reference\""), "{}", case.name);
        }
    }
}
