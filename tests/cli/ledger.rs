//! Every plugin call of a run is on record: it can be repeated with the same result, and made with another plugin.

use alft_build::Form;
use serde_json::Value;

use crate::support::{Small, all_text, built, component, fail, finished, plugin_table, succeed};

#[test]
fn a_ledger_replays_bit_for_bit_and_a_changed_byte_is_found() {
    let small = Small::new();
    // A native library is not metered, and runs again only with permission.
    let library = built("entropy", Form::Native);
    let hash = blake3::hash(&std::fs::read(&library).unwrap()).to_hex();
    let run = small.read("run.toml").replace(
        &format!("path = {:?}", component("entropy")),
        &format!("path = {library:?}\ntrust = \"native\"\nhash = \"{hash}\""),
    );
    small.write("run.toml", &run);
    let keys = "roles = [\"verifier\"]\nconfig = { fault = \"panic\", on = \"2\" }";
    small.append(&plugin_table("panicker", &component("misbehave"), keys));
    succeed(&mut small.train("run"));

    fail(&mut small.command(&["replay", "run"]), 5, &["plugin \"entropy\"", "add --trust-native"]);
    let replay = || small.command(&["replay", "run", "--trust-native", "--json"]);
    let report: Value = serde_json::from_slice(&succeed(&mut replay()).stdout).unwrap();
    let fuel: u64 = small
        .metrics("run")
        .iter()
        .filter_map(|line| line["plugins"].as_object())
        .flat_map(|plugins| plugins.values().map(|plugin| plugin["fuel"].as_u64().unwrap()))
        .sum();
    assert!(report["fuel"].as_u64().unwrap() >= fuel && fuel > 0, "the evaluations are recorded too: {report}");
    for plugin in ["arithmetic", "entropy", "coherence", "panicker"] {
        assert!(report["plugins"][plugin].as_u64().unwrap() >= 6, "{report}");
    }

    let path = small.path().join("run/ledger");
    let ledger = std::fs::read(&path).unwrap();
    std::fs::write(&path, &ledger[..ledger.len() - 7]).unwrap();
    let report: Value = serde_json::from_slice(&succeed(&mut replay()).stdout).unwrap();
    assert!(report["incomplete_bytes"].as_u64().unwrap() > 0, "{report}");
    let mut changed = ledger.clone();
    changed[ledger.len() / 2] ^= 1;
    std::fs::write(&path, &changed).unwrap();
    fail(&mut replay(), 9, &["ledger is broken in frame", "not those that were written"]);
    std::fs::write(&path, "hello").unwrap();
    succeed(&mut replay());
    std::fs::write(&path, "hello, this is not a ledger at all, but a text").unwrap();
    fail(&mut replay(), 9, &["ledger is broken in frame 1", "not a ledger"]);
    std::fs::remove_file(&path).unwrap();
    fail(&mut replay(), 1, &["ledger", "No such file"]);
}

#[test]
fn recorded_inputs_are_rescored_by_another_plugin() {
    let small = finished();
    let arithmetic = component("arithmetic").display().to_string();
    let rescore = |config: &str| {
        let args = ["rescore", "run", "--config", config, "--json", "--plugin", &arithmetic];
        let output = succeed(&mut small.command(&args));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let comparisons = rescore(r#"{"marker": ":"}"#);
    assert_eq!(comparisons.len(), 2, "as a reader and as a verifier: {comparisons:?}");
    for comparison in &comparisons {
        assert_eq!((&comparison["with"], &comparison["changed"]), (&"arithmetic".into(), &0.into()), "{comparison}");
        assert!(comparison["items"].as_u64().unwrap() > 50, "{comparison}");
    }
    let comparisons = rescore(r#"{"marker": "never written"}"#);
    let reader = comparisons.iter().find(|comparison| comparison["role"] == "reader").unwrap();
    assert!(reader["changed"].as_u64().unwrap() > 0, "{reader}");
    assert_eq!(reader["changes"][0]["now"], "no answer", "{reader}");

    let gini = component("gini").display().to_string();
    let text = all_text(&succeed(&mut small.command(&["rescore", "run", "--plugin", &gini])));
    assert!(text.contains("coherence as objective") && text.contains("would change"), "{text}");
    let length = component("length").display().to_string();
    let config = ["--config", r#"{"max": 16, "buffer": 8}"#];
    fail(
        small.command(&["rescore", "run", "--plugin", &length]).args(config),
        5,
        &["has no call of a grader", "name a run whose plugins have such a role"],
    );
}
