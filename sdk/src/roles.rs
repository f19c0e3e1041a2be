//! The roles a plugin can play, one trait each. The struct that implements them is the plugin's configuration.

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::bundle::{Bundle, Prompt, Valuation};

/// Something with a configuration and a name.
///
/// The implementing struct is read from the plugin's table in the run file; give optional keys a
/// `#[serde(default)]` and refuse unknown ones with `#[serde(deny_unknown_fields)]`.
pub trait Plugin: DeserializeOwned {
    /// Who this is and what it promises under this configuration. Start from [`manifest!`](crate::manifest!).
    fn manifest(&self) -> Manifest;

    /// Refuses values that the types let through. An error should name the key and the remedy.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// What is the final answer of this completion?
pub trait Reader: Plugin {
    /// The answer in canonical form: two completions have the same answer exactly when their keys are equal.
    /// `None` where no answer can be read. The prompt comes without its reference.
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>>;
}

/// What is this answer worth? A linear utility: U(ν) = Σ score(z) ν(z).
pub trait Verifier: Plugin {
    /// A finite score, within the manifest's `score_range` if that promises one. *Wrong* is a score; an error means
    /// that no score could be found.
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64>;
}

/// What is this *distribution* of answers worth, and what reward does each answer get?
pub trait Objective: Plugin {
    /// The utility of the bundle's answer marginals, and its gradient as rewards.
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation>;
}

/// Who a plugin is and what it promises.
#[derive(Debug, Clone, PartialEq, serde::Serialize, Deserialize)]
pub struct Manifest {
    /// The crate's name.
    pub name: String,
    /// The crate's version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Verifier: every score lies in this interval, ends included. The host refuses a score outside.
    pub score_range: Option<(f64, f64)>,
    /// Objective: the utility is concave in the answer marginals, so the game has an equilibrium.
    pub concave: bool,
    /// Objective: the rewards are the bundle size times the gradient of the utility.
    pub gradient: bool,
    /// Objective: it needs [`Answer::reference_probability`](crate::Answer::reference_probability). The host then samples the reference policy
    /// too.
    pub needs_reference: bool,
}

impl Manifest {
    /// Whether no finite number lies in the range that it promises.
    pub fn range_is_empty(&self) -> bool {
        let finite = |(low, high): (f64, f64)| low <= high && low < f64::INFINITY && high > f64::NEG_INFINITY;
        self.score_range.is_some_and(|range| !finite(range))
    }
}

/// A [`Manifest`] named after the crate it is written in, with one sentence of summary and no promises.
#[macro_export]
macro_rules! manifest {
    ($summary:expr) => {
        $crate::Manifest {
            name: env!("CARGO_PKG_NAME").into(),
            version: env!("CARGO_PKG_VERSION").into(),
            summary: $summary.into(),
            score_range: None,
            concave: false,
            gradient: false,
            needs_reference: false,
        }
    };
}

/// Why a plugin could not do its work. Never a verdict on an answer: a wrong answer is a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// An error that reads as `message` in the host's report.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<String> for Error {
    fn from(message: String) -> Self {
        Self(message)
    }
}

impl From<&str> for Error {
    fn from(message: &str) -> Self {
        Self(message.into())
    }
}

/// The result of a plugin's work.
pub type Result<T> = std::result::Result<T, Error>;
