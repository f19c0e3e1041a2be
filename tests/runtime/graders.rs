//! Graders reward completions beside their answers.

use serde_json::Value;

use crate::support::{Scratch, add, component, run_to};

#[test]
fn a_grader_rewards_completions_and_is_on_record() {
    let scratch = Scratch::new();
    let length = component("length");
    let config = scratch.config(|run| {
        // Completions of the hardly taught policy have up to 32 characters.
        let text = format!("name = \"length\"\npath = {:?}\nweight = 0.5\nconfig = {LENGTH}", length.to_str().unwrap());
        add(run, &text);
    });
    let mut run = scratch.start("run", config);
    run_to(&mut run, 6);
    run.finish().unwrap();
    let lines = scratch.metrics("run");
    for line in &lines {
        let mean = line["rewards/length"].as_f64().unwrap();
        assert!((-1.0..=0.0).contains(&mean), "{line}");
        assert_eq!(line["plugins"]["length"]["items"], 2 * 3 * 4, "every completion is graded: {line}");
    }
    assert!(lines.iter().any(|line| line["rewards/length"].as_f64().unwrap() < 0.0), "some are too long");
    // A grader's reward goes to the sample, whatever its answer.
    let samples: Vec<Value> = scratch.lines("run/samples.jsonl");
    assert!(samples.iter().all(|sample| sample["fuel"]["length"].as_u64().unwrap() > 0));
    let records = alft_plugin_host::ledger::read(&scratch.path().join("run/ledger")).unwrap();
    let graded = records.map(Result::unwrap).filter(|record| {
        matches!(record, alft_plugin_host::ledger::Record::Batch { batch: alft_sdk::roles::Batch::Grader(_), .. })
    });
    assert!(graded.count() >= 6, "the ledger has the grader's calls");
}

/// Penalises completions from the eighth character on, in full from the sixteenth.
const LENGTH: &str = "{ max = 16, buffer = 8 }";
