//! Fuzzes the loader with mutated components.
#![no_main]

use alft_plugin_fuzz::mutate::Plan;

libfuzzer_sys::fuzz_target!(|plan: Plan| {
    alft_plugin_fuzz::open(&plan.component());
});
