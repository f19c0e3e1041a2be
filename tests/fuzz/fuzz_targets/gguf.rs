//! Fuzzes the reader of GGUF files.
#![no_main]

use alft_fuzz::{model, scratch};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    model::open(&scratch::file("model.gguf", bytes));
});
