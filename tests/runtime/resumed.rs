//! A resumed run equals one left alone.

use alft_runtime::config::RunFile;
use toml::Table;

use crate::support::{Scratch, plugin, run_to};

/// Runs alone, and again with a stop after every second step, and compares.
fn stopped_equals_alone(scratch: &Scratch, config: &RunFile) {
    let mut alone = scratch.start("alone", config.clone());
    run_to(&mut alone, 6);
    alone.finish().unwrap();

    let mut run = scratch.start("stopped", config.clone());
    for stop in [0, 2, 4] {
        run_to(&mut run, stop);
        drop(run);
        run = scratch.resume("stopped", config.clone());
    }
    run_to(&mut run, 6);
    run.finish().unwrap();
    scratch.assert_same_runs("stopped", "alone");
}

#[test]
fn a_run_that_is_stopped_and_resumed_equals_one_left_alone() {
    let scratch = Scratch::new();
    stopped_equals_alone(&scratch, &scratch.config(|_| ()));
}

/// The target's memory, the reference policy's answers, adapters and a penalty in the reward are state too.
#[test]
fn every_kind_of_state_is_saved() {
    let scratch = Scratch::new();
    let few: Vec<String> = scratch.read("train.jsonl").lines().take(4).map(str::to_owned).collect();
    std::fs::write(scratch.path().join("few.jsonl"), few.join("\n")).unwrap();
    let config = scratch.config(|run| {
        let overrides: Table = r#"
            target = { dynamics = "average" }
            model = { embedded = "tiny", lora = { rank = 4, alpha = 8.0, targets = ["q_proj", "v_proj"] } }
            prompts = { train = "few.jsonl", eval = "eval.jsonl" }
            train = { steps = 6, loss = { beta = 0.02, kl = "reward" } }
        "#
        .parse()
        .unwrap();
        run.extend(overrides);
        let consensus: Table = "consensus = \"reference\"".parse().unwrap();
        plugin(run, "coherence").insert("config".into(), consensus.into());
    });
    stopped_equals_alone(&scratch, &config);
    let last = scratch.metrics("alone").pop().unwrap();
    assert_eq!(last["target"]["bundles"], 4, "every question has been met: {last}");
    assert!(last["target"]["distance"].as_f64().unwrap() > 0.0, "{last}");
}
