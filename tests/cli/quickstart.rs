//! The README's first command learns what it says it learns.

use serde_json::Value;

use crate::support::{alft, root, succeed};

#[test]
fn accuracy_rises_by_15_points_and_incoherence_halves() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("quickstart");
    let mut command = alft(&root());
    command.args(["train", "examples/quickstart/run.toml", "--json", "--output"]).arg(&output);
    let summary: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();

    let of = |when: &str, what: &str| summary[when][what].as_f64().unwrap();
    let gain = of("after", "accuracy") - of("before", "accuracy");
    assert!(gain >= 0.15, "accuracy rose by {gain}: {summary}");
    assert!(of("after", "jsd") <= 0.5 * of("before", "jsd"), "{summary}");
    assert_eq!(summary["failures"], serde_json::json!({}));

    let picture = std::fs::read_to_string(output.join("curves.svg")).unwrap();
    assert!(picture.contains("accuracy") && picture.contains("<polyline"), "a picture with curves");
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        assert!(output.join("model").join(file).exists(), "the model in Hugging Face's format has {file}");
    }
    assert_eq!(std::fs::read_to_string(output.join("samples.jsonl")).unwrap().lines().count(), 800 * 6 * 3 * 8);

    // What was exported is a model to start from.
    let again = folder.path().join("again");
    // A run file without the embedded model and the warm start: written anew, for --set can add keys but not remove.
    let text = std::fs::read_to_string(output.join("run.toml")).unwrap();
    let mut run: toml::Table = text.parse().unwrap();
    run.remove("warm_start");
    run["model"] = toml::Table::from_iter([("path".into(), output.join("model").display().to_string().into())]).into();
    for (_, value) in run["prompts"].as_table_mut().unwrap().iter_mut() {
        if let Some(path) = value.as_str().filter(|text| text.ends_with(".jsonl")) {
            *value = root().join(path).display().to_string().into();
        }
    }
    for plugin in run["plugin"].as_array_mut().unwrap() {
        let source = root().join(plugin["crate"].as_str().unwrap()).display().to_string();
        plugin.as_table_mut().unwrap().insert("crate".into(), source.into());
    }
    std::fs::write(folder.path().join("again.toml"), toml::to_string(&run).unwrap()).unwrap();
    let mut command = alft(folder.path());
    command.args(["train", "again.toml", "--json", "--steps", "1", "--output"]).arg(&again);
    let second: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();
    assert_eq!(second["before"], summary["after"], "the exported model answers as the trained one did");
}
