//! Same seed, same metrics; killed and resumed, the same as left alone.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Small, fail, succeed};

#[test]
fn same_seed_same_metrics_and_samples() {
    let small = Small::new();
    for output in ["a", "b"] {
        succeed(&mut small.train(output));
    }
    assert_eq!(small.metrics("a").len(), 20 + 6);
    assert_eq!(small.metrics("a"), small.metrics("b"));
    assert_eq!(small.read("a/samples.jsonl"), small.read("b/samples.jsonl"));

    succeed(small.train("c").args(["--seed", "1"]));
    assert_ne!(small.metrics("a"), small.metrics("c"), "another seed is another run");
}

#[test]
fn killed_and_resumed_is_the_same_as_left_alone() {
    let small = Small::new();
    succeed(&mut small.train("alone"));

    let mut child = small.train("killed").stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    // Kill it in the middle of the game: when it has written its third step.
    let begun = Instant::now();
    let steps = || {
        let text = std::fs::read_to_string(small.path().join("killed/metrics.jsonl")).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"game\"")).count()
    };
    while steps() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no third step");
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!small.path().join("killed/summary.json").exists(), "it was killed in the middle");

    succeed(&mut small.resume("killed"));
    assert_eq!(small.metrics("killed"), small.metrics("alone"));
    assert_eq!(small.read("killed/samples.jsonl"), small.read("alone/samples.jsonl"));
    let summary = |of: &str| -> serde_json::Value {
        let mut summary: serde_json::Value = serde_json::from_str(&small.read(&format!("{of}/summary.json"))).unwrap();
        summary.as_object_mut().unwrap().remove("seconds");
        summary
    };
    assert_eq!(summary("killed"), summary("alone"));
}

#[test]
fn a_finished_run_can_be_made_longer_but_not_into_another() {
    let small = Small::new();
    succeed(&mut small.train("run"));
    succeed(small.resume("run").args(["--set", "train.steps=8"]));
    assert_eq!(small.metrics("run").len(), 20 + 8);

    fail(small.resume("run").args(["--set", "plugin.coherence.weight=0"]), 7, &["plugin.2.weight", "start a new run"]);
    fail(&mut small.resume("nowhere"), 7, &["no saved state", "--resume"]);
}
