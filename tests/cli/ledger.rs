//! Every scoring call of a run is on file: it is made again and gives the same, and another plugin can be asked.

use serde_json::Value;

use crate::support::{Small, alft, built, fail, root, said, succeed};

#[test]
fn a_ledger_replays_bit_for_bit_and_a_changed_byte_is_found() {
    let small = Small::new();
    let misbehave = root().join("plugins/misbehave");
    let run = small.read("run.toml")
        + &format!(
            "\n[[plugin]]\nname = \"panicker\"\ncrate = \"{}\"\nroles = [\"verifier\"]\nconfig = {{ deed = \"panic\", on = \"2\" }}\n",
            misbehave.display()
        );
    small.write("run.toml", &run);
    succeed(&mut small.train("run"));

    fail(alft(small.path()).args(["replay", "run"]), 5, &["entropy", "--trust-native"]);
    let replay = || {
        let mut command = alft(small.path());
        command.args(["replay", "run", "--trust-native", "--json"]);
        command
    };
    let report: Value = serde_json::from_slice(&succeed(&mut replay()).stdout).unwrap();
    let fuel: u64 = small
        .metrics("run")
        .iter()
        .filter_map(|line| line["plugins"].as_object())
        .flat_map(|plugins| plugins.values().map(|plugin| plugin["fuel"].as_u64().unwrap()))
        .sum();
    assert!(report["fuel"].as_u64().unwrap() >= fuel && fuel > 0, "the measurements are in it too: {report}");
    for plugin in ["arithmetic", "entropy", "coherence", "panicker"] {
        assert!(report["plugins"][plugin].as_u64().unwrap() >= 6, "{report}");
    }

    let ledger = std::fs::read(small.path().join("run/ledger")).unwrap();
    std::fs::write(small.path().join("run/ledger"), &ledger[..ledger.len() - 7]).unwrap();
    let cut = succeed(&mut replay());
    let report: Value = serde_json::from_slice(&cut.stdout).unwrap();
    assert!(report["cut_off"].as_u64().unwrap() > 0, "{report}");
    let mut changed = ledger.clone();
    changed[ledger.len() / 2] ^= 1;
    std::fs::write(small.path().join("run/ledger"), &changed).unwrap();
    fail(&mut replay(), 9, &["ledger", "frame", "not those that were written"]);
    std::fs::write(small.path().join("run/ledger"), "hello").unwrap();
    succeed(&mut replay());
    std::fs::write(small.path().join("run/ledger"), "hello, this is no ledger at all, but a text").unwrap();
    fail(&mut replay(), 9, &["ledger", "frame 1"]);
    std::fs::remove_file(small.path().join("run/ledger")).unwrap();
    fail(&mut replay(), 1, &["ledger", "No such file"]);
}

#[test]
fn stored_samples_are_scored_by_another_plugin() {
    let small = Small::new();
    succeed(&mut small.train("run"));
    let arithmetic = built(small.path(), "arithmetic");
    let rescore = |config: &str| {
        let mut command = alft(small.path());
        command.args(["rescore", "run", "--config", config, "--json", "--plugin"]).arg(&arithmetic);
        let output = succeed(&mut command);
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let run: toml::Table = small.read("run.toml").parse().unwrap();
    let same = serde_json::to_string(&run["plugin"][0]["config"]).unwrap();
    let comparisons = rescore(&same);
    assert_eq!(comparisons.len(), 2, "as reader and as verifier: {comparisons:?}");
    for comparison in &comparisons {
        assert_eq!((&comparison["with"], &comparison["changed"]), (&"arithmetic".into(), &0.into()), "{comparison}");
        assert!(comparison["items"].as_u64().unwrap() > 50, "{comparison}");
    }
    let comparisons = rescore(r#"{"marker": "never written"}"#);
    let reader = comparisons.iter().find(|comparison| comparison["role"] == "reader").unwrap();
    assert!(reader["changed"].as_u64().unwrap() > 0, "{reader}");
    assert_eq!(reader["changes"][0]["now"], "no answer", "{reader}");

    let mut command = alft(small.path());
    let told = said(&succeed(command.args(["rescore", "run", "--plugin"]).arg(built(small.path(), "gini"))));
    assert!(told.contains("coherence as objective") && told.contains("would change"), "{told}");
}
