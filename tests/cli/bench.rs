//! `alft bench policy` measures every part, and says how to name a model.

use serde_json::Value;

use crate::support::{alft, fail, succeed};

#[test]
fn the_tiny_model_is_measured_in_every_part() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        succeed(alft(folder.path()).args(["bench", "policy", "tiny", "--set", "device=cpu", "--quick", "--json"]));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["model"], &report["dtype"]), (&"tiny".into(), &"f32".into()), "{report}");
    assert!(report["parameters"].as_u64().unwrap() > 100_000 && report["device"].as_str().unwrap().contains("CPU"));
    let limits = &report["limits"];
    let positive = |value: &Value| value.as_f64().is_some_and(|number| number > 0.0 && number.is_finite());
    assert!(positive(&limits["bytes_per_second"]) && positive(&limits["flops_per_second"]), "{report}");

    let parts = report["parts"].as_array().unwrap();
    let names: Vec<_> =
        parts.iter().map(|part| (part["part"].as_str().unwrap(), part["batch"].as_u64().unwrap())).collect();
    assert_eq!(names, [("decode", 1), ("decode", 8), ("log-probs", 8), ("update-lora", 8), ("update-full", 8)]);
    // 15 tokens after the first; 8 sequences of 8 + 16 tokens.
    assert_eq!(parts.iter().map(|part| part["tokens"].as_u64().unwrap()).collect::<Vec<_>>(), [15, 120, 192, 192, 192]);
    for part in parts {
        let number = |key: &str| part[key].as_f64().unwrap_or_else(|| panic!("no {key} in {part}"));
        assert!(positive(&part["seconds"]) && number("best_seconds") <= number("seconds"), "{part}");
        let rate = number("tokens") / number("seconds");
        assert!((number("tokens_per_second") / rate - 1.0).abs() < 1e-9, "{part}");
        assert!(positive(&part["bandwidth_share"]) && positive(&part["arithmetic_share"]), "{part}");
        // The tiny model's weights alone take half a megabyte.
        assert!(cfg!(not(target_os = "linux")) || number("peak_memory") > 5e5, "{part}");
        let operations = part["operations"].as_array().unwrap();
        let shares: f64 = operations.iter().map(|operation| operation["share"].as_f64().unwrap()).sum();
        assert!(operations.iter().any(|operation| operation["operation"] == "linear"), "{part}");
        assert!(shares > 0.0 && shares <= 1.0, "{part}");
        assert_eq!(part["part"] == "decode", part["prompt_seconds"].is_number(), "{part}");
    }
}

#[test]
fn the_table_has_a_line_for_each_part_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = alft(folder.path());
    command.args(["bench", "policy", "tiny", "--quick", "--set", "device=cpu", "--set", "parts=log-probs,decode"]);
    let output = succeed(command.args(["--set", "batches=2"]));
    let text = String::from_utf8(output.stdout).unwrap();
    let parts: Vec<&str> = text.lines().skip(5).map(|line| line.split_whitespace().next().unwrap()).collect();
    assert_eq!(parts, ["decode", "log-probs"], "{text}");
}

#[test]
fn a_model_that_is_not_there_is_named_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |more: &[&str], code, texts: &[&str]| {
        fail(alft(folder.path()).args(["bench", "policy"]).args(more), code, texts);
    };
    refused(&["models/absent.gguf"], 6, &["models/absent.gguf: there is no such file or folder", "GGUF", "`tiny`"]);
    refused(&["shape:gpt-9"], 6, &["shape:gpt-9: there is no such shape", "`shape:qwen2.5-0.5b`"]);
    refused(&["tiny", "--set", "new_tokens=1"], 6, &["`new_tokens` must be at least 2"]);
    refused(&["tiny", "--set", "new_tokns=1"], 6, &["unknown field `new_tokns`", "`new_tokens`"]);
}
