//! A plugin's failures are named and counted, and have the consequence that the run file names.

use serde_json::Value;

use crate::support::{Small, all_text, component, fail, finished, plugin_table, succeed};

#[test]
fn a_loop_a_panic_and_a_nan_are_named_and_counted_and_have_no_score() {
    let small = Small::taught();
    for (name, config) in [
        // A verifier fails on some answers and drops their samples. An objective fails on whole bundles.
        ("looper", r#"{ fault = "loop", on = "1" }"#),
        ("panicker", r#"{ fault = "panic", on = "2" }"#),
        ("nan", r#"{ fault = "nan", on = "3" }"#),
    ] {
        let role = if name == "nan" { "objective" } else { "verifier" };
        let keys = format!("roles = [\"{role}\"]\nconfig = {config}");
        small.append(&plugin_table(name, &component("misbehave"), &keys));
    }
    // The loops end soon with little fuel.
    small.append("\n[limits]\nfuel_base = 2000000\n");
    let text = all_text(&succeed(&mut small.train("run")));

    for (name, kind, detail) in [
        ("looper", "out-of-fuel", "limits.fuel_base"),
        ("panicker", "panic", "told to panic"),
        ("nan", "non-finite", "NaN"),
    ] {
        assert!(text.contains(&format!("plugin {name} (alft-misbehave 0.1.0) failed at step")), "{text}");
        assert!(text.contains(detail), "{text}");
        let summary = small.summary("run");
        assert!(summary["failures"][name][kind].as_u64().unwrap() > 0, "{summary}");
    }
    let metrics = small.metrics("run");
    assert_eq!(metrics.len(), 6, "the run goes on to its end");
    assert!(metrics.iter().any(|line| line["dropped"].as_u64().unwrap() > 0));

    // A dropped sample has neither reward nor advantage, and no kept one has an answer that a verifier failed on.
    let mut dropped = 0;
    for line in small.lines("run/samples.jsonl") {
        match line["reward"].as_f64() {
            None => {
                dropped += 1;
                assert!(line["answer"].is_null() && line["advantage"].is_null(), "{line}");
            }
            Some(reward) => {
                assert!(reward.is_finite());
                let answer = line["answer"].as_str().unwrap_or_default();
                assert!(!answer.contains('1') && !answer.contains('2'), "a failed sample has a reward: {line}");
            }
        }
    }
    assert!(dropped > 0);
}

/// A run with a plugin that has a fault on answers that contain `on`. `keys` are further lines of its table.
fn faulty(fault: &str, role: &str, on: &str, keys: &str) -> Small {
    let small = Small::taught();
    let config = format!("config = {{ fault = \"{fault}\", on = \"{on}\" }}");
    let keys = format!("roles = [\"{role}\"]\n{keys}\n{config}");
    small.append(&plugin_table("faulty", &component("misbehave"), &keys));
    small
}

fn failures(small: &Small, plugin: &str, kind: &str) -> u64 {
    small.summary("run")["failures"][plugin][kind].as_u64().unwrap()
}

#[test]
fn a_reward_too_large_for_training_is_a_failure() {
    let small = faulty("enormous", "objective", "1", "");
    let text = all_text(&succeed(&mut small.train("run")));
    assert!(text.contains("magnitude 1e300; training accepts up to 1e12"), "{text}");
    assert!(failures(&small, "faulty", "out-of-range") > 0);
}

#[test]
fn abort_ends_the_run_and_the_run_can_be_resumed() {
    let small = faulty("panic", "verifier", "1", "weight = 0.0\non_error = \"abort\"");
    let texts = [
        "plugin faulty (alft-misbehave 0.1.0) failed at step 1",
        "score, prompt",
        "told to panic",
        "plugin.faulty.on_error is \"abort\"",
    ];
    fail(&mut small.train("run"), 5, &texts);
    succeed(small.resume("run").args(["--set", "plugin.faulty.on_error=drop-sample"]));
    assert_eq!(small.metrics("run").len(), 6);
    assert!(failures(&small, "faulty", "panic") > 0);
}

/// Asserts that some chunks of `size` samples are dropped and others are kept, and no chunk is divided.
fn assert_dropped_in_chunks(samples: &[Value], size: usize) {
    let is_dropped = |sample: &Value| sample["advantage"].is_null();
    let counts: Vec<usize> =
        samples.chunks(size).map(|chunk| chunk.iter().filter(|sample| is_dropped(sample)).count()).collect();
    assert!(counts.iter().all(|count| [0, size].contains(count)), "all of a chunk or none: {counts:?}");
    assert!(counts.contains(&0) && counts.contains(&size), "{counts:?}");
}

#[test]
fn drop_group_drops_a_whole_group_for_a_verifier_and_a_whole_bundle_for_an_objective() {
    let small = faulty("panic", "verifier", "1", "weight = 0.0\non_error = \"drop-group\"");
    succeed(&mut small.train("run"));
    let samples = small.lines("run/samples.jsonl");
    assert_dropped_in_chunks(&samples, 4);
    for sample in samples.iter().filter(|sample| !sample["reward"].is_null()) {
        assert!(!sample["answer"].as_str().unwrap_or_default().contains('1'), "{sample}");
    }

    let small = faulty("panic", "objective", "1", "weight = 0.0\non_error = \"drop-group\"");
    succeed(&mut small.train("run"));
    assert_dropped_in_chunks(&small.lines("run/samples.jsonl"), 4 * 3);
}

#[test]
fn a_group_objective_that_is_undefined_for_a_group_is_a_failure_of_its_verifier() {
    // The faulty plugin drops single samples of a group of four, and the best of four is defined for four.
    let small = faulty("panic", "verifier", "1", "weight = 0.0");
    let settings = [
        "plugin.arithmetic.group_objective={kind = \"max-at-k\", k = 4}",
        "plugin.arithmetic.on_error=drop-group",
        "eval.group=4",
    ];
    succeed(small.train("run").args(settings.iter().flat_map(|set| ["--set", set])));
    assert!(failures(&small, "arithmetic", "group-objective") > 0);
    assert_dropped_in_chunks(&small.lines("run/samples.jsonl"), 4);
}

#[test]
fn a_score_in_place_of_a_failure_is_used_and_the_failure_is_counted() {
    // The faulty plugin's is the only weight, so the score shows in the reward.
    let small = faulty("panic", "verifier", "1", "on_error = { score = 0.25 }");
    let weightless = ["arithmetic", "entropy", "coherence"].map(|name| format!("plugin.{name}.weight=0"));
    succeed(small.train("run").args(weightless.iter().flat_map(|set| ["--set", set])));
    let mut failed = 0;
    for sample in small.lines("run/samples.jsonl") {
        if let Some(answer) = sample["answer"].as_str() {
            assert_eq!(sample["reward"], if answer.contains('1') { 0.25 } else { 0.0 }, "{sample}");
            failed += u64::from(answer.contains('1'));
        }
    }
    assert!(failed > 0 && failures(&small, "faulty", "panic") > 0);

    let refused = |set: &str, texts: &[&str]| fail(small.train("x").args(["--set", set]), 5, texts);
    refused("plugin.faulty.on_error={score = 2.0}", &["plugin \"faulty\"", "promises scores from 0.0 to 1.0"]);
    let texts = ["plugin \"arithmetic\"", "for roles that score alone"];
    refused("plugin.arithmetic.on_error={score = 0.0}", &texts);
    let texts = ["plugin \"coherence\"", "for roles that score alone"];
    refused("plugin.coherence.on_error={score = 0.0}", &texts);
}

#[test]
fn an_item_at_a_limit_has_the_score_of_the_run_file_and_is_counted() {
    let keys =
        "limits = { fuel_base = 2000000 }\non_limit = { score = 0.25 }\non_error = \"abort\"\nmax_failure_rate = 0.0";
    let small = faulty("loop", "verifier", "1", keys);
    let weightless = ["arithmetic", "entropy", "coherence"].map(|name| format!("plugin.{name}.weight=0"));
    let text = all_text(&succeed(small.train("run").args(weightless.iter().flat_map(|set| ["--set", set]))));
    assert!(text.contains("limits.fuel_base"), "the first is told with its remedy: {text}");
    for sample in small.lines("run/samples.jsonl") {
        if let Some(answer) = sample["answer"].as_str() {
            assert_eq!(sample["reward"], if answer.contains('1') { 0.25 } else { 0.0 }, "{sample}");
        }
    }
    assert!(failures(&small, "faulty", "out-of-fuel") > 0);
    assert!(small.metrics("run").iter().all(|line| line["dropped"] == 0));
    succeed(&mut small.command(&["replay", "run", "--trust-native"]));

    let refused = |set: &str, texts: &[&str]| fail(small.train("x").args(["--set", set]), 5, texts);
    refused(
        "plugin.faulty.on_limit={score = 2.0}",
        &["plugin \"faulty\"", "on_limit", "promises scores from 0.0 to 1.0"],
    );
    refused("plugin.coherence.on_limit={score = 0.0}", &["plugin \"coherence\"", "a bundle without rewards"]);
}

#[test]
fn too_many_failures_end_the_run() {
    let small = faulty("panic", "verifier", "", "weight = 0.0");
    let longer = ["--set", "train.steps=14"];
    let texts = ["plugin faulty", "failed as verifier on 100% of its", "in all panic", "max_failure_rate is 0.5"];
    fail(small.train("run").args(longer), 5, &texts);
    let done = small.metrics("run").len();
    assert!(done < 14, "the run ends before its last step");
    // The checkpoint has the counts, so a resumed run ends at once.
    fail(small.resume("run").args(longer), 5, &texts);
    assert!(small.metrics("run").len() <= done + 1);
    succeed(small.resume("run").args(longer).args(["--set", "plugin.faulty.max_failure_rate=1.0"]));
    assert_eq!(small.metrics("run").len(), 14);
}

#[test]
fn usage_is_recorded_by_step_sample_and_run() {
    let small = finished();
    let usage = &small.summary("run")["usage"]["arithmetic"];
    let of = |line: &Value, key: &str| line["plugins"]["arithmetic"][key].as_u64().unwrap();
    let steps: Vec<Value> = small.metrics("run").into_iter().filter(|line| line["phase"] == "game").collect();
    let samples = small.lines("run/samples.jsonl");
    for line in &steps {
        assert!(of(line, "max_call_fuel") <= of(line, "fuel") && of(line, "items") >= 24, "{line}");
        let of_step = samples.iter().filter(|sample| sample["step"] == line["step"]);
        let shares: Vec<u64> = of_step.map(|sample| sample["fuel"]["arithmetic"].as_u64().unwrap()).collect();
        assert_eq!(shares.len(), 24);
        // Each share is rounded.
        assert!(shares.iter().sum::<u64>().abs_diff(of(line, "fuel")) <= 24, "the shares add up: {line}");
    }
    let fuel: u64 = steps.iter().map(|line| of(line, "fuel")).sum();
    assert!(usage["fuel"].as_u64().unwrap() > fuel, "the evaluations count too: {usage}");
    assert!(usage["calls"].as_u64().unwrap() >= 8, "{usage}");
}
