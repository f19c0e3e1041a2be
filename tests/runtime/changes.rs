//! Plugins change while a run goes on, and a resumed run makes the same changes again.

use std::fs;

use alft_runtime::Error;
use serde_json::{Value, json};
use toml::Table;

use crate::support::{Scratch, add, component, copy, plugin, run_to};

fn weight(line: &Value, plugin: &str) -> Option<f64> {
    line["plugins"].get(plugin)?["weight"].as_f64()
}

/// The run file with rarity in the place of entropy, and coherence at a lower weight.
fn edited(run: &mut Table) {
    plugin(run, "coherence").insert("weight".into(), 0.1.into());
    run["plugin"].as_array_mut().unwrap().retain(|plugin| plugin["name"].as_str() != Some("entropy"));
    add(run, "name = \"rarity\"\npath = \"rarity.wasm\"\nweight = 0.05");
}

#[test]
fn changes_apply_from_the_next_step_and_a_resumed_run_makes_them_again() {
    let scratch = Scratch::new();
    let longer = |run: &mut Table| drop(run["train"].as_table_mut().unwrap().insert("steps".into(), 10.into()));
    let mut run = scratch.start("run", scratch.config(longer));
    run_to(&mut run, 2);
    // A state from before the changes, to be resumed at the end.
    copy(&scratch.path().join("run/state"), &scratch.path().join("early"));
    let config = |edit: &dyn Fn(&mut Table)| {
        let mut config = scratch.config(|run| {
            longer(run);
            edit(run);
        });
        config.output = scratch.path().join("run");
        config
    };

    let changes = run.apply(config(&|run| drop(plugin(run, "coherence").insert("weight".into(), 0.1.into())))).unwrap();
    assert_eq!(changes, ["coherence.weight is 0.1 (was 0.6)"]);
    run_to(&mut run, 4);
    fs::copy(component("gini"), scratch.path().join("rarity.wasm")).unwrap();
    assert_eq!(run.apply(config(&edited)).unwrap(), ["entropy is removed", "rarity is added"]);
    assert_eq!(run.apply(config(&edited)).unwrap(), [""; 0], "the same again is no change");
    run_to(&mut run, 5);

    // Neither of these can be made, and the run keeps its plugins.
    let group = |run: &mut Table| drop(run["game"].as_table_mut().unwrap().insert("group".into(), 5.into()));
    let error = run.apply(config(&group)).unwrap_err();
    assert!(matches!(&error, Error::FixedSettings { keys } if keys == &["game.group"]), "{error}");
    let absent = |run: &mut Table| {
        edited(run);
        plugin(run, "rarity").insert("path".into(), "absent.wasm".into());
    };
    let error = run.apply(config(&absent)).unwrap_err();
    assert!(matches!(&error, Error::Plugin { name, .. } if name == "rarity"), "{error}");
    run_to(&mut run, 6);

    // The same path has another file now; calls of the first one can still be made again.
    fs::copy(component("majority"), scratch.path().join("rarity.wasm")).unwrap();
    let changes = run.apply(config(&edited)).unwrap();
    assert!(changes[0].starts_with("rarity is another file, "), "{changes:?}");
    run_to(&mut run, 10);
    run.finish().unwrap();

    let changes = scratch.lines("run/changes.jsonl");
    assert_eq!(changes.iter().map(|change| change["step"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4, 6]);
    assert_eq!(changes[1]["what"], json!(["entropy is removed", "rarity is added"]));
    assert_eq!(changes[2]["hashes"]["rarity"].as_str().unwrap().len(), 64);
    assert_eq!(changes[2]["plugin"].as_array().unwrap().len(), 3, "a line has everything that is in force");
    let lines = scratch.metrics("run");
    assert_eq!(lines.len(), 10);
    for line in &lines {
        let step = line["step"].as_u64().unwrap();
        assert_eq!(weight(line, "coherence"), Some(if step <= 2 { 0.6 } else { 0.1 }), "step {step}");
        assert_eq!(weight(line, "entropy").is_some(), step <= 4, "step {step}");
        assert_eq!(weight(line, "rarity").is_some(), step > 4, "step {step}");
        let change = changes.iter().find(|change| change["step"] == step - 1);
        assert_eq!(line.get("changes"), change.map(|change| &change["what"]), "step {step}");
    }

    copy(&scratch.path().join("run"), &scratch.path().join("again"));
    for left in ["state", "model"] {
        fs::remove_dir_all(scratch.path().join("again").join(left)).unwrap();
    }
    fs::rename(scratch.path().join("early"), scratch.path().join("again/state")).unwrap();
    let mut again = scratch.resume("again", config(&edited));
    run_to(&mut again, 10);
    again.finish().unwrap();
    let events = scratch.events();
    assert!(events.iter().any(|event| event == "5 true entropy is removed; rarity is added"), "{events:?}");
    scratch.assert_same_runs("again", "run");
}

#[test]
fn a_run_resumed_with_another_run_file_changes_at_that_step() {
    let scratch = Scratch::new();
    let steps = |count: i64| {
        move |run: &mut Table| drop(run["train"].as_table_mut().unwrap().insert("steps".into(), count.into()))
    };
    let mut run = scratch.start("run", scratch.config(steps(3)));
    run_to(&mut run, 3);
    drop(run);

    let weightless = |run: &mut Table| {
        steps(5)(run);
        plugin(run, "coherence").insert("weight".into(), 0.0.into());
    };
    let mut run = scratch.resume("run", scratch.config(weightless));
    run_to(&mut run, 5);
    drop(run);
    drop(scratch.resume("run", scratch.config(weightless)));
    assert_eq!(scratch.events(), ["4 false coherence.weight is 0.0 (was 0.6)"], "and the same again is no change");
    let lines = scratch.metrics("run");
    let weights: Vec<f64> = lines.iter().map(|line| weight(line, "coherence").unwrap()).collect();
    assert_eq!(weights, [0.6, 0.6, 0.6, 0.0, 0.0]);
    assert_eq!(lines[3]["changes"][0], "coherence.weight is 0.0 (was 0.6)");

    // A plugin that was fixed where it lies: another custom section makes it another file.
    let fixed = [fs::read(component("coherence")).unwrap().as_slice(), &[0, 2, 1, b'x']].concat();
    fs::write(scratch.path().join("fixed.wasm"), fixed).unwrap();
    let replaced = |run: &mut Table| {
        weightless(run);
        steps(6)(run);
        plugin(run, "coherence").insert("path".into(), "fixed.wasm".into());
    };
    let mut run = scratch.resume("run", scratch.config(replaced));
    run_to(&mut run, 6);
    assert!(scratch.events()[1].starts_with("6 false coherence is another file"), "{:?}", scratch.events());
    assert_eq!(fs::read_dir(scratch.path().join("run/plugins")).unwrap().count(), 4, "both files are kept");
}

#[test]
fn a_change_after_the_last_step_is_made_again_before_the_last_evaluation() {
    let scratch = Scratch::new();
    let mut run = scratch.start("run", scratch.config(|_| ()));
    run_to(&mut run, 3);
    copy(&scratch.path().join("run/state"), &scratch.path().join("early"));
    run_to(&mut run, 6);
    let mut config = scratch.config(|run| drop(plugin(run, "arithmetic").insert("weight".into(), 0.5.into())));
    config.output = scratch.path().join("run");
    assert_eq!(run.apply(config.clone()).unwrap(), ["arithmetic.weight is 0.5 (was 1.0)"]);
    run.finish().unwrap();

    copy(&scratch.path().join("run"), &scratch.path().join("again"));
    fs::remove_dir_all(scratch.path().join("again/state")).unwrap();
    fs::rename(scratch.path().join("early"), scratch.path().join("again/state")).unwrap();
    let mut again = scratch.resume("again", config);
    run_to(&mut again, 7);
    again.finish().unwrap();
    scratch.assert_same_runs("again", "run");
    assert_eq!(
        scratch.events(),
        ["7 false arithmetic.weight is 0.5 (was 1.0)", "7 true arithmetic.weight is 0.5 (was 1.0)"]
    );
}

#[test]
fn a_weight_follows_its_schedule() {
    let scratch = Scratch::new();
    let schedule: Table = "weight = { from = 0.0, to = 1.0, over = 4 }".parse().unwrap();
    let config = scratch.config(|run| plugin(run, "coherence").extend(schedule));
    let mut run = scratch.start("run", config);
    run_to(&mut run, 6);
    let weights: Vec<f64> = scratch.metrics("run").iter().map(|line| weight(line, "coherence").unwrap()).collect();
    assert_eq!(weights, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
}
