//! Exact games, against what can be written down of their equilibria and of the certificate.

use std::collections::BTreeMap;

use alft_builtin::Role;
use alft_game::exact::objective::Oracle;
use alft_game::exact::solve::Config;
use alft_game::exact::{Certificate, Game, Solution, Term, solve};
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::{Value, json};

use crate::support::Marginals;

const ANSWERS: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// Values are exact to rounding. At the top a value hardly changes with the marginals: these are known to about the
/// square root of it.
const MARGINALS: f64 = 1e-6;

/// What is random about a game. All prompts have the same answers.
#[derive(Debug, Clone)]
struct Play {
    beta: f64,
    weight: f64,
    reference: Marginals,
    /// For each answer a number between 0 and 1.
    worth: Vec<f64>,
    /// Another distribution of answers for each prompt.
    other: Marginals,
    /// Of each answer.
    attribute: Vec<&'static str>,
}

impl Play {
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

    /// What each answer has.
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

    /// ν₀ tilted: proportional to exp of what is given for each prompt and answer, and the logarithm of the sum.
    fn tilted(&self, log: impl Fn(f64, usize) -> f64) -> (Marginals, Vec<f64>) {
        let of = |own: &Vec<f64>| tilt(&own.iter().enumerate().map(|(z, p)| log(*p, z)).collect::<Vec<_>>());
        self.reference.iter().map(of).unzip()
    }

    /// Every objective, in mixes of up to three.
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

/// From peaked to flat.
fn marginal(n: usize) -> impl Strategy<Value = Vec<f64>> {
    proptest::collection::vec(-9.0..0.0f64, n).prop_map(|logs| tilt(&logs).0)
}

/// Proportional to exp of the logarithms, which may be large; and the logarithm of their sum.
fn tilt(logs: &[f64]) -> (Vec<f64>, f64) {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - most).exp()).sum();
    (logs.iter().map(|log| (log - most).exp() / sum).collect(), most + sum.ln())
}

fn term(kind: &str, weight: f64, config: &Value) -> Term<'static> {
    let plugin = alft_builtin::open(kind, &config.to_string()).expect("a kind").unwrap();
    let Role::Objective(evaluate) = plugin.role else { panic!("{kind} is no objective") };
    let evaluate = move |bundle: &Bundle| evaluate(bundle).map_err(|error| error.to_string());
    Term { name: kind.into(), weight, concave: plugin.manifest.concave, evaluate: Box::new(evaluate) }
}

/// Correctness, as a verifier's scores enter a game.
fn linear(weight: f64, worth: Vec<f64>) -> Term<'static> {
    let of = move |key: &str| worth[ANSWERS.iter().position(|answer| *answer == key).expect("a name of ours")];
    let evaluate = move |bundle: &Bundle| {
        Ok(Valuation {
            utility: bundle.mean(|group| group.answers.iter().map(|a| a.frequency * of(&a.key)).sum()),
            rewards: bundle.rewards(|_, answer| of(&answer.key)),
            violation: None,
        })
    };
    Term { name: "correctness".into(), weight, concave: true, evaluate: Box::new(evaluate) }
}

/// Solved, with a proof.
fn solved(game: &Game, terms: &[Term<'_>]) -> Result<(Solution, Certificate), TestCaseError> {
    let solution = solve(game, terms, Config::default()).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let certificate = solution.certificate.ok_or_else(|| TestCaseError::fail("no certificate"))?;
    prop_assert!(certificate.gap <= 1e-9, "gap {:e}", certificate.gap);
    Ok((solution, certificate))
}

fn marginals(solution: &Solution) -> Marginals {
    solution.marginals.iter().map(|marginal| marginal.values().copied().collect()).collect()
}

/// Whether no two probabilities are further apart.
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

/// J at `nu`, by the terms' utilities and the definition.
fn value_of(game: &Game, terms: &[Term<'_>], reference: &Marginals, nu: &Marginals) -> f64 {
    let keyed: Vec<BTreeMap<&str, f64>> =
        nu.iter().map(|own| ANSWERS.into_iter().zip(own.iter().copied()).collect()).collect();
    let own =
        Bundle::exact("game", &game.bundle().groups.iter().map(|group| &group.prompt).zip(&keyed).collect::<Vec<_>>());
    let mut bundle = game.bundle().clone();
    // What the reference gives stays, as it does in a game.
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

/// The root of a falling function between two numbers.
fn root(mut low: f64, mut high: f64, falling: impl Fn(f64) -> f64) -> f64 {
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if falling(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

proptest! {
    #[test]
    fn correctness_tilts_by_the_reward(play in Play::any()) {
        let (solution, _) = solved(&play.game(), &[linear(play.weight, play.worth.clone())])?;
        let (wanted, sums) = play.tilted(|p, z| p.ln() + play.weight * play.worth[z] / play.beta);
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - play.beta * mean(sums.into_iter())).abs() < 1e-9);
    }

    #[test]
    fn entropy_flattens(play in Play::any()) {
        let (solution, _) = solved(&play.game(), &[play.term("entropy", json!({}))])?;
        let total = play.beta + play.weight;
        let (wanted, sums) = play.tilted(|p, _| play.beta / total * p.ln());
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - total * mean(sums.into_iter())).abs() < 1e-9);
    }

    #[test]
    fn a_target_is_met_half_way(play in Play::any()) {
        let target = &play.other[0];
        let (solution, _) = solved(&play.game(), &[play.term("target", json!({"target": play.table(target)}))])?;
        let total = play.beta + play.weight;
        let (wanted, sums) = play.tilted(|p, z| (play.beta * p.ln() + play.weight * target[z].ln()) / total);
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        prop_assert!((solution.value - total * mean(sums.into_iter())).abs() < 1e-9);
    }

    /// ν ∝ ν₀ exp(w r/(β p)) with p = ⟨r, ν⟩: the higher p, the less tilted ν, so p is the root of a falling function.
    #[test]
    fn maximum_likelihood_tilts_by_the_reward_over_its_mean(play in Play::any(), right in any::<bool>()) {
        let mut reward: Vec<f64> = play.worth.iter().map(|worth| if right { worth.round() } else { *worth }).collect();
        reward[0] = 1.0;
        let term = play.term("maximum-likelihood", json!({"reward": play.table(&reward)}));
        let (solution, _) = solved(&play.game(), &[term])?;
        let of = |own: &Vec<f64>| {
            let at = |p: f64| {
                let tilt_by = |(nu, r): (&f64, &f64)| nu.ln() + play.weight * r / (play.beta * p);
                tilt(&own.iter().zip(&reward).map(tilt_by).collect::<Vec<_>>()).0
            };
            at(root(1e-9, 1.0, |p| dot(&at(p), &reward) - p))
        };
        let wanted: Marginals = play.reference.iter().map(of).collect();
        prop_assert!(near(&marginals(&solution), &wanted, MARGINALS), "{:?}, not {wanted:?}", solution.marginals);
        let value = mean(wanted.iter().zip(&play.reference).map(|(nu, own)| {
            play.weight * dot(nu, &reward).ln() - play.beta * kl(nu, own)
        }));
        prop_assert!((solution.value - value).abs() < 1e-9, "{}, not {value}", solution.value);
    }

    /// A finite weight leaves the prompts apart, by about β/w = 0.001 times the logarithms (up to 9) by which their
    /// references differ.
    #[test]
    fn coherence_ends_near_the_geometric_mean(
        play in Play::any(),
        consensus in prop::sample::select(vec!["arithmetic", "geometric"]),
    ) {
        let play = Play { weight: 1e3 * play.beta, ..play };
        let (solution, _) = solved(&play.game(), &[play.term("coherence", json!({"consensus": consensus}))])?;
        let log_mean = |z: usize| mean(play.reference.iter().map(|own| own[z].ln()));
        let (wanted, sum) = tilt(&(0..play.worth.len()).map(log_mean).collect::<Vec<_>>());
        let wanted = vec![wanted; play.reference.len()];
        prop_assert!(near(&marginals(&solution), &wanted, 0.005), "{:?}, not {wanted:?}", solution.marginals);
        // The limit is coherent, so no weight makes less of it.
        let left = (solution.value - play.beta * sum) / play.beta;
        prop_assert!((-1e-9..0.02).contains(&left), "{} and {}", solution.value, play.beta * sum);
    }

    /// The price is the root of the cost's excess, which falls as it rises.
    #[test]
    fn a_constraint_is_priced_where_its_limit_binds(play in Play::any(), share in 0.05..1.2f64) {
        // Costs that can be told apart, so that a limit tells the marginals.
        let mut cost: Vec<f64> = play.worth.iter().map(|worth| (8.0 * worth).round() / 8.0).collect();
        (cost[0], cost[1]) = (0.0, 1.0);
        let of = |nu: &Marginals| mean(nu.iter().map(|own| dot(own, &cost)));
        let limit = share * of(&play.reference);
        let term = term("constraint", 1.0, &json!({"cost": play.table(&cost), "limit": limit}));
        let (solution, certificate) = solved(&play.game(), &[term])?;
        let at = |price: f64| play.tilted(|p, z| p.ln() - price * cost[z] / play.beta).0;
        let (own, price) = (marginals(&solution), solution.multipliers[0]);
        prop_assert!(near(&own, &at(price), 1e-9), "{own:?}, not {:?}", at(price));
        prop_assert!(of(&own) <= limit + 1e-9, "{} above {limit}", of(&own));
        prop_assert!((price * (of(&own) - limit)).abs() < 1e-9, "price {price} of {} and {limit}", of(&own));
        // As good as what mixes the reference with the answer that costs nothing.
        let kept = share.min(1.0);
        let mut mixed: Marginals = play.reference.iter().map(|own| own.iter().map(|p| kept * p).collect()).collect();
        mixed.iter_mut().for_each(|own| own[0] += 1.0 - kept);
        let value = |nu: &Marginals| -play.beta * mean(nu.iter().zip(&play.reference).map(|(p, q)| kl(p, q)));
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
    fn no_policy_is_worth_more_than_the_certificate_says(
        play in Play::any(),
        mix in proptest::collection::vec(any::<Index>(), 1..3),
    ) {
        let (game, terms) = (play.game(), play.mix(&mix));
        let (solution, certificate) = solved(&game, &terms)?;
        let value = |nu: &Marginals| value_of(&game, &terms, &play.reference, nu);
        let rounding = 1e-12 * certificate.upper.abs().max(1.0);
        prop_assert!((solution.value - value(&marginals(&solution))).abs() <= rounding, "the value is J");
        prop_assert!(solution.value >= value(&play.reference) - rounding, "the reference is no better");
        for nu in [&play.reference, &play.other] {
            prop_assert!(value(nu) <= certificate.upper + rounding, "{} > {}", value(nu), certificate.upper);
            // The certificate of any other point has room for all that the point lacks.
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
        (play, prompts, answers) in Play::any().prop_flat_map(|play| {
            let order = |n: usize| Just((0..n).collect::<Vec<usize>>()).prop_shuffle();
            let (prompts, answers) = (order(play.reference.len()), order(play.worth.len()));
            (Just(play), prompts, answers)
        }),
        mix in proptest::collection::vec(any::<Index>(), 1..3),
    ) {
        let moved = |nu: &Vec<f64>| -> Vec<f64> { answers.iter().map(|at| nu[*at]).collect() };
        let other = Play {
            reference: prompts.iter().map(|at| moved(&play.reference[*at])).collect(),
            worth: moved(&play.worth),
            other: play.other.iter().map(moved).collect(),
            attribute: answers.iter().map(|at| play.attribute[*at]).collect(),
            ..play.clone()
        };
        let (one, first) = solved(&play.game(), &play.mix(&mix))?;
        let (two, second) = solved(&other.game(), &other.mix(&mix))?;
        let rounding = 1e-9 * one.value.abs().max(1.0);
        prop_assert!((one.value - two.value).abs() < rounding, "{} and {}", one.value, two.value);
        // J falls by (β/m) KL or more away from its top, so by Pinsker's inequality the gap bounds what is left to go.
        let left = |gap: f64| (play.reference.len() as f64 * (gap + 1e-13) / (2.0 * play.beta)).sqrt();
        let own = marginals(&one);
        let wanted: Marginals = prompts.iter().map(|at| moved(&own[*at])).collect();
        let bound = left(first.gap) + left(second.gap);
        prop_assert!(near(&marginals(&two), &wanted, bound), "{:?}, not {wanted:?}", two.marginals);
    }
}
