//! Stored completions are rewarded as in a training step.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Small, component, fail, succeed};

/// Two phrasings of one question, and another question.
const COMPLETIONS: &str = r#"{"id": "a", "bundle": "q", "prompt": "1+1=", "completions": ["so :2", "so :3"], "gold": 2}
{"id": "b", "bundle": "q", "prompt": "one and one", "completions": ["it is :2", "no idea"], "gold": "2"}
{"prompt": "2+2=", "completions": [":4", ":4"], "gold": "4"}
"#;

/// Returns a folder with the completions, and with two plugins under short names.
fn small() -> Small {
    let small = Small::new();
    small.write("completions.jsonl", COMPLETIONS);
    for name in ["arithmetic", "coherence"] {
        std::fs::copy(component(name), small.path().join(name).with_extension("wasm")).unwrap();
    }
    small
}

const READER: [&str; 4] = ["--plugin", "arithmetic.wasm", "--config", r#"{"marker": ":"}"#];

fn score(small: &Small, args: &[&str]) -> Command {
    let mut command = small.command(&["score", "completions.jsonl"]);
    command.args(args);
    command
}

fn scored(mut command: Command) -> Vec<Value> {
    let output = succeed(&mut command);
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_line_has_an_answer_scores_a_reward_and_an_advantage_for_each_completion() {
    let small = small();
    let lines = scored(score(&small, &[&READER[..], &["--plugin", "coherence.wasm,weight=0.5"]].concat()));
    let facts: Vec<_> =
        lines.iter().map(|line| json!([line["id"], line["answers"], line["scores"]["arithmetic"]])).collect();
    let wanted = [
        json!(["a", ["2", "3"], [1.0, 0.0]]),
        json!(["b", ["2", null], [1.0, 0.0]]),
        json!(["3", ["4", "4"], [1.0, 1.0]]),
    ];
    assert_eq!(facts, wanted);
    let number = |line: usize, path: &str| lines[line].pointer(path).and_then(Value::as_f64).unwrap();
    for (line, place) in [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)] {
        let score = |plugin: &str| number(line, &format!("/scores/{plugin}/{place}"));
        let sum = score("arithmetic") + 0.5 * score("coherence");
        assert!((number(line, &format!("/rewards/{place}")) - sum).abs() < 1e-12, "{lines:?}");
    }
    // Lines of one bundle are phrasings of one question, so the other phrasing's answers count.
    let coherence = |place: usize| number(0, &format!("/scores/coherence/{place}"));
    assert!(coherence(0) > coherence(1), "only the answer 2 is given to both phrasings: {lines:?}");
    let advantage = |line: usize, place: usize| number(line, &format!("/advantages/{place}"));
    assert!(advantage(0, 0) > 0.0 && (advantage(0, 0) + advantage(0, 1)).abs() < 1e-9, "{lines:?}");
    assert_eq!((advantage(2, 0), advantage(2, 1)), (0.0, 0.0), "equal rewards have no advantage");
}

#[test]
fn the_means_are_told_with_a_row_for_each_plugin() {
    let small = small();
    let output = succeed(&mut score(&small, &[&READER[..], &["--plugin", "coherence.wasm,weight=0.5"]].concat()));
    let text = String::from_utf8(output.stderr).unwrap();
    let row = |name: &str| text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    assert!(row("arithmetic").contains("0.6667"), "{text}");
    assert!(row("coherence").contains("0.5"), "{text}");
    assert!(row("accuracy").contains("0.6667") && row("accuracy").contains("without an answer 16.7%"), "{text}");
}

#[test]
fn a_failure_is_told_in_place_of_a_score() {
    let small = small();
    small.write("completions.jsonl", &COMPLETIONS.replace(", \"gold\": \"4\"", ""));
    let mut command = score(&small, &[&READER[..], &["--plugin", "coherence.wasm"]].concat());
    let errors = String::from_utf8(succeed(&mut command).stderr).unwrap();
    assert!(errors.contains("plugin arithmetic failed") && errors.contains("prompt 3 has no gold answer"), "{errors}");
    let lines = scored(command);
    let failure = lines[2]["scores"]["arithmetic"][0]["failure"].as_str().unwrap();
    assert!(failure.contains("prompt 3 has no gold answer"), "{failure}");
    assert_eq!(lines[2]["answers"][0], json!({ "failure": "arithmetic: error" }));
    assert_eq!(
        lines[2]["scores"]["coherence"],
        json!([null, null]),
        "a dropped completion is no part of a distribution"
    );
    assert_eq!((&lines[2]["rewards"], &lines[2]["advantages"]), (&json!([null, null]), &json!([null, null])));
    assert_eq!(lines[0]["scores"]["arithmetic"], json!([1.0, 0.0]));
}

#[test]
fn a_run_file_names_the_plugins() {
    let small = small();
    let lines = scored(score(&small, &["--run", "run.toml"]));
    let names: Vec<&String> = lines[0]["scores"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["arithmetic", "coherence", "entropy"]);
    assert_eq!(lines[0]["answers"][0], "2");
}

#[test]
fn a_full_disk_is_an_error() {
    let small = small();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = score(&small, &READER).stdout(full).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("cannot write to standard output"), "{errors}");
}

#[test]
fn mistakes_are_named() {
    let small = small();
    fail(&mut score(&small, &[]), 2, &["--plugin"]);
    fail(&mut score(&small, &[&READER[..], &["--run", "run.toml"]].concat()), 2, &["--run", "cannot be used with"]);
    let config = ["--plugin", "arithmetic.wasm", "--config", r#"{"mark": ":"}"#];
    fail(&mut score(&small, &config), 5, &["plugin \"arithmetic\"", "mark"]);
    fail(&mut score(&small, &["--config", "{}"]), 2, &["--plugin"]);
    fail(&mut score(&small, &["--plugin", "coherence.wasm"]), 5, &["none of the plugins reads answers"]);
    fail(&mut score(&small, &["--plugin", "absent.wasm"]), 5, &["plugin \"absent\"", "absent.wasm", "No such file"]);
    small.write("completions.jsonl", &COMPLETIONS.replace("[\":4\", \":4\"]", "[]"));
    fail(&mut score(&small, &READER), 4, &["completions.jsonl, line 3", "`completions` is empty", "a line is {"]);
    small.write("completions.jsonl", &COMPLETIONS.replace("\"id\": \"b\"", "\"id\": \"a\""));
    fail(&mut score(&small, &READER), 4, &["completions.jsonl, line 2", "the id \"a\""]);
}
