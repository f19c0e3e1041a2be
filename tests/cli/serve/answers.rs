//! The scores are those of `alft score`; runs move their targets, and every call can be made again.

use serde_json::{Value, json};

use super::server::{Home, sum};
use crate::support::succeed;

#[test]
fn the_scores_are_those_of_the_command_line() {
    let home = Home::new("");
    let questions = [sum("a", 2, &[2, 3, 2]), sum("b", 4, &[4, 4]), json!({ "prompt": "?", "completions": ["none"] })];
    let lines: Vec<String> = questions.iter().map(Value::to_string).collect();
    home.0.write("completions.jsonl", &lines.join("\n"));
    home.0.write(
        "train.toml",
        &home.0.read("serve.toml").replace(
            "[serve]",
            "[model]\nembedded = \"tiny\"\n[prompts]\ntrain = \"train.jsonl\"\n[train]\nsteps = 1\n[serve]",
        ),
    );
    let output = succeed(&mut home.0.command(&["score", "completions.jsonl", "--run", "train.toml"]));
    let scored = String::from_utf8(output.stdout).unwrap();
    let scored: Vec<Value> = scored.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let server = home.start();
    let reply = server.post("/v1/score", &json!({ "questions": questions })).ok();
    assert_eq!(reply["results"], Value::Array(scored));
    server.stop();
}

#[test]
fn results_come_in_the_order_of_the_questions() {
    let home = Home::new("");
    let server = home.start();
    let of_bundle = |id: &str, bundle: &str| {
        let mut question = sum(id, 2, &[2, 3]);
        question["bundle"] = bundle.into();
        question
    };
    let questions = [of_bundle("x", "B"), of_bundle("y", "C"), of_bundle("z", "B")];
    let reply = server.post("/v1/score", &json!({ "questions": questions })).ok();
    let ids: Vec<_> = reply["results"].as_array().unwrap().iter().map(|result| result["id"].clone()).collect();
    assert_eq!(ids, ["x", "y", "z"]);
}

#[test]
fn targets_of_a_run_move_outlive_a_restart_and_every_call_can_be_made_again() {
    let home = Home::new("");
    let rewards = |reply: &Value| reply["results"][0]["scores"]["entropy"].clone();
    let questions = json!({ "questions": [sum("a", 2, &[2, 3, 3, 3])] });
    let other = json!({ "questions": [sum("a", 2, &[2, 2, 2, 2])] });
    let server = home.start();
    let first = rewards(&server.post("/v1/runs/one/rewards", &questions).ok());
    let second = rewards(&server.post("/v1/runs/one/rewards", &other).ok());
    assert_ne!(first, second);
    assert_eq!(server.get("/v1/runs/one").ok(), json!({ "run": "one", "steps": 2, "questions": 1, "multipliers": {} }));
    server.get("/v1/runs/two").is_refused(404, "there is no run \"two\"");
    server.stop();

    // Another service goes on from there, and one that was never stopped would give the same.
    let server = home.start();
    let third = rewards(&server.post("/v1/runs/one/rewards", &other).ok());
    for (body, expected) in [(&questions, &first), (&other, &second), (&other, &third)] {
        assert_eq!(rewards(&server.post("/v1/runs/whole/rewards", body).ok()), *expected);
    }
    server.stop();
    for run in ["one", "whole"] {
        let replayed = succeed(&mut home.0.command(&["replay", &format!("out/serve/runs/{run}"), "--json"]));
        let report: Value = serde_json::from_slice(&replayed.stdout).unwrap();
        // The reader and the verifier of `arithmetic`, and `entropy`, three times.
        assert_eq!((report["calls"].as_u64(), &report["difference"]), (Some(9), &Value::Null), "{report}");
    }
}

#[test]
fn a_repeated_request_gets_the_same_answer_and_moves_nothing() {
    let home = Home::new("");
    let body = json!({ "questions": [sum("a", 2, &[2, 3, 3, 3])] }).to_string();
    let key = [("Idempotency-Key", "k1")];
    let server = home.start();
    let ask = |server: &super::server::Server, body: &str| {
        server.request("POST", "/v1/runs/r/rewards", &key, body.as_bytes())
    };
    let first = ask(&server, &body);
    assert!(first.status == 200 && !first.head.contains("idempotency-replayed"), "{first:?}");
    let again = ask(&server, &body);
    assert!(again.head.contains("idempotency-replayed: true") && again.body == first.body, "{again:?}");
    ask(&server, &body.replace(":3", ":4")).is_refused(422, "was used with another body");
    server.stop();
    let server = home.start();
    assert_eq!(ask(&server, &body).body, first.body, "after a restart too");
    assert_eq!(server.get("/v1/runs/r").ok()["steps"], 1);
}

#[test]
fn the_service_describes_itself_and_counts() {
    let home = Home::new("");
    let server = home.start();
    server.post("/v1/score", &json!({ "questions": [sum("a", 2, &[2, 3])] })).ok();
    let api = server.get("/openapi.json").ok();
    for path in ["/v1/score", "/v1/runs/{run}/rewards", "/v1/runs/{run}", "/v1/openrlhf"] {
        assert!(api["paths"][path].is_object(), "{path}");
    }
    assert_eq!((server.get("/healthz").status, server.get("/readyz").status), (200, 200));
    let metrics = server.get("/metrics").body;
    for line in [
        "alft_plugin_calls_total{plugin=\"arithmetic\"} 2",
        "alft_plugin_items_total{plugin=\"entropy\"} 1",
        "alft_requests_total{route=\"/v1/score\",status=\"200\"} 1",
        "alft_samples_total 2",
    ] {
        assert!(metrics.contains(line), "no {line}: {metrics}");
    }
}
