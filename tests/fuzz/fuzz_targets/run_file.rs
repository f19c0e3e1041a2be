//! Fuzzes the run file's reader with a text and, after a line `---`, overrides. A run file that can be read is written and
//! read back the same; an error has a message, and its place lies in the text.
#![no_main]

use std::path::Path;

use alft_fuzz as _;
use alft_runtime::config::RunFile;

libfuzzer_sys::fuzz_target!(|input: &str| {
    let (text, overrides) = input.split_once("\n---\n").unwrap_or((input, ""));
    let overrides: Vec<String> = overrides.lines().map(str::to_owned).collect();
    let path = Path::new("/folder/run.toml");
    let run = match RunFile::parse(path, text, &overrides) {
        Ok(run) => run,
        Err(error) => {
            assert!(!error.message.is_empty() && error.name.starts_with("/folder/run.toml"), "{error:?}");
            assert!(error.span.is_none_or(|span| error.text.get(span).is_some()), "the place is not in the text");
            return;
        }
    };
    let written = toml::to_string(&run).expect("a run file that was read can be written");
    let again = RunFile::parse(path, &written, &[]).unwrap_or_else(|error| panic!("{error:?}\n{written}"));
    assert_eq!(toml::to_string(&again).expect("a run file can be written twice"), written);
});
