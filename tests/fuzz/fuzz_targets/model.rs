//! Fuzzes a model's folder in which one text file is the input.
#![no_main]

use std::fs;

use alft_fuzz::model;

const NAMES: [&str; 5] =
    ["config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"];

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((name, content)) = model::chosen(&NAMES, input) else { return };
    let folder = model::copied(model::LLAMA);
    fs::write(folder.join(name), content).expect("the scratch folder can be written to");
    model::open(&folder);
});
