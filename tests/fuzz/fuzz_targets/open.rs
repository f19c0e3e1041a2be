//! Fuzzes the loader with any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    alft_fuzz::loader::open(bytes);
});
