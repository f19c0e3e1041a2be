//! Fuzzes the readers of questions, worked examples, completions and games. An error names the file, and a line that is in
//! it; ids of questions differ, and what plugins see of a line is JSON.
#![no_main]

use std::collections::BTreeSet;

use alft_fuzz::scratch;
use alft_runtime::data::{read_completions, read_examples, read_games, read_questions};
use alft_runtime::{Error, Result};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let path = scratch::file("lines.jsonl", bytes);
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;

    if let Some(questions) = checked(read_questions(&path), lines) {
        let mut ids = BTreeSet::new();
        for question in &questions {
            assert_eq!(question.history.len(), question.prompts.len());
            for prompt in &question.prompts {
                assert!(ids.insert(&prompt.id), "{bytes:?}");
                assert!(serde_json::from_str::<serde_json::Value>(&prompt.metadata).is_ok_and(|json| json.is_object()));
            }
        }
    }
    if let Some(examples) = checked(read_examples(&path), lines) {
        assert!(examples.is_sorted_by(|(a, _), (b, _)| a < b) && examples.iter().all(|(line, _)| *line <= lines));
    }
    if let Some(answered) = checked(read_completions(&path), lines) {
        assert!(answered.iter().all(|answered| answered.completions.len() == answered.question.prompts.len()));
    }
    if let Some(games) = checked(read_games(&path), lines) {
        for game in games {
            assert!(game.line <= lines && game.prompts.len() == game.traces.len());
            let finite = game.traces.iter().flatten().all(|trace| trace.probability.is_finite());
            assert!(finite, "a probability is no number");
        }
    }
});

fn checked<T>(read: Result<T>, lines: usize) -> Option<T> {
    match read {
        Ok(read) => Some(read),
        Err(Error::DataLine { line, reason, .. }) => {
            assert!((1..=lines).contains(&line) && !reason.is_empty(), "line {line} of {lines}: {reason}");
            None
        }
        Err(error) => {
            assert!(matches!(error, Error::Data { .. }), "{error}");
            None
        }
    }
}
