//! Hints for names that do not exist.

use std::{
    fs,
    io::{Error, ErrorKind},
    path::Path,
};

/// Most names of a folder that are compared.
const MOST_NAMES: usize = 10_000;

/// Returns the known name that `wrong` was probably meant to be, if one is near.
pub fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let distance = |key: &str| strsim::damerau_levenshtein(wrong, key);
    let near = known.iter().copied().min_by_key(|key| distance(key))?;
    (distance(near) <= near.len().max(wrong.len()) / 2).then_some(near)
}

/// Adds a hint to the error of a file that is missing: a file of that folder with a similar name.
pub fn with_hint(path: &Path, error: Error) -> Error {
    let meant = match error.kind() {
        ErrorKind::NotFound => path.file_name().and_then(|name| similar(path.parent()?, name.to_str()?)),
        _ => None,
    };
    match meant {
        Some(name) => Error::new(error.kind(), format!("{error}; did you mean {name}?")),
        None => error,
    }
}

/// Returns the name in a folder that is most like `name`, if one is near.
fn similar(folder: &Path, name: &str) -> Option<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).ok()?.take(MOST_NAMES);
    let names: Vec<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    nearest(name, &names.iter().map(String::as_str).collect::<Vec<_>>()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_file_is_found() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("train.jsonl"), "").unwrap();
        let hint = |name: &str| {
            let path = folder.path().join(name);
            with_hint(&path, fs::read(&path).unwrap_err()).to_string()
        };
        assert!(hint("trian.jsonl").ends_with("; did you mean train.jsonl?"), "{}", hint("trian.jsonl"));
        assert!(!hint("else").contains("did you mean"), "{}", hint("else"));
        assert!(!hint("absent/train.jsonl").contains("did you mean"));
    }

    #[test]
    fn a_name_is_near_if_half_of_its_letters_are_right() {
        assert_eq!(nearest("stpes", &["seed", "steps"]), Some("steps"));
        assert_eq!(nearest("xyz", &["seed", "steps"]), None);
        assert_eq!(nearest("a", &[]), None);
    }
}
