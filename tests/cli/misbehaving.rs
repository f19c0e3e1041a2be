//! Bad plugins are named and counted, and the run goes on without them scoring anything.

use serde_json::Value;

use crate::support::{Small, root, said, succeed};

#[test]
fn a_loop_a_panic_and_a_nan_are_named_counted_and_score_nothing() {
    let small = Small::new();
    let mut run = small.read("run.toml");
    let misbehave = root().join("plugins/misbehave");
    for (name, config) in [
        // As verifiers they fail on some answers, and cost those samples; as an objective on whole bundles.
        ("looper", r#"{ deed = "loop", on = "1" }"#),
        ("panicker", r#"{ deed = "panic", on = "2" }"#),
        ("nan", r#"{ deed = "nan", on = "3" }"#),
    ] {
        let roles = if name == "nan" { "objective" } else { "verifier" };
        run += &format!(
            "\n[[plugin]]\nname = \"{name}\"\ncrate = \"{}\"\nroles = [\"{roles}\"]\nconfig = {config}\n",
            misbehave.display()
        );
    }
    // Little fuel: the loops end soon.
    run += "\n[limits]\nfuel_base = 2000000\n";
    small.write("run.toml", &run);
    let output = succeed(small.train("run").args(["--set", "warm_start.steps=150"]));

    let told = said(&output);
    for (name, kind, words) in [
        ("looper", "out-of-fuel", "limits.fuel_base"),
        ("panicker", "panic", "told to panic"),
        ("nan", "non-finite", "NaN"),
    ] {
        assert!(told.contains(&format!("plugin {name} (alft-misbehave 0.1.0) failed at step")), "{told}");
        assert!(told.contains(words), "{told}");
        let summary: Value = serde_json::from_str(&small.read("run/summary.json")).unwrap();
        assert!(summary["failures"][name][kind].as_u64().unwrap() > 0, "{summary}");
    }
    let metrics = small.metrics("run");
    let game: Vec<&Value> = metrics.iter().filter(|line| line["phase"] == "game").collect();
    assert_eq!(game.len(), 6, "the run went on to its end");
    assert!(game.iter().any(|line| line["dropped"].as_u64().unwrap() > 0));

    // A dropped sample has neither reward nor advantage, and a kept one was never priced by the failure.
    let mut dropped = 0;
    for line in small.read("run/samples.jsonl").lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        match line["reward"].as_f64() {
            None => {
                dropped += 1;
                assert!(line["answer"].is_null() && line["advantage"].is_null(), "{line}");
            }
            Some(reward) => {
                assert!(reward.is_finite());
                let answer = line["answer"].as_str().unwrap_or_default();
                assert!(!answer.contains('1') && !answer.contains('2'), "a failed sample kept its reward: {line}");
            }
        }
    }
    assert!(dropped > 0);
}
