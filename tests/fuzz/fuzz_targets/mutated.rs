//! Fuzzes the loader with mutated components.
#![no_main]

use alft_fuzz::mutate::Plan;

libfuzzer_sys::fuzz_target!(|plan: Plan| {
    alft_fuzz::loader::open(&plan.component());
});
