//! A run that is killed again and again ends as one left alone.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{Small, succeed};

const KILLS: u64 = 50;
const STEPS: u64 = 30;
const SETTINGS: [&str; 3] = ["train.steps=30", "train.checkpoint_every=5", "target.dynamics=average"];

#[test]
fn fifty_times_and_resumed_is_the_same_as_left_alone() {
    let small = Small::prebuilt();
    let with = |mut command: std::process::Command| {
        command.args(SETTINGS.iter().flat_map(|set| ["--set", set]));
        command
    };
    succeed(&mut with(small.train("alone")));

    let run = small.path().join("run");
    let lines = || fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default().lines().count() as u64;
    // Warm start and game together: the kills are spread over them, each a random moment after a line came.
    let all = 20 + STEPS;
    let mut random = 1u64;
    let mut ended = 0;
    for kill in 0..KILLS {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let command = if run.join("state/state.safetensors").exists() {
            small.resume("run")
        } else {
            // Killed before there was anything to resume.
            let _ = fs::remove_dir_all(&run);
            small.train("run")
        };
        let mut child = with(command).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let begun = Instant::now();
        // The last ten come at the end: in the measurement, the export, the summary.
        let wanted = (kill * all / (KILLS - 10)).min(all);
        while lines() < wanted && child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < Duration::from_secs(120), "it never came to line {wanted}");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros((random >> 33) % 60_000));
        ended += u64::from(child.try_wait().unwrap().is_some());
        child.kill().unwrap();
        child.wait().unwrap();
        is_readable(&run);
    }
    assert!(ended <= 10, "only at the end may it have been done before it was killed: {ended}");

    succeed(&mut with(small.resume("run")));
    assert_eq!(small.metrics("run"), small.metrics("alone"));
    assert_eq!(small.read("run/samples.jsonl"), small.read("alone/samples.jsonl"));
    assert_eq!(small.summary("run"), small.summary("alone"));
    let ledger = |of: &str| fs::read(small.path().join(of).join("ledger")).unwrap();
    assert!(ledger("run") == ledger("alone"), "every call is on file, once");
    let weights = |of: &str| fs::read(small.path().join(of).join("model/model.safetensors")).unwrap();
    assert!(weights("run") == weights("alone"), "the same model, bit for bit");
    for folder in [run.clone(), run.join("state"), run.join("checkpoints")] {
        let left = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let drafts: Vec<String> = left.filter(|name| name.starts_with('.')).collect();
        assert!(drafts.is_empty(), "what kills left lying about is swept up: {drafts:?}");
    }
    assert_eq!(fs::read_dir(run.join("checkpoints")).unwrap().count(), 6, "none was lost to a kill");
}

/// What a kill leaves: records whose whole lines are JSON and that hold what the state counts; a ledger of whole frames, but
/// for the last; models that are complete or not there.
fn is_readable(run: &Path) {
    if let Ok(mut frames) = alft_plugin_host::ledger::read(&run.join("ledger")) {
        frames.by_ref().for_each(|frame| drop(frame.unwrap_or_else(|error| panic!("{error}"))));
    }
    let state = run.join("state/state.safetensors");
    if state.exists() {
        let position: Value = serde_json::from_str(header(&state)["__metadata__"]["note"].as_str().unwrap()).unwrap();
        for name in ["metrics", "samples", "diagnostics"] {
            let text = fs::read(run.join(format!("{name}.jsonl"))).unwrap();
            let counted = position["lengths"][name].as_u64().unwrap() as usize;
            let (counted, rest) = text.split_at(counted);
            assert!(counted.is_empty() || counted.ends_with(b"\n"), "{name}: the state counts whole lines");
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            for line in counted.split(|byte| *byte == b'\n').chain(rest[..whole].split(|byte| *byte == b'\n')) {
                assert!(line.is_empty() || serde_json::from_slice::<Value>(line).is_ok(), "{name}: a broken line");
            }
        }
    }
    let checkpoints = fs::read_dir(run.join("checkpoints")).into_iter().flatten().map(|entry| entry.unwrap().path());
    let models = checkpoints.chain([run.join("model")]).filter(|path| path.is_dir());
    // Drafts have names of their own.
    for model in models.filter(|path| path.extension().is_none()) {
        header(&model.join("model.safetensors"));
        for name in ["config.json", "tokenizer.json"] {
            let text = fs::read_to_string(model.join(name)).unwrap();
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}/{name}", model.display());
        }
    }
}

/// The header of a safetensors file, of which every tensor's bytes are there.
fn header(path: &Path) -> Value {
    let bytes = fs::read(path).unwrap();
    let size = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: Value = serde_json::from_slice(&bytes[8..8 + size]).unwrap();
    let tensors = header.as_object().unwrap().values();
    let end = tensors.filter_map(|tensor| tensor["data_offsets"][1].as_u64()).max().unwrap();
    assert_eq!(bytes.len() as u64, 8 + size as u64 + end, "{}", path.display());
    header
}
