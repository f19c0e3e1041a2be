//! Another learning rate while a run goes on, and after a step that is not finite.

use std::fs;

use alft_runtime::Error;
use serde_json::Value;

use crate::linked::{config, finish, resume, start};
use crate::support::{Scratch, copy, run_to};

fn learning_rates(scratch: &Scratch, output: &str) -> Vec<f64> {
    // A step whose groups are all alike makes no update.
    let lines = scratch.metrics(output).into_iter().map(|line| line["learning_rate"].as_f64().unwrap());
    lines.filter(|rate| *rate > 0.0).collect()
}

#[test]
fn another_learning_rate_is_on_record_and_a_resumed_run_takes_it_at_the_same_step() {
    let scratch = Scratch::new();
    // Without a KL penalty a step may make no update, and has no learning rate then.
    let (first, second) =
        ("train = { loss = { beta = 0.1 } }", "train = { loss = { beta = 0.1 }, schedule = { learning_rate = 5e-4 } }");
    let third = r#"train = { loss = { beta = 0.1 }, schedule = { learning_rate = 5e-4, decay = "linear" } }"#;
    let mut run = start(&scratch, "run", first);
    run_to(&mut run, 2);
    copy(&scratch.path().join("run/state"), &scratch.path().join("early"));
    run_to(&mut run, 3);
    let changes = run.apply(config(&scratch, "run", second)).unwrap();
    assert_eq!(changes, ["train.schedule.learning_rate is 0.0005 (was 0.001)"]);
    // The change is on record, and the state that knows of it is not saved yet.
    drop(run);
    let mut run = resume(&scratch, "run", second);
    run_to(&mut run, 6);
    drop(run);
    finish(resume(&scratch, "run", third));
    // The decay reaches 0 at the last step, whose update has the rate of the seventh.
    assert_eq!(learning_rates(&scratch, "run"), [1e-3, 1e-3, 1e-3, 5e-4, 5e-4, 5e-4, 1.25e-4, 6.25e-5]);
    let lines = scratch.metrics("run");
    assert_eq!(lines[3]["changes"][0], "train.schedule.learning_rate is 0.0005 (was 0.001)");
    assert_eq!(
        lines[6]["changes"].as_array().unwrap().len(),
        2,
        "the decay and the step at which it ends: {}",
        lines[6]
    );

    copy(&scratch.path().join("run"), &scratch.path().join("again"));
    ["state", "model"].iter().for_each(|left| fs::remove_dir_all(scratch.path().join("again").join(left)).unwrap());
    fs::rename(scratch.path().join("early"), scratch.path().join("again/state")).unwrap();
    finish(resume(&scratch, "again", third));
    scratch.assert_same_runs("again", "run");
    let events = scratch.events();
    assert!(events.iter().any(|event| event.starts_with("4 true train.schedule.learning_rate")), "{events:?}");
}

#[test]
fn a_step_that_is_not_finite_can_be_made_at_a_lower_rate() {
    let scratch = Scratch::new();
    let keys = |rate: &str, updates: usize| {
        format!(
            "target = {{ dynamics = \"average\" }}\n\
             train = {{ steps = 4, loss = {{ beta = 0.1, updates_per_batch = {updates} }}, \
             schedule = {{ learning_rate = {rate} }} }}"
        )
    };
    let (high, low) = (keys("1e30", 2), keys("1e-3", 2));
    let mut run = start(&scratch, "failed", &high);
    let error = run.step().unwrap_err();
    assert!(matches!(&error, Error::NotFinite { step: 1, .. }), "{error}");
    assert!(error.to_string().contains("lower train.schedule.learning_rate"), "{error}");
    // In the same process, and by a resumed run.
    copy(&scratch.path().join("failed"), &scratch.path().join("resumed"));
    run.apply(config(&scratch, "failed", &low)).unwrap();
    finish(run);
    finish(resume(&scratch, "resumed", &low));
    finish(start(&scratch, "low", &low));
    let metrics = |output: &str| -> Vec<Value> {
        let mut lines = scratch.metrics(output);
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("changes")));
        lines
    };
    assert_eq!(metrics("failed"), metrics("low"));
    assert_eq!(metrics("resumed"), metrics("low"));
    let model = |output: &str| fs::read(scratch.path().join(output).join("model/model.safetensors")).unwrap();
    assert!(model("failed") == model("low") && model("resumed") == model("low"), "the policies differ");

    // With one update a batch it is the step before that leads there, and the saved state has its weights.
    // At the higher rate no token can be drawn.
    for rate in ["1e30", "3e38"] {
        let mut run = start(&scratch, "broken", &keys(rate, 1));
        let error = loop {
            if let Err(error) = run.step() {
                break error;
            }
        };
        assert!(matches!(&error, Error::NotFinite { phase: "game", .. }), "{error}");
        assert!(error.to_string().contains("start a new run with a lower learning rate"), "{error}");
    }
}
