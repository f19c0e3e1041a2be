//! Exact games, compared with formulas for their equilibria and with properties of the certificate.

use std::collections::BTreeMap;

use alft_game::exact::objective::Oracle;
use alft_game::exact::solve::Config;
use alft_game::exact::{Certificate, Game, Solution, Term, solve};
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::call::Output;
use alft_sdk::roles::Batch;
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::support::Marginals;

const ANSWERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// The tolerance on marginals. Values are exact up to rounding. At the maximum the value is flat in the marginals, so these
/// are exact up to about the square root of the rounding.
const MARGINALS: f64 = 1e-6;

/// The random parts of a game. All prompts have the same answers.
#[derive(Debug, Clone)]
struct RandomGame {
    beta: f64,
    weight: f64,
    reference: Marginals,
    /// A number between 0 and 1 for each answer.
    worth: Vec<f64>,
    /// A second distribution of answers for each prompt.
    other: Marginals,
    /// The attribute of each answer.
    attribute: Vec<&'static str>,
}

impl RandomGame {
    fn any() -> impl Strategy<Value = Self> {
        (1..4usize, 2..7usize).prop_flat_map(|(m, n)| {
            let marginals = move || proptest::collection::vec(marginal(n), m);
            let worth = proptest::collection::vec(0.0..1.0f64, n);
            let attribute = proptest::collection::vec(prop::sample::select(vec!["p", "q", "r"]), n);
            let parts = (-4.0..0.0f64, -3.0..2.3f64, marginals(), worth, marginals(), attribute);
            parts.prop_map(|(beta, weight, reference, worth, other, attribute)| {
                let (beta, weight) = (beta.exp(), weight.exp());
                Self { beta, weight, reference, worth, other, attribute }
            })
        })
    }

    fn keys(&self) -> &'static [&'static str] {
        &ANSWERS[..self.worth.len()]
    }

    /// Returns a table from answers to values.
    fn table<T: serde::Serialize>(&self, values: &[T]) -> Value {
        self.keys().iter().zip(values).map(|(key, value)| ((*key).to_owned(), json!(value))).collect()
    }

    fn game(&self) -> Game {
        let keyed = |own: &Vec<f64>| self.keys().iter().map(|key| (*key).to_owned()).zip(own.iter().copied()).collect();
        let prompt = |at: usize| Prompt { id: format!("x{at}"), ..Prompt::default() };
        let prompts: Vec<_> = self.reference.iter().enumerate().map(|(at, own)| (prompt(at), keyed(own))).collect();
        Game::new(self.beta, &prompts).unwrap()
    }

    fn term(&self, kind: &str, config: Value) -> Term<'static> {
        term(kind, self.weight, &config)
    }

    /// Returns for each prompt the marginal proportional to exp(log(ν₀, answer)), and the logarithm of its sum.
    fn tilted(&self, log: impl Fn(f64, usize) -> f64) -> (Marginals, Vec<f64>) {
        let of = |own: &Vec<f64>| tilt(&own.iter().enumerate().map(|(z, p)| log(*p, z)).collect::<Vec<_>>());
        self.reference.iter().map(of).unzip()
    }

    /// Returns the objectives that the indices select, and correctness.
    fn mix(&self, of: &[Index]) -> Vec<Term<'static>> {
        let positive: Vec<f64> = self.worth.iter().map(|worth| worth + 0.05).collect();
        let signed: Vec<f64> = self.worth.iter().map(|worth| worth - 0.5).collect();
        let attribute = self.table(&self.attribute);
        let all = [
            ("entropy", json!({})),
            ("gini", json!({})),
            ("tsallis", json!({"order": 4})),
            ("pass@k", json!({"k": 4, "reward": self.table(&signed)})),
            ("maximum-likelihood", json!({"reward": self.table(&positive)})),
            ("target", json!({"target": self.table(&self.other[0])})),
            ("coherence", json!({"consensus": "arithmetic"})),
            ("coherence", json!({"consensus": "geometric"})),
            ("coherence", json!({"consensus": "reference"})),
            ("pairwise", json!({"divergence": "jsd"})),
            ("pairwise", json!({"divergence": "squared-l2"})),
            ("marginal", json!({"attribute": attribute, "target": {"p": 0.5, "q": 0.3, "r": 0.2}})),
            ("parity", json!({"attribute": attribute})),
        ];
        let mixed = of.iter().map(|index| index.get(&all)).map(|(kind, config)| self.term(kind, config.clone()));
        mixed.chain([linear(self.weight, self.worth.clone())]).collect()
    }
}

/// Generates marginals from peaked to flat.
fn marginal(n: usize) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-9.0..0.0f64, n).prop_map(|logs| tilt(&logs).0)
}

/// Returns the distribution proportional to exp of the logarithms, which may be large, and the logarithm of the sum.
fn tilt(logs: &[f64]) -> (Vec<f64>, f64) {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    (logs.iter().map(|log| (log - most).exp() / sum).collect(), most + sum.ln())
}

fn term(kind: &str, weight: f64, config: &Value) -> Term<'static> {
    let plugin = alft_builtin::open(kind, &config.to_string()).expect("the kind is known").unwrap();
    let concave = plugin.manifest().concave;
    let evaluate = move |bundle: &Bundle| match plugin.call(&Batch::Objective(std::slice::from_ref(bundle).into()))? {
        Output::Valuations(mut valuations) => Ok(valuations.remove(0)),
        output => panic!("not an objective: {output:?}"),
    };
    Term { name: kind.into(), weight, concave, evaluate: Box::new(evaluate) }
}

/// Returns the term of a verifier, whose utility is the expected score.
fn linear(weight: f64, worth: Vec<f64>) -> Term<'static> {
    let of =
        move |key: &str| worth[ANSWERS.iter().position(|answer| *answer == key).expect("the answer is one of ANSWERS")];
    let evaluate = move |bundle: &Bundle| {
        Ok(Valuation {
            utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * of(&a.key)).sum()),
            rewards: bundle.rewards(|_, answer| of(&answer.key)),
            violation: None,
        })
    };
    Term { name: "correctness".into(), weight, concave: true, evaluate: Box::new(evaluate) }
}

/// Solves a game and checks the certificate's gap.
fn solved(game: &Game, terms: &[Term<'_>]) -> Result<(Solution, Certificate), TestCaseError> {
    let solution = solve(game, terms, Config::default()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let certificate = solution.certificate.ok_or_else(|| TestCaseError::fail("no certificate"))?;
    prop_assert!(certificate.gap <= 1e-9, "gap {:e}", certificate.gap);
    Ok((solution, certificate))
}

fn marginals(solution: &Solution) -> Marginals {
    solution.marginals.iter().map(|marginal| marginal.values().copied().collect()).collect()
}

/// Returns true if no two probabilities differ by more than `bound`.
fn near(one: &Marginals, other: &Marginals, bound: f64) -> bool {
    one.iter().flatten().zip(other.iter().flatten()).all(|(p, q)| (p - q).abs() <= bound)
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn kl(p: &[f64], q: &[f64]) -> f64 {
    p.iter().zip(q).map(|(p, q)| if *p > 0.0 { p * (p / q).ln() } else { 0.0 }).sum()
}

/// Returns J at `nu`, by its definition.
fn value_of(game: &Game, terms: &[Term<'_>], reference: &Marginals, nu: &Marginals) -> f64 {
    let keyed: Vec<BTreeMap<&str, f64>> =
        nu.iter().map(|own| ANSWERS.into_iter().zip(own.iter().copied()).collect()).collect();
    let own =
        Bundle::exact("game", &game.bundle().groups.iter().map(|group| &group.prompt).zip(&keyed).collect::<Vec<_>>());
    let mut bundle = game.bundle().clone();
    // The reference's probabilities stay, as in a game.
    for (group, own) in bundle.groups.iter_mut().zip(own.groups) {
        for (answer, own) in group.answers.iter_mut().zip(own.answers) {
            let (reference_probability, pooled_reference_probability) =
                (answer.reference_probability, answer.pooled_reference_probability);
            *answer = alft_sdk::Answer { reference_probability, pooled_reference_probability, ..own };
        }
    }
    let utility: f64 = terms.iter().map(|term| term.weight * (term.evaluate)(&bundle).unwrap().utility).sum();
    utility - game.beta() * mean(nu.iter().zip(reference).map(|(p, q)| kl(p, q)))
}

/// Returns the root of a falling function between two numbers.
fn root(mut low: f64, mut high: f64, falling: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if falling(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

proptest! {
    #[test]
    fn correctness_tilts_the_reference_by_the_reward(random in RandomGame::any()) {
        let (solution, _) = solved(&random.game(), &[linear(random.weight, random.worth.clone())])?;
        let (wanted, sums) = random.tilted(|p, z| p.ln() + random.weight * random.worth[z] / random.beta);
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - random.beta * mean(sums.into_iter())).abs() < 1e-9);
    }

    #[test]
    fn entropy_flattens_the_reference(random in RandomGame::any()) {
        let (solution, _) = solved(&random.game(), &[random.term("entropy", json!({}))])?;
        let total = random.beta + random.weight;
        let (wanted, sums) = random.tilted(|p, _| random.beta / total * p.ln());
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - total * mean(sums.into_iter())).abs() < 1e-9);
    }

    #[test]
    fn a_target_is_mixed_with_the_reference_geometrically(random in RandomGame::any()) {
        let target = &random.other[0];
        let (solution, _) = solved(&random.game(), &[random.term("target", json!({"target": random.table(target)}))])?;
        let total = random.beta + random.weight;
        let (wanted, sums) = random.tilted(|p, z| (random.beta * p.ln() + random.weight * target[z].ln()) / total);
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - total * mean(sums.into_iter())).abs() < 1e-9);
    }

    /// ν ∝ ν₀ exp(w r/(β p)) with p = ⟨r, ν⟩. ν is less tilted for a higher p, so p is the root of a falling function.
    #[test]
    fn maximum_likelihood_tilts_by_the_reward_over_its_mean(random in RandomGame::any(), right in any::<bool>()) {
        let mut reward: Vec<f64> = random.worth.iter().map(|worth| if right { worth.round() } else { *worth }).collect();
        reward[0] = 1.0;
        let term = random.term("maximum-likelihood", json!({"reward": random.table(&reward)}));
        let (solution, _) = solved(&random.game(), &[term])?;
        let of = |own: &Vec<f64>| {
            let at = |p: f64| {
                let tilt_by = |(nu, r): (&f64, &f64)| nu.ln() + random.weight * r / (random.beta * p);
                tilt(&own.iter().zip(&reward).map(tilt_by).collect::<Vec<_>>()).0
            };
            at(root(1e-9, 1.0, |p| dot(&at(p), &reward) - p))
        };
        let wanted: Marginals = random.reference.iter().map(of).collect();
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        let value = mean(wanted.iter().zip(&random.reference).map(|(nu, own)| {
            random.weight * dot(nu, &reward).ln() - random.beta * kl(nu, own)
        }));
        prop_assert!((solution.value - value).abs() < 1e-9, "{}, not {value}", solution.value);
    }

    /// With a finite weight the prompts' marginals differ, by about β/w = 0.001 times the difference of the references'
    /// logarithms (up to 9).
    #[test]
    fn coherence_ends_near_the_geometric_mean(
        random in RandomGame::any(),
        consensus in prop::sample::select(vec!["arithmetic", "geometric"]),
    ) {
        let random = RandomGame { weight: 1e3 * random.beta, ..random };
        let (solution, _) = solved(&random.game(), &[random.term("coherence", json!({"consensus": consensus}))])?;
        let log_mean = |z: usize| mean(random.reference.iter().map(|own| own[z].ln()));
        let (wanted, sum) = tilt(&(0..random.worth.len()).map(log_mean).collect::<Vec<_>>());
        let wanted = vec![wanted; random.reference.len()];
        prop_assert!(near(&marginals(&solution), &wanted, 0.005), "{:?}, not {wanted:?}", solution.marginals);
        // The limit is coherent, so its value does not depend on the weight.
        let excess = (solution.value - random.beta * sum) / random.beta;
        prop_assert!((-1e-9..0.02).contains(&excess), "{} and {}", solution.value, random.beta * sum);
    }

    /// The multiplier is the root of the cost's excess, which falls as the multiplier rises.
    #[test]
    fn a_constraint_has_the_multiplier_at_which_its_limit_binds(random in RandomGame::any(), share in 0.05..1.2f64) {
        // The costs are rounded so that a limit determines the marginals.
        let mut cost: Vec<f64> = random.worth.iter().map(|worth| (8.0 * worth).round() / 8.0).collect();
        (cost[0], cost[1]) = (0.0, 1.0);
        let of = |nu: &Marginals| mean(nu.iter().map(|own| dot(own, &cost)));
        let limit = share * of(&random.reference);
        let term = term("constraint", 1.0, &json!({"cost": random.table(&cost), "limit": limit}));
        let (solution, certificate) = solved(&random.game(), &[term])?;
        let at = |price: f64| random.tilted(|p, z| p.ln() - price * cost[z] / random.beta).0;
        let (own, price) = (marginals(&solution), solution.multipliers[0]);
        prop_assert!(near(&own, &at(price), 1e-9), "{own:?}, not {:?}", at(price));
        prop_assert!(of(&own) <= limit + 1e-9, "{} above {limit}", of(&own));
        prop_assert!((price * (of(&own) - limit)).abs() < 1e-9, "price {price} of {} and {limit}", of(&own));
        // A mixture of the reference and an answer without cost keeps the limit, so the bound is no lower than its value.
        let kept = share.min(1.0);
        let mut mixed: Marginals = random.reference.iter().map(|own| own.iter().map(|p| kept * p).collect()).collect();
        mixed.iter_mut().for_each(|own| own[0] += 1.0 - kept);
        let value = |nu: &Marginals| -random.beta * mean(nu.iter().zip(&random.reference).map(|(p, q)| kl(p, q)));
        prop_assert!(certificate.upper >= value(&mixed) - 1e-12, "{} < {}", certificate.upper, value(&mixed));
        prop_assert!((solution.value - value(&own)).abs() < 1e-12, "{} is not {}", solution.value, value(&own));
        if share >= 1.0 {
            prop_assert_eq!(price, 0.0);
        } else {
            let wanted = at(root(0.0, 1e3, |price| of(&at(price)) - limit));
            prop_assert!(price > 0.0);
            prop_assert!(near(&own, &wanted, 1e-8), "{own:?}, not {wanted:?}");
        }
    }

    #[test]
    fn no_policy_has_a_value_above_the_certificate(
        random in RandomGame::any(),
        mix in proptest::collection::vec(any::<Index>(), 1..3),
    ) {
        let (game, terms) = (random.game(), random.mix(&mix));
        let (solution, certificate) = solved(&game, &terms)?;
        let value = |nu: &Marginals| value_of(&game, &terms, &random.reference, nu);
        let rounding = 1e-12 * certificate.upper.abs().max(1.0);
        prop_assert!((solution.value - value(&marginals(&solution))).abs() <= rounding, "the value is J");
        prop_assert!(solution.value >= value(&random.reference) - rounding, "the reference is no better");
        for nu in [&random.reference, &random.other] {
            prop_assert!(value(nu) <= certificate.upper + rounding, "{} > {}", value(nu), certificate.upper);
            // The gap of any other point is no less than its distance from the maximum.
            let log_nu = nu.iter().flatten().map(|p| p.ln()).collect();
            let point = Oracle::new(&game, &terms).unwrap().at(log_nu, &[]).unwrap();
            let there = Certificate::at_prices(&game, &point);
            prop_assert!((there.lower - value(nu)).abs() <= rounding, "{} is not {}", there.lower, value(nu));
            prop_assert!(there.upper >= solution.value - rounding, "{} < {}", there.upper, solution.value);
            prop_assert!(there.gap >= solution.value - value(nu) - rounding, "{}: {}", there.gap, solution.value);
        }
    }

    #[test]
    fn prompts_and_answers_in_another_order_have_the_same_equilibrium(
        (random, prompts, answers) in RandomGame::any().prop_flat_map(|random| {
            let order = |n: usize| Just((0..n).collect::<Vec<usize>>()).prop_shuffle();
            let (prompts, answers) = (order(random.reference.len()), order(random.worth.len()));
            (Just(random), prompts, answers)
        }),
        mix in proptest::collection::vec(any::<Index>(), 1..3),
    ) {
        let moved = |nu: &Vec<f64>| -> Vec<f64> { answers.iter().map(|at| nu[*at]).collect() };
        let other = RandomGame {
            reference: prompts.iter().map(|at| moved(&random.reference[*at])).collect(),
            worth: moved(&random.worth),
            other: random.other.iter().map(moved).collect(),
            attribute: answers.iter().map(|at| random.attribute[*at]).collect(),
            ..random.clone()
        };
        let (one, first) = solved(&random.game(), &random.mix(&mix))?;
        let (two, second) = solved(&other.game(), &other.mix(&mix))?;
        let rounding = 1e-9 * one.value.abs().max(1.0);
        prop_assert!((one.value - two.value).abs() < rounding, "{} and {}", one.value, two.value);
        // Away from its maximum J falls by (β/m) KL or more, so the gap bounds the distance by Pinsker's inequality.
        let distance = |gap: f64| (random.reference.len() as f64 * (gap + 1e-13) / (2.0 * random.beta)).sqrt();
        let own = marginals(&one);
        let wanted: Marginals = prompts.iter().map(|at| moved(&own[*at])).collect();
        let bound = distance(first.gap) + distance(second.gap);
        prop_assert!(near(&marginals(&two), &wanted, bound), "{:?}, not {wanted:?}", two.marginals);
    }
}
