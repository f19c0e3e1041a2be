//! Requests of trainers' own clients are answered, and the package for Python passes its tests.
//!
//! `tests/serve/recorded` has what TRL, OpenRLHF, verl and the package sent when their examples were last run;
//! `tests/serve/record.py` writes it.

use std::process::Command;

use serde_json::Value;

use super::server::Home;
use crate::support::{root, succeed};

#[test]
fn recorded_requests_are_answered() {
    let folder = root().join("tests/serve/recorded");
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut answered = 0;
    for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "json")) {
        let requests: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let home = Home::new("");
        let server = home.start();
        for request in &requests {
            let text = |key: &str| request[key].as_str().unwrap();
            let headers = request["headers"].as_object().unwrap();
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
            let body = if request["body"].is_null() { String::new() } else { request["body"].to_string() };
            let reply = server.request(text("method"), text("path"), &headers, body.as_bytes()).ok();
            // As many answers as were asked for, and a reward for each completion.
            let rewards =
                |result: &Value| result["rewards"].as_array().unwrap().iter().filter(|r| r.is_number()).count();
            let (got, wanted) = match (request["body"]["questions"].as_array(), request["body"]["query"].as_array()) {
                (Some(questions), _) => (
                    reply["results"].as_array().unwrap().iter().map(rewards).sum(),
                    questions.iter().map(|question| question["completions"].as_array().unwrap().len()).sum(),
                ),
                (_, Some(query)) => (rewards(&reply), query.len()),
                (None, None) => (0, 0),
            };
            assert_eq!(got, wanted, "{}: {request} {reply}", file.display());
            answered += 1;
        }
    }
    assert!(answered >= 8, "{answered} requests");
}

#[test]
fn the_package_for_python_passes_its_tests() {
    let package = root().join("clients/python");
    let mut tests = Command::new("python3");
    tests.args(["-m", "unittest", "discover", "-s", "tests"]).current_dir(&package);
    succeed(tests.env("PYTHONPATH", package.join("src")).env("PYTHONDONTWRITEBYTECODE", "1"));
}
