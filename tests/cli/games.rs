//! Exact games are solved with a certificate, or refused with their line.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};

use alft_build::Form;
use serde_json::{Value, json};

use crate::random::{Numbers, Random};
use crate::support::{alft, all_text, built, fail, root, succeed};

/// A scratch folder with a file of games.
pub(crate) struct Games {
    folder: tempfile::TempDir,
}

impl Games {
    pub(crate) fn new(games: &[Value]) -> Self {
        Self::text(&games.iter().map(Value::to_string).collect::<Vec<_>>().join("\n"))
    }

    pub(crate) fn text(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("games.jsonl"), text).unwrap();
        Self { folder }
    }

    pub(crate) fn solve(&self) -> Command {
        self.command("solve")
    }

    pub(crate) fn simulate(&self, args: &str) -> Command {
        let mut command = self.command("simulate");
        command.arg("--json").args(args.split(' '));
        command
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        let mut command = alft(self.folder.path());
        command.args([name, "games.jsonl"]);
        command
    }

    /// Returns the text of a file that a command wrote.
    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

/// A game of one prompt. Its name is "g".
pub(crate) fn game(objectives: Value) -> Value {
    let x = prompt("x", &[("A", 0.6), ("B", 0.3), ("C", 0.1)]);
    json!({"name": "g", "beta": 0.2, "prompts": [x], "objectives": objectives})
}

pub(crate) fn prompt(id: &str, answers: &[(&str, f64)]) -> Value {
    let traces: Vec<Value> = answers.iter().map(|(answer, prob)| json!({"answer": answer, "prob": prob})).collect();
    json!({"id": id, "traces": traces})
}

/// Returns the object with these members in place of its own.
pub(crate) fn with(object: &Value, members: Value) -> Value {
    let (Value::Object(mut object), Value::Object(members)) = (object.clone(), members) else { panic!("{object}") };
    object.extend(members);
    object.into()
}

/// Returns the objects on the lines of standard output.
pub(crate) fn printed(output: &Output) -> Vec<Value> {
    objects(std::str::from_utf8(&output.stdout).unwrap())
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

/// Returns a number. One that is not finite is null in JSON.
pub(crate) fn number(of: &Value, key: &str) -> f64 {
    of[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {of}"))
}

fn numbers(of: &Value) -> BTreeMap<&str, f64> {
    let keys = of.as_object().unwrap_or_else(|| panic!("no object: {of}")).keys();
    keys.map(|key| (key.as_str(), number(of, key))).collect()
}

pub(crate) fn items(of: &Value) -> &[Value] {
    of.as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn assert_keys(of: &Value, keys: &[&str]) {
    let found: BTreeSet<&str> = of.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(found, keys.iter().copied().collect(), "{of}");
}

fn constraints(game: &Value) -> impl Iterator<Item = &Value> {
    items(&game["objectives"]).iter().filter(|objective| objective["kind"] == "constraint")
}

/// cvxpy found the equilibria in data/games.jsonl with the interior-point solver Clarabel, to these tolerances.
#[test]
fn equilibria_are_those_of_an_independent_convex_solver() {
    let games = objects(&std::fs::read_to_string(root().join("tests/cli/data/games.jsonl")).unwrap());
    let solved = printed(&succeed(alft(&root()).args(["solve", "tests/cli/data/games.jsonl", "--json"])));
    assert_eq!((games.len(), solved.len()), (36, 36));
    for (game, solution) in games.iter().zip(&solved) {
        let (name, expected) = (&game["name"], &game["solution"]);
        assert_keys(solution, &["name", "value", "gap", "marginals", "multipliers", "iterations"]);
        assert_eq!(solution["name"], *name);
        assert!(solution["iterations"].is_u64(), "{name}");
        assert!((number(solution, "value") - number(expected, "value")).abs() < 1e-6, "{name}: {solution}");
        let constrained = constraints(game).next().is_some();
        assert!(number(solution, "gap") <= if constrained { 1e-6 } else { 1e-8 }, "{name}: {solution}");

        let prompts = items(&game["prompts"]);
        assert_eq!(solution["marginals"].as_object().unwrap().len(), prompts.len(), "{name}");
        for (prompt, marginal) in prompts.iter().zip(items(&expected["marginals"])) {
            let (found, marginal) =
                (numbers(&solution["marginals"][prompt["id"].as_str().unwrap()]), numbers(marginal));
            assert!(found.keys().eq(marginal.keys()), "{name}: {found:?}");
            assert!(
                marginal.iter().all(|(key, p)| (found[key] - p).abs() < 1e-4),
                "{name}: {found:?}, not {marginal:?}"
            );
        }
        let prices = |of: &Value| items(&of["multipliers"]).iter().map(|price| price.as_f64().unwrap()).collect();
        let (found, wanted): (Vec<f64>, Vec<f64>) = (prices(solution), prices(expected));
        assert_eq!((found.len(), wanted.len()), (constraints(game).count(), constraints(game).count()), "{name}");
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-4), "{name}: {found:?}, not {wanted:?}");
    }
}

/// Checks the properties that the solution of every game has. Returns the one that is missing.
fn check(game: &Value, solution: &Value) -> Result<(), String> {
    let (gap, value) = (&solution["gap"], &solution["value"]);
    let most = if constraints(game).next().is_some() { 1e-6 } else { 1e-8 };
    if !gap.as_f64().is_some_and(|gap| gap <= most) || !value.is_number() {
        return Err(format!("value {value}, gap {gap}"));
    }
    let marginals: Vec<_> = solution["marginals"].as_object().unwrap().values().map(numbers).collect();
    for marginal in &marginals {
        let total: f64 = marginal.values().sum();
        if (total - 1.0).abs() > 1e-9 || !marginal.values().all(|p| (0.0..=1.0).contains(p)) {
            return Err(format!("not a distribution: {marginal:?}"));
        }
    }
    for constraint in constraints(game) {
        let costs = numbers(&constraint["cost"]);
        let cost = |marginal: &BTreeMap<&str, f64>| costs.iter().map(|(key, cost)| cost * marginal[key]).sum::<f64>();
        let excess = marginals.iter().map(cost).sum::<f64>() / marginals.len() as f64 - number(constraint, "limit");
        if excess > 1e-8 {
            return Err(format!("a limit is exceeded by {excess:e}"));
        }
    }
    Ok(())
}

/// Asserts that all games are solved.
fn assert_solved(games: &[Value]) {
    let output = Games::new(games).solve().arg("--json").output().unwrap();
    let solved = printed(&output);
    let missing = || Err("no solution".to_owned());
    let checked = games
        .iter()
        .enumerate()
        .map(|(at, game)| solved.get(at).map_or_else(missing, |solution| check(game, solution)));
    let wrong: Vec<String> =
        checked.zip(games).filter_map(|(checked, game)| Some(format!("{}: {game}", checked.err()?))).collect();
    let errors = String::from_utf8_lossy(&output.stderr);
    let first = wrong.iter().take(6).map(String::as_str).collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} of {} games are not solved:\n{first}\n{errors}", wrong.len(), games.len());
    assert!(output.status.success(), "{errors}");
}

#[test]
fn ten_thousand_random_games_are_solved() {
    let mut random = Random::new(0, Numbers::Any);
    assert_solved(&(0..10_000).map(|at| random.game(at)).collect::<Vec<_>>());
}

/// With round numbers, several limits bind at the same place, and answers have equal rewards.
#[test]
fn thousands_of_games_under_one_and_two_limits_are_solved() {
    for numbers in [Numbers::Any, Numbers::Round] {
        let mut random = Random::new(1, numbers);
        assert_solved(&(0..1500).map(|at| random.limited(at, 1 + at % 2)).collect::<Vec<_>>());
    }
}

/// Limits of which one implies another, and limits on the answers with the highest rewards.
#[test]
fn games_whose_constraints_are_hard_to_price_are_solved() {
    let limit = |limit: f64, cost: Value| json!({"kind": "constraint", "cost": cost, "limit": limit});
    let correct = |weight: f64, reward: Value| json!({"kind": "correctness", "weight": weight, "reward": reward});
    let likely = |weight: f64, reward: Value| json!({"kind": "maximum-likelihood", "weight": weight, "reward": reward});
    let parity = |attribute: Value| json!({"kind": "parity", "weight": 10.0, "attribute": attribute});
    let gini = json!({"kind": "gini", "weight": 3.0});
    let pairwise = json!({"kind": "pairwise", "weight": 3.0});
    let best = json!({"kind": "pass@k", "k": 8, "weight": 3.0, "reward": {"B": 1.0, "C": 1.0}});
    let x = |answers: &[(&str, f64)]| vec![prompt("x", answers)];
    let xy = |one: &[(&str, f64)], other: &[(&str, f64)]| vec![prompt("x", one), prompt("y", other)];

    let even = [("A", 0.5), ("B", 0.5)];
    let b = |cost: f64| json!({"B": cost});
    let hard = [
        (1.0, x(&even), json!([limit(0.3, b(1.0)), limit(0.1, b(1.0))])),
        (1.0, x(&even), json!([limit(0.1, b(1.0)), limit(0.1, b(1.0))])),
        (1.0, x(&even), json!([gini, limit(0.3, b(1.0)), limit(0.02, b(1.0))])),
        (1.0, x(&[("A", 0.1), ("B", 0.9)]), json!([gini, limit(0.3, b(1.0)), limit(0.1, b(1.0))])),
        (0.02, x(&even), json!([correct(6.0, b(1.0)), limit(0.1, b(0.5)), limit(0.3, b(1.0))])),
        (
            0.05,
            x(&[("A", 0.4), ("B", 0.4), ("C", 0.2)]),
            json!([limit(0.1, b(1.0)), limit(0.1, json!({"B": 1.0, "C": 0.2}))]),
        ),
        (
            1.0,
            x(&[("A", 0.3), ("B", 0.2), ("C", 0.4), ("D", 0.1)]),
            json!([
                correct(10.0, json!({"A": 1.0, "C": 1.0})),
                limit(0.3, json!({"C": 1.0, "D": 1.0})),
                limit(0.3, json!({"B": 1.0, "C": 1.0})),
            ]),
        ),
        (
            0.1,
            x(&[("A", 0.1), ("B", 0.4), ("C", 0.5)]),
            json!([best, limit(0.02, b(1.0)), limit(0.02, json!({"C": 1.0}))]),
        ),
        (
            0.02,
            x(&[("A", 0.4), ("B", 0.4), ("C", 0.2)]),
            json!([
                {"kind": "tsallis", "order": 3, "weight": 10.0},
                limit(0.02, b(1.0)),
                limit(0.3, json!({"C": 1.0})),
            ]),
        ),
        (
            0.02,
            x(&[("A", 0.1), ("B", 0.1), ("C", 0.1), ("D", 0.7)]),
            json!([gini, likely(3.0, json!({"C": 1.0, "D": 1.0})), limit(0.02, json!({"B": 1.0, "C": 1.0, "D": 1.0}))]),
        ),
        (
            0.02,
            xy(&[("A", 0.6), ("B", 0.1), ("C", 0.1), ("D", 0.2)], &[("A", 0.1), ("B", 0.4), ("C", 0.1), ("D", 0.4)]),
            json!([likely(10.0, b(1.0)), pairwise, limit(0.02, json!({"B": 1.0, "D": 1.0}))]),
        ),
        (
            0.02,
            xy(&[("A", 0.2), ("B", 0.3), ("C", 0.5)], &[("A", 0.4), ("B", 0.1), ("C", 0.5)]),
            json!([parity(json!({"A": "p", "B": "p", "C": "q"})), limit(0.3, json!({"B": 1.0, "C": 1.0}))]),
        ),
        (
            0.02,
            xy(&[("A", 0.2), ("B", 0.6), ("C", 0.2)], &[("A", 0.11), ("B", 0.78), ("C", 0.11)]),
            json!([
                parity(json!({"A": "p", "B": "p", "C": "q"})),
                correct(3.0, json!({"C": 1.0})),
                limit(0.02, json!({"B": 1.0, "C": 1.0})),
            ]),
        ),
        (
            0.05,
            x(&[("A", 0.3), ("B", 0.2), ("C", 0.4), ("D", 0.1)]),
            json!([likely(1.0, json!({"D": 1.0})), limit(0.02, json!({"C": 1.0, "D": 1.0})), limit(0.3, b(1.0))]),
        ),
        (
            0.02,
            x(&[("A", 0.1), ("B", 0.5), ("C", 0.2), ("D", 0.2)]),
            json!([
                likely(10.0, json!({"B": 1.0, "C": 1.0})),
                {"kind": "gini"},
                limit(0.02, json!({"B": 1.0, "C": 1.0, "D": 1.0})),
            ]),
        ),
        (
            0.02,
            x(&[("A", 0.6), ("B", 0.1), ("C", 0.3)]),
            json!([correct(10.0, b(1.0)), limit(0.02, json!({"C": 1.0})), limit(0.1, b(1.0))]),
        ),
        // Three limits that are nearly the same.
        (
            0.02,
            xy(&[("A", 0.2), ("B", 0.6), ("C", 0.2)], &[("A", 0.4), ("B", 0.4), ("C", 0.2)]),
            json!([
                likely(10.0, b(1.0)),
                {"kind": "coherence", "consensus": "reference", "weight": 6.0},
                limit(0.02, b(1.0)),
                limit(0.02, b(1.0)),
                limit(0.02, json!({"B": 1.0, "C": 1.0})),
            ]),
        ),
    ];
    let games = (1..).zip(hard).map(|(at, (beta, prompts, objectives))| {
        json!({"name": format!("hard {at}"), "beta": beta, "prompts": prompts, "objectives": objectives})
    });
    assert_solved(&games.collect::<Vec<_>>());
}

#[test]
fn the_examples_are_solved_and_simulated() {
    let solved = printed(&succeed(alft(&root()).args(["solve", "examples/games/games.jsonl", "--json"])));
    assert_eq!(solved.len(), 5);
    let mut simulate = alft(&root());
    simulate.args(["simulate", "examples/estimators/games.jsonl", "--json"]);
    simulate.args(["--group", "4,8", "--steps", "50", "--seeds", "1"]);
    assert_eq!(printed(&succeed(&mut simulate)).len(), 3 * 2);
}

/// A game in which the answer B has a probability of a tenth or less.
fn limited() -> Value {
    game(json!([{"kind": "entropy"}, {"kind": "constraint", "cost": {"B": 1.0}, "limit": 0.1}]))
}

#[test]
fn a_limit_that_can_be_kept_is_never_called_infeasible() {
    let games = Games::new(&[limited()]);
    for (flag, values) in [("--iterations", "1 5 20 40"), ("--dynamics", "best-response mirror average")] {
        for value in values.split(' ') {
            let output = games.solve().args([flag, value]).output().unwrap();
            assert!([Some(0), Some(8)].contains(&output.status.code()), "{flag} {value}: {}", all_text(&output));
        }
    }
}

#[test]
fn every_kind_has_an_equilibrium_and_a_certificate_unless_it_is_a_heuristic() {
    let fields = |kind: &str| match kind {
        "correctness" | "maximum-likelihood" => json!({"reward": {"B": 1.0}}),
        "pass@k" => json!({"k": 2, "reward": {"B": 1.0}}),
        "tsallis" => json!({"order": 3}),
        "target" => json!({"target": {"A": 0.5, "B": 0.5}}),
        "marginal" => json!({"attribute": {"A": "p", "B": "q"}, "target": {"p": 0.5, "q": 0.5}}),
        "parity" => json!({"attribute": {"A": "p", "B": "q"}}),
        "constraint" => json!({"cost": {"A": 1.0}, "limit": 0.3}),
        "entropy" | "gini" | "coherence" | "pairwise" | "majority" | "semantic-entropy" => json!({}),
        _ => panic!("the kind {kind} is not tested"),
    };
    let prompts = [prompt("x", &[("A", 0.8), ("B", 0.2)]), prompt("y", &[("A", 0.3), ("B", 0.7)])];
    let games: Vec<Value> = alft_builtin::kinds()
        // Graders score completions, and an exact game has only answers.
        .filter(|kind| !["format", "length"].contains(kind))
        .map(|kind| {
            let objectives = [with(&json!({"kind": kind}), fields(kind))];
            json!({"name": kind, "beta": 0.2, "prompts": prompts, "objectives": objectives})
        })
        .collect();
    let output = Games::new(&games).solve().arg("--json").output().unwrap();
    assert_eq!(output.status.code(), Some(8), "{}", all_text(&output));
    let solved = printed(&output);
    assert_eq!(solved.len(), games.len(), "{}", all_text(&output));
    for solution in &solved {
        let heuristic = solution["name"] == "majority" || solution["name"] == "semantic-entropy";
        assert_eq!(solution["gap"].is_null(), heuristic, "{solution}");
        assert!(heuristic || number(solution, "gap") <= 1e-8, "{solution}");
        assert!(number(solution, "iterations") < 1000.0, "{solution}");
        assert!(solution["value"].is_number(), "{solution}");
    }
}

#[test]
fn a_game_with_a_heuristic_has_no_certificate() {
    for kind in ["majority", "semantic-entropy"] {
        let games = Games::new(&[game(json!([{"kind": "entropy"}, {"kind": kind}]))]);
        fail(&mut games.solve(), 8, &["no equilibrium can be proved", "for g"]);
    }
}

/// A game for diverse answers, and for the right one.
pub(crate) fn diverse() -> Value {
    game(json!([{"kind": "entropy", "weight": 0.5}, {"kind": "correctness", "reward": {"B": 1.0}}]))
}

#[test]
fn all_dynamics_lead_to_the_same_equilibrium() {
    let games = Games::new(&[diverse()]);
    let end = |dynamics: &str| printed(&succeed(games.solve().args(["--json", "--dynamics", dynamics]))).remove(0);
    let fast = end("accelerated");
    for dynamics in ["best-response", "mirror", "average"] {
        let slow = end(dynamics);
        assert!((number(&slow, "value") - number(&fast, "value")).abs() <= 1e-8, "{dynamics}: {slow}, not {fast}");
        // J falls by β KL or more away from its maximum. By Pinsker's inequality this bounds the error of a probability.
        let bound = (1e-8 / (2.0 * 0.2f64)).sqrt();
        let (slow, fast) = (numbers(&slow["marginals"]["x"]), numbers(&fast["marginals"]["x"]));
        assert!(fast.iter().all(|(key, p)| (slow[key] - p).abs() <= bound), "{dynamics}: {slow:?}, not {fast:?}");
    }
}

#[test]
fn a_game_without_a_certificate_within_the_tolerance_is_named() {
    let games = Games::new(&[with(&diverse(), json!({"name": "hasty"}))]);
    fail(games.solve().args(["--iterations", "3"]), 8, &["no equilibrium is proved for hasty"]);
    succeed(games.solve().args(["--iterations", "3", "--tolerance", "0.1"]));
}

#[test]
fn a_mistake_in_a_game_is_reported_with_its_line() {
    let bad = with(&diverse(), json!({"name": "bad"}));
    let of = |objective: Value| with(&bad, json!({"objectives": [objective]}));
    let asks = |prompts: Value| with(&bad, json!({"prompts": prompts}));
    let x = |a: f64, b: f64| prompt("x", &[("A", a), ("B", b)]);
    let costly = json!({"kind": "constraint", "cost": {"A": 1.0, "B": 0.9, "C": 0.8}, "limit": 0.3});
    let pair = json!([{"kind": "pairwise", "pairs": [["x", "z", 1.0]]}]);
    let pair = with(&bad, json!({"prompts": [x(0.5, 0.5), prompt("y", &[("A", 1.0)])], "objectives": pair}));
    let cases: [(Value, &[&str]); 14] = [
        (of(json!({"kind": "entropi"})), &["unknown kind \"entropi\"", "did you mean \"entropy\"?"]),
        (of(json!({"kind": "correctness", "reward": {"Z": 1.0}})), &["answer \"Z\"", "no prompt can give"]),
        (of(json!({"kind": "entropy", "wieght": 2.0})), &["objective entropy", "`wieght`"]),
        (of(json!({"kind": "tsallis", "ordr": 2})), &["objective tsallis", "`ordr`", "`order`"]),
        (of(json!({"kind": "entropy", "weight": -1.0})), &["objective entropy", "weight is -1", "0 or more"]),
        (of(with(&costly, json!({"weight": 2.0}))), &["a constraint has no weight", "2", "change its limit"]),
        (of(costly), &["the limit of constraint", "raise the limit"]),
        (with(&bad, json!({"beta": 0.0})), &["beta is 0", "above 0"]),
        (with(&bad, json!({"objectives": []})), &["no objectives"]),
        (asks(json!([])), &["no prompts"]),
        (asks(json!([x(0.5, 0.5), x(0.5, 0.5)])), &["two prompts have the id \"x\""]),
        (asks(json!([x(0.5, 0.3)])), &["prompt x", "sum to 0.8, not to 1"]),
        (asks(json!([x(-0.5, 1.5)])), &["prompt x", "probability -0.5"]),
        (pair, &["\"x\" is paired with \"z\"", "x, y"]),
    ];
    for (game, words) in cases {
        let games = Games::text(&format!("{}\n\n{game}\n", diverse()));
        fail(&mut games.solve(), 4, &[&["games.jsonl, line 3: game \"bad\": "], words].concat());
    }
    // A line that cannot be parsed has no name.
    for (line, words) in [
        (with(&bad, json!({"betta": 1.0})).to_string(), ["unknown field `betta`", "(column "]),
        ("{\"name\": \"bad\", \"beta\": ".into(), ["EOF", "\"objectives\""]),
    ] {
        let games = Games::text(&format!("{}\n\n{line}\n", diverse()));
        fail(&mut games.solve(), 4, &[&["games.jsonl, line 3: "], &words[..]].concat());
    }
}

#[test]
fn names_are_unique_and_a_game_can_be_chosen_by_its_name() {
    let other = with(&diverse(), json!({"name": "other"}));
    let twice = Games::new(&[diverse(), other.clone(), diverse()]);
    fail(&mut twice.solve(), 4, &["games.jsonl, line 3: game \"g\": the name is that of line 1"]);

    let games = Games::new(&[diverse(), other]);
    let solved = printed(&succeed(games.solve().args(["--json", "--only", "other"])));
    assert_eq!(solved.iter().map(|solution| &solution["name"]).collect::<Vec<_>>(), ["other"]);
    fail(games.solve().args(["--only", "othr"]), 4, &["games.jsonl: it has no game \"othr\"", "there is: g, other"]);
}

#[test]
fn a_plugin_on_the_command_line_is_an_additional_objective() {
    let half = |form| format!("{},weight=0.5", built("entropy", form).display());
    let kind = printed(&succeed(Games::new(&[diverse()]).solve().arg("--json"))).remove(0);
    let games = Games::new(&[game(json!([{"kind": "correctness", "reward": {"B": 1.0}}]))]);
    for (plugin, trust) in [(half(Form::Component), None), (half(Form::Native), Some("--trust-native"))] {
        let found = printed(&succeed(games.solve().args(["--json", "--plugin", &plugin]).args(trust))).remove(0);
        assert!((number(&found, "value") - number(&kind, "value")).abs() < 1e-9, "{found}, not {kind}");
        assert!(number(&found, "gap") <= 1e-8, "{found}");
    }
    let native = half(Form::Native);
    fail(games.solve().args(["--plugin", &native]), 5, &["runs with all the rights of this program", "--trust-native"]);
    fail(games.solve().args(["--plugin", "absent.wasm"]), 5, &["absent.wasm", "No such file"]);
}

#[test]
fn a_plugin_that_fails_on_a_game_is_blamed_and_not_the_games_file() {
    let games = Games::new(&[diverse(), with(&diverse(), json!({"name": "other"}))]);
    let plugin = built("misbehave", Form::Component);
    let plugin = ["--plugin", plugin.to_str().unwrap(), "--config", r#"{"fault": "panic"}"#];
    let output = games.solve().args(plugin).output().unwrap();
    let all = all_text(&output);
    assert_eq!(output.status.code(), Some(5), "{all}");
    assert!(!all.contains("games.jsonl") && !all.contains("a line is"), "{all}");
    fail(games.solve().args(plugin), 5, &["misbehave.wasm\" failed on game \"g\"", "told to panic"]);
}

#[test]
fn the_path_to_an_equilibrium_is_drawn() {
    let games = Games::new(&[diverse(), with(&limited(), json!({"name": "limited"}))]);
    succeed(games.solve().args(["--plot", "paths.svg"]));
    let picture = games.read("paths.svg");
    for part in ["<svg", "g: answers to x", "limited: answers to x", "duality gap", "<polyline", "</svg>"] {
        assert!(picture.contains(part), "no {part} in the picture");
    }
    let many: Vec<Value> = (0..9).map(|at| with(&diverse(), json!({"name": at.to_string()}))).collect();
    fail(Games::new(&many).solve().args(["--plot", "paths.svg"]), 4, &["9 games do not fit", "--only"]);
}
