//! Evaluations while training, and the exported models that are kept.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::linked::{assert_stopped_equals_alone, finish, start};
use crate::support::Scratch;

const KEYS: &str = r#"
eval = { every = 3 }
train = { checkpoint_every = 1, keep = 2, best = { metric = "reward" }, save_every = 3 }
"#;

fn evaluations(scratch: &Scratch, output: &str) -> Vec<(u64, f64)> {
    let lines = scratch.lines(&format!("{output}/metrics.jsonl")).into_iter();
    let evaluations = lines.filter(|line: &Value| line["phase"] == "evaluation");
    evaluations.map(|line| (line["step"].as_u64().unwrap(), line["reward"].as_f64().unwrap())).collect()
}

fn exported(scratch: &Scratch, output: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(scratch.path().join(output).join("checkpoints")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn the_newest_models_and_the_best_are_kept_also_when_the_run_is_resumed() {
    let scratch = Scratch::new();
    assert_stopped_equals_alone(&scratch, KEYS);
    let evaluations = evaluations(&scratch, "alone");
    assert_eq!(evaluations.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [0, 3, 6, 8]);
    let best = evaluations.iter().copied().reduce(|best, next| if next.1 > best.1 { next } else { best }).unwrap();
    let summary: Value = serde_json::from_str(&scratch.read("alone/summary.json")).unwrap();
    assert_eq!((summary["best"]["step"].as_u64().unwrap(), summary["best"]["value"].as_f64().unwrap()), best);
    assert_eq!(summary["after"]["reward"], evaluations[3].1, "the last evaluation is that after the game");
    let names = [7, 8, best.0].map(|step| format!("step-{step:06}"));
    assert_eq!(exported(&scratch, "alone"), names.into_iter().collect());
    assert_eq!(exported(&scratch, "stopped"), exported(&scratch, "alone"));
}

#[test]
fn evaluations_do_not_change_the_training() {
    let scratch = Scratch::new();
    finish(start(&scratch, "with", "eval = { every = 2 }"));
    finish(start(&scratch, "without", ""));
    assert_eq!(scratch.metrics("with"), scratch.metrics("without"));
}
