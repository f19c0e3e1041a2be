//! Fuzzes the reader of `alft.lock`. What is read is written and read back the same; an error names the file.
#![no_main]

use alft_fuzz::scratch;
use alft_plugin_host::lock::{self, Lock};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    scratch::file(lock::NAME, bytes);
    match Lock::find(scratch::folder()) {
        Ok(lock) => {
            let written = lock.expect("the file is there").text();
            scratch::file(lock::NAME, written.as_bytes());
            let again = Lock::find(scratch::folder()).expect("a written lock can be read");
            assert_eq!(again.expect("the file is there").text(), written);
        }
        Err(error) => assert!(error.to_string().contains(lock::NAME), "{error}"),
    }
});
