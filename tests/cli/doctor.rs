//! `alft doctor` on a machine without a GPU.

use serde_json::Value;

use crate::support::{Small, alft, fail, succeed};

#[test]
fn the_machine_is_shown_for_people_and_for_programs() {
    let folder = tempfile::tempdir().unwrap();
    let output = succeed(alft(folder.path()).args(["doctor", "--json"]));
    let machine: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(machine["threads"].as_u64().unwrap() >= 1);
    let text = String::from_utf8(succeed(alft(folder.path()).arg("doctor")).stdout).unwrap();
    assert!(text.contains(machine["device"].as_str().unwrap()) && text.contains("instruction sets"), "{text}");
}

#[test]
#[cfg(not(feature = "cuda"))]
fn a_build_without_cuda_says_so() {
    let folder = tempfile::tempdir().unwrap();
    fail(alft(folder.path()).args(["doctor", "--gpu"]), 6, &["this build has no CUDA", "--features cuda"]);
}

#[test]
fn a_cpu_refuses_bf16() {
    let small = Small::new();
    let settings = ["--set", "model.device=cpu", "--set", "model.dtype=bf16"];
    fail(small.train("x").args(settings), 6, &["`dtype` must be \"f32\" on a CPU", "model.device"]);
}
