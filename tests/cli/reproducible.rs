//! The same seed gives the same metrics, and a finished run can be made longer.

use crate::support::{Small, fail, finished, succeed};

#[test]
fn the_same_seed_gives_the_same_metrics_and_samples() {
    let (first, again) = (finished(), Small::new());
    succeed(&mut again.train("run"));
    assert_eq!(first.metrics("run").len(), 20 + 6);
    assert_eq!(first.metrics("run"), again.metrics("run"));
    assert_eq!(first.read("run/samples.jsonl"), again.read("run/samples.jsonl"));

    succeed(again.train("other").args(["--seed", "1"]));
    assert_ne!(first.metrics("run"), again.metrics("other"), "another seed gives another run");
}

#[test]
fn a_finished_run_can_be_made_longer_and_not_changed_otherwise() {
    let small = finished().copy();
    succeed(small.resume("run").args(["--set", "train.steps=8"]));
    assert_eq!(small.metrics("run").len(), 20 + 8);

    fail(small.resume("run").args(["--set", "game.group=3"]), 7, &["game.group", "start a new run"]);
    fail(&mut small.resume("nowhere"), 7, &["no saved state", "--resume"]);
}
