//! The languages a plugin can be written in.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

/// The language of a plugin project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Language {
    /// A crate, built by cargo.
    #[serde(rename = "rust")]
    Rust,
    /// plugin.py, run by CPython inside the component.
    #[serde(rename = "python")]
    Python,
    /// plugin.js, run by QuickJS inside the component.
    #[serde(rename = "js")]
    JavaScript,
    /// plugin.c, which includes the header alft.h.
    #[serde(rename = "c")]
    C,
}

impl Language {
    /// Every language, the host's first.
    pub const ALL: [Self; 4] = [Self::Rust, Self::Python, Self::JavaScript, Self::C];

    /// Returns true for languages that compile to native libraries as well as to components.
    pub fn is_compiled(self) -> bool {
        matches!(self, Self::Rust | Self::C)
    }

    /// Returns the name used in plugin.toml and on the command line.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::JavaScript => "js",
            Self::C => "c",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
            Self::C => "C",
        })
    }
}

/// A name of no supported language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown language \"{0}\"; use rust, python, js or c")]
pub struct UnknownLanguage(pub String);

impl FromStr for Language {
    type Err = UnknownLanguage;

    fn from_str(key: &str) -> Result<Self, UnknownLanguage> {
        let found = Self::ALL.into_iter().find(|language| language.key() == key);
        found.ok_or_else(|| UnknownLanguage(key.to_owned()))
    }
}
