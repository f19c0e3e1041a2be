//! Plugins change while a run goes on, and a resumed run makes the same changes again.

use std::fs;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use toml::Table;

use crate::support::{Small, alft, component, fail, said, succeed};

#[test]
fn a_weight_follows_its_schedule() {
    let small = Small::prebuilt();
    succeed(small.train("run").args(["--set", "plugin.coherence.weight={from = 0.0, to = 1.0, over = 4}"]));
    let weights: Vec<f64> = game(&small, "run").iter().map(|line| weight(line, "coherence").unwrap()).collect();
    assert_eq!(weights, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
    fail(
        small.train("x").args(["--set", "plugin.coherence.weight={from = 0.0, too = 1.0, over = 4}"]),
        3,
        &["unknown field `too`", "did you mean `to`?"],
    );
}

#[test]
fn edits_are_taken_between_steps_and_made_again_by_a_resumed_run() {
    let small = Small::prebuilt();
    // Nothing is to be built while the steps go by.
    ["gini", "majority"].iter().for_each(|name| drop(component(name)));
    let stderr = fs::File::create(small.path().join("told.txt")).unwrap();
    let mut command = small.train("run");
    command.args(["--set", "train.steps=600"]).stderr(stderr);
    let mut run = Running(command.stdout(Stdio::null()).spawn().unwrap());
    let steps = || small.lines("run/metrics.jsonl").iter().filter(|line| line["phase"] == "game").count();
    let changed = || small.lines("run/changes.jsonl").len();
    let told = || fs::read_to_string(small.path().join("told.txt")).unwrap();

    run.until(|| steps() >= 2);
    // A state from before the changes, to go on from once more at the end.
    let early = small.path().join("early");
    copy_files(&small.path().join("run/state"), &early);

    edit(&small, |run| {
        plugin(run, "coherence").insert("weight".into(), 0.1.into());
    });
    run.until(|| changed() == 1);
    fs::copy(component("gini"), small.path().join("rarity.wasm")).unwrap();
    edit(&small, |run| {
        let plugins = run["plugin"].as_array_mut().unwrap();
        plugins.retain(|plugin| plugin["name"].as_str() != Some("entropy"));
        let rarity = [("name", "rarity".into()), ("path", "rarity.wasm".into()), ("weight", 0.05.into())];
        plugins.push(Table::from_iter(rarity.map(|(key, value)| (key.to_owned(), value))).into());
    });
    run.until(|| changed() == 2);
    // Neither of these can be taken.
    edit(&small, |run| drop(plugin(run, "coherence").insert("wieght".into(), 0.5.into())));
    run.until(|| told().contains("did you mean `weight`?"));
    edit(&small, |run| {
        plugin(run, "coherence").remove("wieght");
        run["game"].as_table_mut().unwrap().insert("reference_samples".into(), 7.into());
    });
    run.until(|| told().contains("game.reference_samples cannot change while the run goes on"));
    edit(&small, |run| {
        run["game"].as_table_mut().unwrap().remove("reference_samples");
        plugin(run, "rarity").insert("path".into(), "absent-file.wasm".into());
    });
    run.until(|| told().contains("absent-file"));
    // The same path has another file now; what the run made of the first one can still be made again.
    fs::copy(component("majority"), small.path().join("rarity.wasm")).unwrap();
    edit(&small, |run| drop(plugin(run, "rarity").insert("path".into(), "rarity.wasm".into())));
    run.until(|| changed() == 3);
    run.end();

    assert_eq!(told().matches("is refused").count(), 3, "each bad edit is told of once: {}", told());
    let changes = small.lines("run/changes.jsonl");
    let at = |which: usize| changes[which]["step"].as_u64().unwrap();
    assert_eq!(changes[0]["what"], serde_json::json!(["coherence.weight is 0.1 (was 0.6)"]));
    assert_eq!(changes[1]["what"], serde_json::json!(["entropy is removed", "rarity is added"]));
    assert!(changes[2]["what"][0].as_str().unwrap().starts_with("rarity is another file, "), "{}", changes[2]);
    assert_eq!(changes[2]["hashes"]["rarity"].as_str().unwrap().len(), 64);
    assert_eq!(changes[2]["plugin"].as_array().unwrap().len(), 3, "a line has all that is in force");
    let lines = game(&small, "run");
    assert_eq!(lines.len(), 600);
    for line in &lines {
        let step = line["step"].as_u64().unwrap();
        assert_eq!(weight(line, "coherence"), Some(if step <= at(0) { 0.6 } else { 0.1 }), "step {step}");
        assert_eq!(weight(line, "entropy").is_some(), step <= at(1), "step {step}");
        assert_eq!(weight(line, "rarity").is_some(), step > at(1), "step {step}");
        let change = changes.iter().find(|change| change["step"] == step - 1);
        assert_eq!(line.get("changes"), change.map(|change| &change["what"]), "step {step}");
    }

    copy_files(&small.path().join("run"), &small.path().join("again"));
    copy_files(&small.path().join("run/plugins"), &small.path().join("again/plugins"));
    fs::rename(early, small.path().join("again/state")).unwrap();
    let output = succeed(small.resume("again").args(["--set", "train.steps=600"]));
    assert!(said(&output).contains("as before: coherence.weight is 0.1 (was 0.6)"), "{}", said(&output));
    assert_eq!(small.metrics("again"), small.metrics("run"));
    assert_eq!(small.read("again/samples.jsonl"), small.read("run/samples.jsonl"));
    assert_eq!(small.read("again/changes.jsonl"), small.read("run/changes.jsonl"));
    assert_eq!(small.summary("again"), small.summary("run"));
    let ledger = |run: &str| fs::read(small.path().join(run).join("ledger")).unwrap();
    assert!(ledger("again") == ledger("run"));
    succeed(alft(small.path()).args(["plugin", "replay", "again"]));
}

#[test]
fn a_run_resumed_with_other_plugins_has_changed_at_that_step() {
    let small = Small::prebuilt();
    succeed(&mut small.train("run"));
    fail(small.resume("run").args(["--set", "plugin.coherence.path=absent.wasm"]), 5, &["absent.wasm"]);
    let more = ["--set", "train.steps=8", "--set", "plugin.coherence.weight=0"];
    let output = succeed(small.resume("run").args(more));
    assert!(said(&output).contains("from step 7 on: coherence.weight is 0"), "{}", said(&output));
    let lines = game(&small, "run");
    let weights: Vec<f64> = lines.iter().map(|line| weight(line, "coherence").unwrap()).collect();
    assert_eq!(weights, [0.6, 0.6, 0.6, 0.6, 0.6, 0.6, 0.0, 0.0]);
    assert_eq!(lines[6]["changes"][0], "coherence.weight is 0.0 (was 0.6)");
    succeed(small.resume("run").args(more));
    assert_eq!(small.lines("run/changes.jsonl").len(), 1, "it is the same now");

    // A plugin that was mended where it lies: the same but for a section that says nothing.
    let path = component("coherence");
    let mended = [fs::read(path).unwrap().as_slice(), &[0, 2, 1, b'x']].concat();
    fs::write(small.path().join("mended.wasm"), mended).unwrap();
    let more = [&more[..], &["--set", "train.steps=9", "--set", "plugin.coherence.path=mended.wasm"]].concat();
    let output = succeed(small.resume("run").args(more));
    assert!(said(&output).contains("from step 9 on: coherence is another file"), "{}", said(&output));
    assert_eq!(fs::read_dir(small.path().join("run/plugins")).unwrap().count(), 4, "both are kept");
    succeed(alft(small.path()).args(["plugin", "replay", "run"]));
}

/// The lines of the game.
fn game(small: &Small, output: &str) -> Vec<Value> {
    small.metrics(output).into_iter().filter(|line| line["phase"] == "game").collect()
}

fn weight(line: &Value, plugin: &str) -> Option<f64> {
    line["plugins"].get(plugin)?["weight"].as_f64()
}

/// Edits the run file in one stroke, as editors do.
fn edit(small: &Small, change: impl FnOnce(&mut Table)) {
    let mut run: Table = small.read("run.toml").parse().unwrap();
    change(&mut run);
    small.write("draft.toml", &toml::to_string(&run).unwrap());
    fs::rename(small.path().join("draft.toml"), small.path().join("run.toml")).unwrap();
}

fn plugin<'a>(run: &'a mut Table, name: &str) -> &'a mut Table {
    let plugins = run["plugin"].as_array_mut().unwrap().iter_mut().map(|plugin| plugin.as_table_mut().unwrap());
    plugins.into_iter().find(|plugin| plugin["name"].as_str() == Some(name)).unwrap()
}

/// Copies a folder's files, but for drafts that may vanish any moment.
fn copy_files(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name();
        if entry.path().is_file() && !name.to_str().unwrap().starts_with('.') {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

/// A run in the background.
struct Running(Child);

impl Running {
    fn until(&mut self, ready: impl Fn() -> bool) {
        let begun = Instant::now();
        while !ready() {
            assert!(begun.elapsed() < Duration::from_secs(120), "it never came so far");
            assert!(self.0.try_wait().unwrap().is_none(), "it ended too early");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn end(mut self) {
        assert!(self.0.wait().unwrap().success());
    }
}
