//! The README's first command reaches the results that the README names.

use serde_json::{Value, json};
use toml::Table;

use crate::support::{alft, root, succeed};

#[test]
fn rises_by_15_points_and_incoherence_halves() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("quickstart");
    let mut command = alft(&root());
    command.args(["train", "examples/quickstart/run.toml", "--json", "--output"]).arg(&output);
    let summary: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();

    let number = |when: &str, key: &str| summary[when][key].as_f64().unwrap();
    let gain = number("after", "accuracy") - number("before", "accuracy");
    assert!(gain >= 0.15, "accuracy rises by {gain}: {summary}");
    assert!(number("after", "jsd") <= 0.5 * number("before", "jsd"), "{summary}");
    assert_eq!(summary["failures"], json!({}));

    let picture = std::fs::read_to_string(output.join("curves.svg")).unwrap();
    assert!(picture.contains("accuracy") && picture.contains("<polyline"), "the picture has no curves");
    for file in ["model.safetensors", "config.json", "tokenizer.json"] {
        assert!(output.join("model").join(file).exists(), "the model in Hugging Face's format has no {file}");
    }
    assert_eq!(std::fs::read_to_string(output.join("samples.jsonl")).unwrap().lines().count(), 800 * 6 * 3 * 8);

    // A run can start from the exported model. Its run file has no warm start, and --set can only add keys.
    let mut run: Table = std::fs::read_to_string(output.join("run.toml")).unwrap().parse().unwrap();
    run.remove("warm_start");
    run["model"] = Table::from_iter([("path".into(), output.join("model").display().to_string().into())]).into();
    std::fs::write(folder.path().join("again.toml"), toml::to_string(&run).unwrap()).unwrap();
    let mut command = alft(folder.path());
    command.args(["train", "again.toml", "--json", "--steps", "1", "--output", "again"]);
    let again: Value = serde_json::from_slice(&succeed(&mut command).stdout).unwrap();
    assert_eq!(again["before"], summary["after"], "the exported model gives the answers of the trained one");
}
