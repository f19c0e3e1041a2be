//! A plugin: a configuration that describes itself. Its manifest, and the error that its functions return.

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A plugin: a configuration that describes itself. Implement one or more of the role traits besides.
///
/// The struct is deserialized from the plugin's table of the run file. Give optional keys `#[serde(default)]`, and
/// refuse unknown keys with `#[serde(deny_unknown_fields)]`.
pub trait Plugin: DeserializeOwned {
    /// Returns the plugin's name and its promises under this configuration. Start from
    /// [`manifest!`](crate::manifest!).
    fn manifest(&self) -> Manifest;

    /// Checks values that the types cannot. An error should name the key and the remedy.
    fn check(&self) -> Result<()> {
        Ok(())
    }
}

/// The name and the promises of a plugin.
#[derive(Debug, Clone, PartialEq, serde::Serialize, Deserialize)]
pub struct Manifest {
    /// Name of the crate.
    pub name: String,
    /// Version of the crate.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// Verifier and grader: an interval that contains every score, both ends included. The host refuses a score
    /// outside.
    pub score_range: Option<(f64, f64)>,
    /// Objective: the utility is concave in the answer marginals, so the game has an equilibrium.
    pub concave: bool,
    /// Objective: the rewards are the bundle size times the gradient of the utility.
    pub gradient: bool,
    /// Objective: it uses [`Answer::reference_probability`](crate::Answer::reference_probability). The host then
    /// samples the reference policy too.
    pub needs_reference: bool,
}

impl Manifest {
    /// Returns true if `score_range` contains no finite number.
    pub fn range_is_empty(&self) -> bool {
        let finite = |(low, high): (f64, f64)| low <= high && low < f64::INFINITY && high > f64::NEG_INFINITY;
        self.score_range.is_some_and(|range| !finite(range))
    }
}

/// Makes a [`Manifest`] with the name and version of the crate that calls the macro, a summary, and no promises.
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

/// The reason why a plugin could not do its work. An error is never a verdict: a wrong answer is a score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// Makes an error that is reported as `message`.
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
