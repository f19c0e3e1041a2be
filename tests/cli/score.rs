//! Stored completions are rewarded as in a training step.

use std::process::Command;

use serde_json::Value;

use crate::support::{Small, all_text, component, fail, succeed};

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

const READER: [&str; 2] = ["--plugin", r#"arithmetic.wasm,config={"marker": ":"}"#];

fn score(small: &Small, args: &[&str]) -> Command {
    let mut command = small.command(&["score", "completions.jsonl"]);
    command.args(args);
    command
}

fn scored(mut command: Command) -> Vec<Value> {
    let output = succeed(command.arg("--json"));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn every_completion_has_its_answer_rewards_and_advantage() {
    let small = small();
    let lines = scored(score(&small, &[&READER[..], &["--plugin", "coherence.wasm,weight=0.5"]].concat()));
    let facts = |line: &Value| (line["prompt"].clone(), line["sample"].clone(), line["answer"].clone());
    let wanted = [("a", 0, Some("2")), ("a", 1, Some("3")), ("b", 0, Some("2")), ("b", 1, None)];
    let wanted = wanted.into_iter().chain([("3", 0, Some("4")), ("3", 1, Some("4"))]);
    let wanted: Vec<(Value, Value, Value)> =
        wanted.map(|(prompt, sample, answer)| (prompt.into(), sample.into(), answer.into())).collect();
    assert_eq!(lines.iter().map(facts).collect::<Vec<_>>(), wanted);
    assert_eq!(
        lines.iter().map(|line| line["accuracy"].as_f64().unwrap()).collect::<Vec<_>>(),
        [1., 0., 1., 0., 1., 1.]
    );
    for line in &lines {
        let reward = |plugin: &str| line["rewards"][plugin].as_f64().unwrap();
        assert_eq!(reward("arithmetic"), line["accuracy"].as_f64().unwrap(), "{line}");
        let sum = reward("arithmetic") + 0.5 * reward("coherence");
        assert!((line["reward"].as_f64().unwrap() - sum).abs() < 1e-12, "{line}");
    }
    // Lines of one bundle are phrasings of one question, so the other phrasing's answers count.
    let coherence = |line: usize| lines[line]["rewards"]["coherence"].as_f64().unwrap();
    assert!(coherence(0) > coherence(1), "only the answer 2 is given to both phrasings: {lines:?}");
    let advantage = |line: usize| lines[line]["advantage"].as_f64().unwrap();
    assert!(advantage(0) > 0.0 && (advantage(0) + advantage(1)).abs() < 1e-9, "{lines:?}");
    assert_eq!((advantage(4), advantage(5)), (0.0, 0.0), "equal rewards have no advantage");
}

#[test]
fn the_table_has_a_line_for_each_plugin() {
    let small = small();
    let text =
        all_text(&succeed(&mut score(&small, &[&READER[..], &["--plugin", "coherence.wasm,weight=0.5"]].concat())));
    let row = |name: &str| text.lines().find(|line| line.split_whitespace().next() == Some(name)).unwrap();
    assert!(row("arithmetic").contains("0.6667"), "{text}");
    assert!(row("coherence").contains("0.5"), "{text}");
    assert!(row("accuracy").contains("0.6667") && row("accuracy").contains("without an answer 16.7%"), "{text}");
}

#[test]
fn a_completion_that_a_plugin_fails_on_is_dropped_and_named() {
    let small = small();
    small.write("completions.jsonl", &COMPLETIONS.replace(", \"gold\": \"4\"", ""));
    let output = succeed(score(&small, &READER).arg("--json"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("plugin arithmetic failed") && errors.contains("prompt 3 has no gold answer"), "{errors}");
    let lines = scored(score(&small, &READER));
    assert_eq!(lines[4]["dropped"], "arithmetic: error");
    assert!(lines[4]["reward"].is_null() && lines[4]["advantage"].is_null() && lines[0].get("dropped").is_none());
}

#[test]
fn a_run_file_names_the_plugins() {
    let small = small();
    let lines = scored(score(&small, &["--run", "run.toml"]));
    let names: Vec<&String> = lines[0]["rewards"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["arithmetic", "coherence", "entropy"]);
    assert_eq!(lines[0]["answer"], "2");
}

#[test]
fn mistakes_are_named() {
    let small = small();
    fail(&mut score(&small, &[]), 2, &["--plugin"]);
    fail(&mut score(&small, &[&READER[..], &["--run", "run.toml"]].concat()), 2, &["--run", "cannot be used with"]);
    fail(&mut score(&small, &["--plugin", "coherence.wasm"]), 5, &["none of the plugins reads answers"]);
    fail(&mut score(&small, &["--plugin", "absent.wasm"]), 5, &["plugin \"absent\"", "absent.wasm", "No such file"]);
    small.write("completions.jsonl", &COMPLETIONS.replace("[\":4\", \":4\"]", "[]"));
    fail(&mut score(&small, &READER), 4, &["completions.jsonl, line 3", "`completions` is empty", "a line is {"]);
    small.write("completions.jsonl", &COMPLETIONS.replace("\"id\": \"b\"", "\"id\": \"a\""));
    fail(&mut score(&small, &READER), 4, &["completions.jsonl, line 2", "the id \"a\""]);
}
