//! The names of plugins.

use std::fmt;

use serde::Deserialize;

/// The longest name, in bytes.
const LONGEST: usize = 64;

/// A plugin's name, which must be valid as the name of a file and of a crate.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl Name {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that no plugin can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{name}\" is no plugin name: use at most {LONGEST} lower-case letters, digits and single hyphens, the first a letter, \
     such as \"{suggestion}\""
)]
pub struct NameError {
    /// The name that was given.
    pub name: String,
    /// A similar name that is valid.
    pub suggestion: String,
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        let words = name.split('-').all(|word| !word.is_empty());
        let letters = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
        if words && letters && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.len() <= LONGEST {
            return Ok(Self(name));
        }
        let suggestion = suggest(&name);
        Err(NameError { name, suggestion })
    }
}

/// Returns a valid name close to `name`.
fn suggest(name: &str) -> String {
    // A capital within a word begins another word.
    let spaced = name.chars().flat_map(|c| c.is_uppercase().then_some('-').into_iter().chain(c.to_lowercase()));
    let kept: String = spaced.map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let words: Vec<&str> = kept.split('-').filter(|word| !word.is_empty()).collect();
    let mut name = words.join("-");
    name.truncate(LONGEST);
    match name.trim_end_matches('-') {
        name if name.starts_with(|c: char| c.is_ascii_lowercase()) => name.to_owned(),
        _ => "my-plugin".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_invalid_name_gets_a_valid_suggestion() {
        for (name, better) in [
            ("MyPlugin", "my-plugin"),
            ("two words", "two-words"),
            ("under_score", "under-score"),
            ("-x--y-", "x-y"),
            ("größe", "gr-e"),
            ("7up", "my-plugin"),
            ("", "my-plugin"),
            ("../../etc", "etc"),
        ] {
            assert_eq!(Name::try_from(name.to_owned()).unwrap_err().suggestion, better);
            Name::try_from(better.to_owned()).unwrap();
        }
    }
}
