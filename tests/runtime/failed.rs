//! A step that failed is made again from the saved state in the same process, and every record holds it once.

use std::fs;

use alft_runtime::Error;
use serde_json::Value;
use toml::Table;

use crate::linked;
use crate::support::{Scratch, run_to};

/// The run of two steps whose second update explodes at a high learning rate.
fn keys(rate: f64) -> impl FnOnce(&mut Table) {
    move |run| {
        run.remove("warm_start");
        run.insert("sampling".into(), "max_new_tokens = 4".parse::<Table>().unwrap().into());
        let loss = "loss = { beta = 0.0, entropy_coef = 0.01, updates_per_batch = 2 }";
        let train = format!("steps = 2\nschedule.learning_rate = {rate:e}\n{loss}");
        run.insert("train".into(), train.parse::<Table>().unwrap().into());
    }
}

#[test]
fn the_plugin_calls_of_a_failed_step_are_in_the_ledger_once() {
    let scratch = Scratch::new();
    let mut run = scratch.start("failed", scratch.config(keys(1e30)));
    for _ in 0..2 {
        let error = run.step().unwrap_err();
        assert!(matches!(&error, Error::NotFinite { step: 1, .. }), "{error}");
    }
    let mut low = scratch.config(keys(1e-4));
    low.output = scratch.path().join("failed");
    run.apply(low).unwrap();
    run_to(&mut run, 2);
    run.finish().unwrap();

    let mut alone = scratch.start("alone", scratch.config(keys(1e-4)));
    run_to(&mut alone, 2);
    alone.finish().unwrap();
    let bytes = |run: &str, name: &str| fs::read(scratch.path().join(run).join(name)).unwrap();
    for name in ["ledger", "samples.jsonl", "diagnostics.jsonl", "model/model.safetensors"] {
        assert!(bytes("failed", name) == bytes("alone", name), "{name} differs");
    }
    let usage =
        |run: &str| -> Value { serde_json::from_slice::<Value>(&bytes(run, "summary.json")).unwrap()["usage"].take() };
    assert_eq!(usage("failed"), usage("alone"));
}

/// The policy has moved already, and the state that counts the step is not saved.
#[test]
fn a_step_whose_export_failed_is_made_again() {
    let scratch = Scratch::new();
    let train = "train = { steps = 2, save_every = 2, checkpoint_every = 2 }";
    linked::finish(linked::start(&scratch, "alone", train));
    let mut run = linked::start(&scratch, "failed", train);
    run_to(&mut run, 1);
    let blocked = scratch.path().join("failed/checkpoints");
    fs::write(&blocked, "").unwrap();
    run.step().unwrap_err();
    fs::remove_file(&blocked).unwrap();
    linked::finish(run);
    scratch.assert_same_runs("failed", "alone");
    assert!(blocked.join("step-000002/model.safetensors").exists());
}

#[test]
fn a_warm_start_that_is_not_finite_names_its_keys() {
    let scratch = Scratch::new();
    let warm_start =
        "warm_start = { data = \"worked.jsonl\", steps = 3, batch = 2, schedule = { learning_rate = 1e30 } }";
    let mut run = linked::start(&scratch, "run", warm_start);
    // Again from the saved state, that of the beginning.
    for _ in 0..2 {
        run.step().unwrap();
        let error = run.step().unwrap_err();
        assert!(matches!(&error, Error::NotFinite { phase: "warm start", step: 2, .. }), "{error}");
        let message = error.to_string();
        assert!(message.contains("a lower warm_start.schedule.learning_rate (it is 1e30)"), "{message}");
        assert!(message.contains("warm_start.adamw.max_grad_norm (it is 1.0"), "{message}");
    }
    drop(run);
    assert_eq!(scratch.lines("run/metrics.jsonl").len(), 1);

    // The last of its steps leads to the game, whose first step cannot draw a token.
    let mut run =
        linked::start(&scratch, "last", &warm_start.replace("steps = 3", "steps = 1").replace("1e30", "3e38"));
    run.step().unwrap();
    let error = run.step().unwrap_err();
    assert!(matches!(&error, Error::NotFinite { phase: "game", step: 1, .. }), "{error}");
    assert!(error.to_string().contains("a lower warm_start.schedule.learning_rate (it is 3e38)"), "{error}");
}
