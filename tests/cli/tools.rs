//! The author's tools: `alft plugin check`, `inspect` and `bench`.

use std::process::Command;

use alft_build::Form;
use serde_json::Value;

use crate::support::{alft, all_text, built, fail, root, succeed};

/// Returns the command `alft plugin TOOL PLUGIN …`.
fn tool(tool: &str, plugin: &str, more: &[&str]) -> Command {
    let mut command = alft(&root());
    command.args(["plugin", tool, plugin]).args(more);
    command
}

fn path(name: &str, form: Form) -> String {
    built(name, form).display().to_string()
}

/// Returns the object that a command prints, whatever its exit code.
fn json(command: &mut Command) -> Value {
    let output = command.output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", all_text(&output)))
}

#[test]
fn a_crate_passes_as_a_component_and_as_a_library_with_the_same_bits() {
    for name in ["arithmetic", "pass-at-k"] {
        let output = succeed(&mut tool("check", &format!("plugins/{name}"), &[]));
        let text = all_text(&output);
        let passed = |test: &str| text.lines().any(|line| line.split_whitespace().take(2).eq(["passed", test]));
        assert!(passed("twins-agree") && passed("fuel-grows-linearly"), "{name}: {text}");
        assert!(text.contains(" 0 failed, 0 crashed, "), "{name}: {text}");
        let has_table =
            text.contains("hacks of the verifier under {\"marker\":\":\"}") && text.contains("answer stuffing");
        assert_eq!(has_table, name == "arithmetic", "only a reader or a verifier has an abuse table: {text}");
    }
}

#[test]
fn a_component_is_checked_under_the_configuration_of_the_command_line() {
    let tsallis = path("tsallis", Form::Component);
    fail(
        &mut tool("check", &tsallis, &[]),
        5,
        &["it refuses the configuration {}: missing field `order`", "--config", "does not pass: describes-itself"],
    );
    let report = json(&mut tool("check", &tsallis, &["--config", r#"{"order": 3}"#, "--json", "--seed", "7"]));
    assert_eq!((&report["failed"], &report["crashed"]), (&0.into(), &0.into()), "{report}");
    assert!(report["passed"].as_u64().unwrap() >= 11 && report["seed"] == 7, "{report}");
    let tests = report["tests"].as_array().unwrap();
    let twins = tests.iter().find(|ran| ran["test"] == "twins-agree").unwrap();
    assert!(twins["outcome"] == "skipped" && twins["reason"].as_str().unwrap().contains("Rust or C"), "{twins}");
}

#[test]
fn a_misbehaving_component_fails_test_by_test_and_every_test_runs() {
    let misbehave = path("misbehave", Form::Component);
    for (fault, test, outcome, words) in [
        ("panic", "order-of-calls", "crashed", "told to panic"),
        ("memory", "empty", "crashed", "memory: asked for"),
        ("recursion", "unicode", "crashed", "stack"),
        ("error", "batch-equals-singles", "failed", "told to fail"),
        ("patient", "batch-equals-singles", "failed", "one result alone, and another in a batch"),
        ("nan", "right-answer", "failed", "NaN"),
        ("out-of-range", "score-range", "failed", "promises 0.0 to 1.0"),
        ("short", "unanimous", "failed", "of the shape"),
    ] {
        let config = format!(r#"{{"fault": "{fault}"}}"#);
        let report = json(&mut tool("check", &misbehave, &["--config", &config, "--only", test, "--json"]));
        let ran = &report["tests"][0];
        assert_eq!((&ran["test"], &ran["outcome"]), (&test.into(), &outcome.into()), "{fault}: {ran}");
        assert!(ran["reason"].as_str().unwrap().contains(words), "{fault}: {ran}");
    }
    let report = json(&mut tool("check", &misbehave, &["--config", r#"{"fault": "panic"}"#, "--json"]));
    let tests = report["tests"].as_array().unwrap();
    assert_eq!(tests.len(), 19, "every test has an outcome");
    assert_eq!((&tests[0]["outcome"], &tests[1]["outcome"]), (&"passed".into(), &"passed".into()), "{report}");
    assert!(report["crashed"].as_u64().unwrap() > 5, "{report}");
}

#[test]
fn a_library_that_dies_or_hangs_ends_its_test_only() {
    let misbehave = path("misbehave", Form::Native);
    let check = |fault: &str, more: &[&str]| {
        let mut command = tool("check", &misbehave, &["--config", &format!(r#"{{"fault": "{fault}"}}"#)]);
        command.args(more);
        command
    };
    fail(&mut check("recursion", &["--only", "empty"]), 5, &["add --trust-native"]);
    let words = ["crashed empty", "ended with signal", "1 crashed", "does not pass: empty"];
    fail(&mut check("recursion", &["--only", "empty", "--trust-native"]), 5, &words);
    let words = [
        "crashed right-answer",
        "did not end within 2 s",
        "again: alft plugin check",
        "--seed 0 --config '{\"fault\":\"loop\"}' --trust-native",
    ];
    fail(&mut check("loop", &["--only", "right-answer", "--trust-native", "--seconds", "2"]), 5, &words);
}

#[test]
fn the_limits_of_the_command_line_apply() {
    let entropy = path("entropy", Form::Component);
    let starved = ["--only", "order-of-calls", "--limits", r#"{"fuel_base": 1000, "fuel_per_byte": 0}"#];
    fail(&mut tool("check", &entropy, &starved), 5, &["1000 units of fuel", "--limits '{\"fuel_base\":1000,"]);
    fail(&mut tool("inspect", &entropy, &["--limits", r#"{"component_size": 10}"#]), 5, &["above the limit of 10"]);
    fail(&mut tool("bench", &entropy, &["--limits", r#"{"fule_base": 1}"#]), 2, &["unknown field `fule_base`"]);
    fail(
        &mut tool("bench", &entropy, &["--limits", r#"{"deadline_ms": 0}"#]),
        2,
        &["`limits.deadline_ms` must be at least 1"],
    );
}

#[test]
fn mistakes_in_the_command_line_are_explained() {
    let entropy = path("entropy", Form::Component);
    fail(&mut tool("check", &entropy, &["--only", "concav"]), 2, &["no test \"concav\"", "did you mean `concave`?"]);
    fail(&mut tool("check", &entropy, &["--config", "[1]"]), 2, &["write a JSON object"]);
    fail(&mut tool("check", "no/such.wasm", &[]), 5, &["no/such.wasm", "No such file"]);
    let folder = tempfile::tempdir().unwrap();
    let kit = folder.path().join("kit.json");
    std::fs::write(&kit, r#"{"confgs": [{}]}"#).unwrap();
    fail(&mut tool("check", &entropy, &["--kit", kit.to_str().unwrap()]), 4, &["kit.json", "confgs"]);
}

#[test]
fn inspect_shows_the_facts_about_a_plugin() {
    let facts = json(&mut tool("inspect", "plugins/arithmetic", &["--json"]));
    assert_eq!((&facts["form"], &facts["contract"]), (&"component".into(), &"alft:objective@1.0.0".into()), "{facts}");
    assert_eq!(facts["roles"], serde_json::json!(["reader", "verifier"]));
    let imports = facts["imports"].as_array().unwrap();
    assert!(imports.iter().any(|import| import == "alft:objective/diagnostics@1.0.0"), "{facts}");
    assert_eq!(facts["can_do_io"], false);
    assert_eq!(facts["claims"]["score_range"], serde_json::json!([0.0, 1.0]));
    assert!(
        facts["producers"].as_array().unwrap().iter().any(|made| made.as_str().unwrap().contains("rustc")),
        "{facts}"
    );
    let bytes = std::fs::read(facts["file"].as_str().unwrap()).unwrap();
    assert_eq!(facts["blake3"], blake3::hash(&bytes).to_hex().as_str());

    let library = path("entropy", Form::Native);
    let text = all_text(&succeed(&mut tool("inspect", &library, &[])));
    assert!(text.contains("alft_plugin_v1_alft_entropy") && text.contains("all the rights"), "{text}");
    assert!(text.contains("add --trust-native to run the library"), "{text}");
    let text = all_text(&succeed(&mut tool("inspect", &library, &["--trust-native"])));
    assert!(text.contains("a concave utility, rewards that are its gradient"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let wasi = folder.path().join("files.wasm");
    let text = r#"(component (import "wasi:filesystem/preopens@0.2.0" (instance)) (instance $v)
                   (export "alft:objective/about@1.0.0" (instance $v)))"#;
    std::fs::write(&wasi, wat::parse_str(text).unwrap()).unwrap();
    let facts = ["can do I/O not here", "wasi:filesystem", "imports the interface wasi:filesystem/preopens@0.2.0"];
    fail(&mut tool("inspect", wasi.to_str().unwrap(), &[]), 5, &facts);
    let facts = json(&mut tool("inspect", wasi.to_str().unwrap(), &["--json"]));
    assert_eq!(facts["can_do_io"], true, "the facts are printed before the command fails");
    std::fs::write(&wasi, "text").unwrap();
    fail(&mut tool("inspect", wasi.to_str().unwrap(), &[]), 5, &["files.wasm"]);
}

#[test]
fn inspect_claims_nothing_about_a_core_module() {
    let folder = tempfile::tempdir().unwrap();
    let core = folder.path().join("core.wasm");
    std::fs::write(&core, wat::parse_str("(module)").unwrap()).unwrap();
    for also in [&[][..], &["--json"]] {
        let output = tool("inspect", core.to_str().unwrap(), also).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(5), 0), "{}", all_text(&output));
    }
    fail(&mut tool("inspect", core.to_str().unwrap(), &[]), 5, &["core WebAssembly module and not a component"]);
}

/// Without an entry there is nothing that trust in a library could run.
#[test]
fn inspect_refuses_a_library_without_an_entry() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("empty.dylib");
    // The header of a 64-bit Mach-O file without load commands.
    let mut header = [0u8; 32];
    header[..4].copy_from_slice(&0xfeed_facf_u32.to_le_bytes());
    std::fs::write(&library, header).unwrap();
    fail(&mut tool("inspect", library.to_str().unwrap(), &[]), 5, &["empty.dylib", "no symbol alft_plugin_v1"]);
}

#[test]
fn bench_measures_each_role_and_checks_budgets() {
    let arithmetic = path("arithmetic", Form::Component);
    let report = json(&mut tool("bench", &arithmetic, &["--measure-ms", "20", "--json"]));
    let rows = report["rows"].as_array().unwrap();
    let kinds: Vec<_> =
        rows.iter().map(|row| (row["role"].as_str().unwrap(), row["answers"].as_u64().unwrap())).collect();
    let wanted = [("reader", 1), ("reader", 8), ("reader", 64), ("verifier", 1), ("verifier", 8), ("verifier", 64)];
    assert_eq!(kinds, wanted);
    for row in rows {
        let number = |key: &str| row[key].as_f64().unwrap();
        assert!(number("p50_us") <= number("p99_us") && number("calls_per_second") > 1.0, "{row}");
        assert!(number("fuel_per_call") > 1000.0, "{row}");
    }
    let again = json(&mut tool("bench", &arithmetic, &["--measure-ms", "1", "--json"]));
    let fuel = |report: &Value| {
        report["rows"].as_array().unwrap().iter().map(|row| row["fuel_per_call"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(fuel(&report), fuel(&again), "the same calls use the same fuel");
    let quick = ["--measure-ms", "1", "--fuel-budget", "1000", "--budget-ms", "1e-6"];
    fail(&mut tool("bench", &arithmetic, &quick), 5, &["over its budget", "units of fuel of 1000", "ms of 0.000001"]);
}
