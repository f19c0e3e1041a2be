//! Bad plugins are named and counted, and what their failures do is as the run file says.

use serde_json::Value;

use crate::support::{Small, component, fail, root, said, succeed};

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

/// A small run with a verifier that panics on answers with `on`, and this key in its entry.
fn panicking(on: &str, key: &str) -> Small {
    let small = Small::prebuilt();
    let path = component("misbehave");
    let entry = format!(
        "\n[[plugin]]\nname = \"panicker\"\npath = \"{}\"\nroles = [\"verifier\"]\nweight = 0.0\n{key}\n\
         config = {{ deed = \"panic\", on = \"{on}\" }}\n",
        path.display()
    );
    small.write("run.toml", &(small.read("run.toml") + &entry));
    small
}

#[test]
fn a_reward_that_no_sum_can_hold_is_a_failure() {
    let small = panicking("1", "");
    let run =
        small.read("run.toml").replace("[\"verifier\"]", "[\"objective\"]").replace("weight = 0.0", "weight = 1.0");
    small.write("run.toml", &run.replace("deed = \"panic\"", "deed = \"enormous\""));
    let output = succeed(small.train("run").args(TAUGHT));
    assert!(said(&output).contains("magnitude 1e300; training takes up to 1e12"), "{}", said(&output));
    assert!(small.summary("run")["failures"]["panicker"]["out-of-range"].as_u64().unwrap() > 0);
}

const TAUGHT: [&str; 2] = ["--set", "warm_start.steps=150"];

#[test]
fn abort_ends_the_run_and_it_can_go_on() {
    let small = panicking("1", "on_error = \"abort\"");
    let words =
        ["panicker (alft-misbehave", "failed at step 1", "score, prompt", "told to panic", "on_error is \"abort\""];
    fail(small.train("run").args(TAUGHT), 5, &words);
    let goes_on = ["--set", "plugin.panicker.on_error=drop-sample"];
    succeed(small.resume("run").args(TAUGHT).args(goes_on));
    assert_eq!(small.metrics("run").len(), 150 + 6);
    assert!(small.summary("run")["failures"]["panicker"]["panic"].as_u64().unwrap() > 0);
}

#[test]
fn drop_group_leaves_whole_groups_out() {
    let small = panicking("1", "on_error = \"drop-group\"");
    succeed(small.train("run").args(TAUGHT));
    let lines = small.lines("run/samples.jsonl");
    let groups: Vec<Vec<bool>> =
        lines.chunks(4).map(|group| group.iter().map(|sample| sample["reward"].is_null()).collect()).collect();
    assert!(groups.iter().all(|group| group.iter().all(|dropped| *dropped == group[0])), "all of a group or none");
    assert!(groups.iter().any(|group| group[0]) && groups.iter().any(|group| !group[0]), "some were dropped");
    for line in lines.iter().filter(|line| !line["reward"].is_null()) {
        assert!(!line["answer"].as_str().unwrap_or_default().contains('1'), "{line}");
    }

    // An objective that fails on a bundle takes all of it along.
    let small = panicking("1", "on_error = \"drop-group\"");
    small.write("run.toml", &small.read("run.toml").replace("[\"verifier\"]", "[\"objective\"]"));
    succeed(small.train("run").args(TAUGHT));
    let bundles: Vec<Vec<bool>> = small
        .lines("run/samples.jsonl")
        .chunks(4 * 3)
        .map(|bundle| bundle.iter().map(|sample| sample["advantage"].is_null()).collect())
        .collect();
    assert!(bundles.iter().all(|bundle| bundle.iter().all(|dropped| *dropped == bundle[0])), "all or none");
    assert!(bundles.iter().any(|bundle| bundle[0]) && bundles.iter().any(|bundle| !bundle[0]), "some were dropped");
}

#[test]
fn a_group_objective_that_is_not_defined_for_a_group_is_its_verifiers_failure() {
    // Of the four samples of a group the panicker takes those with a 1; the best of four is of four.
    let small = panicking("1", "");
    let objective =
        ["--set", "plugin.arithmetic.group_objective={kind = \"max-at-k\", k = 4}", "--set", "eval.group=4"];
    let on_error = ["--set", "plugin.arithmetic.on_error=drop-group"];
    succeed(small.train("run").args(TAUGHT).args(objective).args(on_error));
    let failures = &small.summary("run")["failures"];
    assert!(failures["arithmetic"]["group-objective"].as_u64().unwrap() > 0, "{failures}");
    let lines = small.lines("run/samples.jsonl");
    let dropped = lines.chunks(4).map(|group| group.iter().filter(|sample| sample["advantage"].is_null()).count());
    let dropped: Vec<usize> = dropped.collect();
    assert!(dropped.contains(&0) && dropped.contains(&4), "{dropped:?}");
    assert!(dropped.iter().all(|count| [0, 4].contains(count)), "all of a group or none: {dropped:?}");
}

#[test]
fn a_score_takes_the_place_of_a_failure_and_is_counted() {
    let small = panicking("1", "on_error = { score = 0.25 }");
    // Scored by the weight 1, so that the score shows in the reward.
    succeed(
        small
            .train("run")
            .args(TAUGHT)
            .args(["--set", "plugin.panicker.weight=1.0", "--set", "plugin.arithmetic.weight=0"])
            .args(["--set", "plugin.entropy.weight=0", "--set", "plugin.coherence.weight=0"]),
    );
    let mut failed = 0;
    for line in small.lines("run/samples.jsonl") {
        if let Some(answer) = line["answer"].as_str() {
            assert_eq!(line["reward"], if answer.contains('1') { 0.25 } else { 0.0 }, "{line}");
            failed += u64::from(answer.contains('1'));
        }
    }
    assert!(failed > 0 && small.summary("run")["failures"]["panicker"]["panic"].as_u64().unwrap() > 0);

    let refused = |set: &str, words: &[&str]| fail(small.train("x").args(["--set", set]), 5, words);
    refused("plugin.panicker.on_error={score = 2.0}", &["panicker", "promised to be 0 to 1"]);
    refused("plugin.arithmetic.on_error={score = 0.0}", &["arithmetic", "for verifiers alone"]);
    refused("plugin.coherence.on_error={score = 0.0}", &["coherence", "for verifiers alone"]);
}

#[test]
fn too_many_failures_end_the_run() {
    let small = panicking("", "");
    let steps = ["--set", "train.steps=14"];
    let words = ["panicker", "failed on 100% of its latest items", "in all panic", "max_failure_rate is 0.5"];
    fail(small.train("run").args(TAUGHT).args(steps), 5, &words);
    let done = small.metrics("run").len();
    assert!(done < 150 + 14, "it ended before its last step");
    // What was counted is saved: it ends again at once.
    fail(small.resume("run").args(TAUGHT).args(steps), 5, &words);
    assert!(small.metrics("run").len() <= done + 1);
    succeed(small.resume("run").args(TAUGHT).args(steps).args(["--set", "plugin.panicker.max_failure_rate=1.0"]));
    assert_eq!(small.metrics("run").len(), 150 + 14);
}

#[test]
fn the_bill_is_told_by_call_step_sample_and_run() {
    let small = Small::prebuilt();
    succeed(&mut small.train("run"));
    let bill = &small.summary("run")["usage"]["arithmetic"];
    let of = |line: &Value, what: &str| line["plugins"]["arithmetic"][what].as_u64().unwrap();
    let steps: Vec<Value> = small.metrics("run").into_iter().filter(|line| line["phase"] == "game").collect();
    let samples = small.lines("run/samples.jsonl");
    for line in &steps {
        assert!(of(line, "max_call_fuel") <= of(line, "fuel") && of(line, "items") >= 24, "{line}");
        let own: Vec<u64> = samples
            .iter()
            .filter(|sample| sample["step"] == line["step"])
            .map(|sample| sample["fuel"]["arithmetic"].as_u64().unwrap())
            .collect();
        assert_eq!(own.len(), 24);
        let rounding = own.len() as u64;
        assert!(own.iter().sum::<u64>().abs_diff(of(line, "fuel")) <= rounding, "the shares add up: {line}");
    }
    // The measurements before and after are in the run's bill too.
    assert!(bill["fuel"].as_u64().unwrap() > steps.iter().map(|line| of(line, "fuel")).sum::<u64>(), "{bill}");
    assert!(bill["calls"].as_u64().unwrap() >= 8, "{bill}");
}
