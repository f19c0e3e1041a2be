//! Fuzzes the reader of `kit.json`, the data of a plugin's tests. What is read is written and read back the same, and gives
//! inputs for every role.
#![no_main]

use alft_conformance::load;
use alft_conformance::settings::Settings;
use alft_fuzz::scratch;
use alft_sdk::roles::Role;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = scratch::file(Settings::FILE, bytes);
    let settings = match Settings::read(&path) {
        Ok(settings) => settings,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let written = serde_json::to_vec(&settings).expect("settings can be written");
    let again = Settings::read(&scratch::file(Settings::FILE, &written)).expect("written settings can be read");
    assert_eq!(again, settings);
    for role in Role::ALL {
        assert_eq!(load::batch(&settings, role, 8, 100, 0).len(), 1);
    }
});
