//! Exact games are played from samples, and estimators are as good as they claim.

use std::process::Command;

use serde_json::{Value, json};

use crate::games::{Games, assert_keys, diverse, game, items, number, printed, prompt, with};
use crate::support::{alft, fail, root, succeed};

fn estimator(args: &str) -> Command {
    let mut command = alft(&root());
    command.arg("estimator").args(args.split(' '));
    command
}

#[test]
fn an_estimators_table_is_as_good_as_it_claims() {
    let output = succeed(&mut estimator("--kind variance-optimal --group 16 --bias-factor 4 --json"));
    let report = printed(&output).remove(0);
    assert_keys(&report, &["table", "sup_weighted_bias", "max_weighted_second_moment"]);
    let table: Vec<f64> = items(&report["table"]).iter().map(|entry| entry.as_f64().unwrap()).collect();
    assert_eq!(table.len(), 16);
    let (bias, moment) = (number(&report, "sup_weighted_bias"), number(&report, "max_weighted_second_moment"));
    assert!(bias <= 4.0 * 0.325 / 256.0 && moment <= 0.75, "{report}");

    // The same by definition, on a grid of p: n of the 15 other samples share the answer.
    let (mut worst, mut largest) = (0.0f64, 0.0f64);
    for p in (1..10_000).map(|at| f64::from(at) / 10_000.0) {
        let (mut mean, mut square, mut chance) = (0.0, 0.0, (1.0 - p).powi(15));
        for (n, entry) in (0..).zip(&table) {
            mean += chance * entry;
            square += chance * entry * entry;
            chance *= f64::from(15 - n) / f64::from(n + 1) * p / (1.0 - p);
        }
        worst = worst.max(p * (mean + p.ln()).abs());
        largest = largest.max(p * square);
    }
    assert!((0.99 * bias..=bias + 1e-9).contains(&worst), "{worst} on the grid: {report}");
    assert!((0.99 * moment..=moment + 1e-9).contains(&largest), "{largest} on the grid: {report}");
}

#[test]
fn an_unknown_estimator_is_refused_with_the_known_ones() {
    let kinds = ["plug-in", "leave-one-out", "harmonic", "u-statistic", "minimax", "variance-optimal"];
    fail(&mut estimator("--kind varianc --group 16"), 2, &[&["\"varianc\""], &kinds[..]].concat());
    fail(&mut estimator("--kind u-statistic --order 16 --group 16"), 2, &["order is 16", "from 1 to 15"]);
    fail(&mut estimator("--kind harmonic --order 2 --group 16"), 2, &["\"harmonic\" has no order"]);
    fail(&mut estimator("--kind harmonic --group 65"), 2, &["groups of 65", "2 to 64"]);
}

/// A game with two answers, of which the right one is rare.
fn rare() -> Games {
    Games::new(&[with(&diverse(), json!({"prompts": [prompt("x", &[("A", 0.85), ("B", 0.15)])]}))])
}

fn distances(mut simulate: Command) -> Vec<f64> {
    printed(&succeed(&mut simulate)).iter().map(|outcome| number(outcome, "distance")).collect()
}

#[test]
fn the_same_seed_gives_the_same_outcomes() {
    let games = rare();
    let run = |seed: u32| {
        let args = format!("--group 2,4 --steps 100 --seeds 2 --seed {seed}");
        printed(&succeed(&mut games.simulate(&args)))
    };
    let outcomes = run(0);
    assert_eq!(run(0), outcomes);
    assert_ne!(run(2), outcomes);
    let kind = |outcome: &Value| {
        let ends = ["regret", "regret_error", "distance", "distance_error"];
        assert_keys(outcome, &[&["game", "kl", "estimator", "group"][..], &ends].concat());
        json!([outcome["game"], outcome["kl"], outcome["estimator"], outcome["group"]])
    };
    let named = |group: u32| json!(["g", "reward", "variance-optimal", group]);
    assert_eq!(outcomes.iter().map(kind).collect::<Vec<_>>(), [named(2), named(4)]);
}

#[test]
fn less_bias_ends_nearer_to_the_equilibrium() {
    let ends = distances(rare().simulate("--group 4 --steps 1000 --estimator plug-in,variance-optimal"));
    assert!(ends[1] < 0.6 * ends[0], "plug-in ends {} away, variance-optimal {}", ends[0], ends[1]);
}

#[test]
fn the_right_answer_is_learnt_from_samples() {
    let games = Games::new(&[game(json!([{"kind": "correctness", "reward": {"C": 1.0}}]))]);
    let outcome = printed(&succeed(&mut games.simulate("--group 8 --steps 1000"))).remove(0);
    assert!(number(&outcome, "distance") < 0.05, "{outcome}");
    assert!(number(&outcome, "regret").abs() < 0.01, "{outcome}");
}

#[test]
fn a_penalty_whose_gradient_is_that_of_the_divergence_keeps_the_equilibrium() {
    let games = Games::new(&[game(json!([{"kind": "correctness", "weight": 0.4, "reward": {"C": 1.0}}]))]);
    let args = "--group 16 --steps 400 --seeds 1 --leave-one-out --kl reward,k2,k3-ratio,k3,k1";
    let ends = distances(games.simulate(args));
    assert!(ends[..3].iter().all(|end| *end < 0.03), "reward, k2 and k3-ratio: {ends:?}");
    assert!(ends[3] > 0.08 && ends[4] > 0.2, "k3 and k1: {ends:?}");
    fail(&mut games.simulate("--kl loss"), 2, &["reward, k1, k2, k3, k3-ratio"]);
}

#[test]
fn outcomes_are_drawn() {
    let games = rare();
    succeed(&mut games.simulate("--group 2,4 --steps 50 --estimator plug-in,harmonic --plot ends.svg"));
    let picture = games.read("ends.svg");
    for part in ["<svg", "plug-in", "harmonic", "group size", "<polyline", "</svg>"] {
        assert!(picture.contains(part), "no {part} in the picture");
    }
}

/// A learning rate this high ends with no probability left on the rare answer A. The reward of A at that end overflows
/// over a small beta, which is a fault of the game's numbers and not of the command line.
#[test]
fn a_reward_that_overflows_where_training_ended_is_a_fault_of_the_game() {
    let rare = 2f64.powi(-20);
    let x = prompt("x", &[("A", rare), ("B", 0.5), ("C", 0.5 - rare)]);
    let objectives = json!([{"kind": "maximum-likelihood", "reward": {"A": 1.0}}, {"kind": "gini", "weight": 0.1}]);
    let games = Games::new(&[with(&game(objectives), json!({"prompts": [x], "beta": 1e-9}))]);
    succeed(&mut games.solve());
    let mut simulate = games.simulate("--group 4 --steps 20 --seeds 8 --learning-rate 1e30");
    fail(&mut simulate, 4, &["line 1: game \"g\"", "over a beta of 1e-9 overflows", "learning rate"]);
}

#[test]
fn a_game_that_cannot_be_sampled_is_refused() {
    let x = prompt("x", &[("A", 0.5), ("B", 0.5), ("C", 0.0)]);
    let games = Games::new(&[with(&diverse(), json!({"prompts": [x]}))]);
    succeed(&mut games.solve());
    fail(&mut games.simulate("--steps 5"), 4, &["line 1: game \"g\"", "\"C\"", "probability 0"]);
    let games = Games::new(&[game(json!([{"kind": "majority"}]))]);
    fail(&mut games.simulate("--steps 5"), 8, &["no equilibrium is proved for g"]);
    fail(&mut games.simulate("--group 1"), 2, &["--group", "2 to 1024"]);
    let estimators = ["\"leave-one-out\"", "plug-in", "harmonic", "minimax", "variance-optimal"];
    fail(&mut games.simulate("--estimator leave-one-out"), 2, &estimators);
}
