//! Fuzzes a model's folder whose weights, or the list of whose shards, are the input.
#![no_main]

use std::fs;

use alft_fuzz::model;

const WEIGHTS: &str = "model.safetensors";

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((name, content)) = model::chosen(&[WEIGHTS, "model.safetensors.index.json"], input) else { return };
    let folder = model::copied(model::LLAMA);
    if name != WEIGHTS {
        fs::rename(folder.join(WEIGHTS), folder.join("a.safetensors")).expect("the weights are there");
    }
    fs::write(folder.join(name), content).expect("the scratch folder can be written to");
    model::open(&folder);
});
