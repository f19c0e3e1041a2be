//! Programs with known verdicts, read and scored by `plugins/python-tests`: right, wrong, broken, endless and hostile ones.

use std::path::Path;

use alft_build::Form;
use alft_plugin_host::{BatchResult, Failure, FailureKind, Limits, Plugin};
use alft_sdk::bundle::Prompt;
use alft_sdk::call::PromptTexts;
use serde_json::Value;

use crate::support::{built, open_file, read, score};

/// Opens the plugin with limits under which an endless program ends soon.
fn open(batch_bytes: usize) -> Plugin {
    let limits = Limits { fuel_base: 100_000_000, batch_bytes, deadline_ms: 120_000, ..Limits::default() };
    let config = r#"{"score": "share", "steps": 5000}"#;
    open_file(&built("python-tests", Form::Component), config, limits).unwrap()
}

/// Returns the lines of the file that `make_programs.py` makes.
fn programs() -> Vec<Value> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/python-tests/tests/programs.jsonl");
    std::fs::read_to_string(file).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn entry(program: &Value, text: &str) -> PromptTexts {
    let prompt = Prompt {
        id: program["id"].as_str().unwrap().into(),
        metadata: program["metadata"].to_string(),
        ..Prompt::default()
    };
    PromptTexts { prompt, texts: vec![text.to_owned()] }
}

fn completion(program: &Value) -> PromptTexts {
    entry(program, program["completion"].as_str().unwrap())
}

/// Returns the verdicts in the form of the file: a score, null for no answer, or the name of the failure's kind.
fn verdicts(programs: &[Value], keys: &[Result<Option<String>, Failure>]) -> Vec<Value> {
    let answers =
        programs.iter().zip(keys).filter_map(|(program, key)| Some(entry(program, key.as_ref().ok()?.as_ref()?)));
    // Answers of many questions are scored in one call.
    let scores = score(&open(1 << 20), &answers.collect::<Vec<_>>()).items;
    let mut scores =
        scores.into_iter().map(|score| score.map_or_else(|failure| failure.to_string().into(), Value::from));
    let verdict = |key: &Result<Option<String>, Failure>| match key {
        Ok(Some(_)) => scores.next().unwrap(),
        Ok(None) => Value::Null,
        Err(failure) if FailureKind::METERED.contains(&failure.kind) => "limit".into(),
        Err(failure) => failure.kind.name().into(),
    };
    keys.iter().map(verdict).collect()
}

#[test]
fn every_program_gets_its_verdict_for_the_same_fuel() {
    // A batch that is one question each, so that several run at once.
    let plugin = open(1);
    let programs = programs();
    assert!(programs.len() >= 200);
    let batch: Vec<PromptTexts> = programs.iter().map(completion).collect();
    let BatchResult { items, usage, log, .. } = read(&plugin, &batch);

    let mut wrong = Vec::new();
    for ((program, key), found) in programs.iter().zip(&items).zip(verdicts(&programs, &items)) {
        let wanted = &program["verdict"];
        let same = match (wanted.as_f64(), found.as_f64()) {
            (Some(wanted), Some(found)) => (wanted - found).abs() < 1e-9,
            _ => *wanted == found,
        };
        if !same {
            wrong.push(format!("{}: {found} in place of {wanted}; its key is {key:?}", program["id"]));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), log.join("\n"));

    let again = read(&plugin, &batch);
    assert_eq!(again.usage.fuel, usage.fuel, "{usage:?}");
    assert_eq!(again.items, items);
}

#[test]
fn the_plugin_has_the_current_sdk_file() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/python-tests/alft.py");
    assert!(
        std::fs::read_to_string(&file).unwrap() == alft_build::assets::PYTHON,
        "copy sdk's file over {}",
        file.display()
    );
}
