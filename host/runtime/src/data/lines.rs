//! JSON lines.

use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Reads the lines of a file that are not blank, with their numbers from 1. `help` says how a right line looks.
///
/// # Errors
/// The file cannot be read or is empty; a line is not UTF-8 or not of the type `T`.
pub fn read_lines<T: DeserializeOwned>(path: &Path, help: &'static str) -> Result<Vec<(usize, T)>> {
    let bytes = alft_fs::read(path, alft_fs::MAX_DATA)
        .map_err(|error| Error::Data { path: path.into(), reason: alft_fs::with_hint(path, error).to_string() })?;
    if let Some(reason) = other_format(&bytes) {
        return Err(Error::Data { path: path.into(), reason });
    }
    // The mark that some editors put at the beginning.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let wrong = |line: usize, reason: String| Error::DataLine { path: path.into(), line, reason, help };
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        wrong(line, "the line is not UTF-8".into())
    })?;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        if lines.is_empty() && line.trim_start().starts_with('[') {
            let reason = "the file is a JSON array; write one object a line, as `jq -c '.[]'` does".to_owned();
            return Err(wrong(index + 1, reason));
        }
        if line.trim_end().contains('\r') {
            let reason =
                "the lines end in CR alone, as on old Macs; end them in LF, as `tr '\\r' '\\n'` does".to_owned();
            return Err(wrong(index + 1, reason));
        }
        lines.push((index + 1, serde_json::from_str(line).map_err(|error| wrong(index + 1, reason(&error)))?));
    }
    if lines.is_empty() {
        return Err(Error::Data { path: path.into(), reason: format!("the file is empty; {help}") });
    }
    Ok(lines)
}

/// Tells a file of another format by its first bytes.
fn other_format(bytes: &[u8]) -> Option<String> {
    const TABLES: [(&[u8], &str); 3] = [
        (b"PAR1", "a Parquet table; write its rows as JSON lines"),
        (b"ARROW1", "an Arrow table; write its rows as JSON lines"),
        (b"<", "an HTML or XML page and no JSON lines; download the file itself"),
    ];
    let table = TABLES.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, noun)| *noun);
    alft_fs::other_format(bytes).or(table).map(|noun| format!("the file is {noun}"))
}

/// serde's reason with the column alone: each line is parsed by itself, so to serde every line is line 1.
fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    match text.strip_suffix(&place) {
        Some(reason) => format!("{reason} (column {})", error.column()),
        None => text,
    }
}
