//! The reasons why a plugin cannot take its part in a run.

use std::path::PathBuf;

use alft_sdk::roles::Role;
use alft_text::Foreign;

/// The reason why a plugin cannot take its part in a run.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// The plugin cannot be opened.
    #[error(transparent)]
    Open(#[from] alft_plugin_host::Error),

    /// The plugin's file is gone, and the run's copy of it was changed.
    #[error(
        "{} is gone, and the run's own copy {} is damaged: its hash is not its name; put the plugin's file back",
        Foreign::path(path),
        Foreign::path(kept)
    )]
    Kept {
        /// The plugin's file.
        path: PathBuf,
        /// The run's copy.
        kept: PathBuf,
    },

    /// The plugin's file was changed since the run used it, and cannot be opened.
    #[error(
        "its file is not the one that the run used; the run's own copy of that is {}, to be put in the file's place",
        Foreign::path(kept)
    )]
    Spoilt {
        /// The run's copy.
        kept: PathBuf,
        /// The reason why the file cannot be opened.
        source: alft_plugin_host::Error,
    },

    /// The plugin cannot be fetched from its registry.
    #[error(transparent)]
    Registry(#[from] alft_registry::Error),

    /// The plugin cannot be built from its source.
    #[error(transparent)]
    Build(#[from] alft_build::Error),

    /// The run file names a role that the plugin does not have.
    #[error("the plugin does not have the role {0}; take it out of the plugin's `roles`")]
    Role(Role),

    /// No plugin rewards anything.
    #[error(
        "every plugin is a reader, and readers reward nothing, so nothing would be learnt; add a plugin that rewards"
    )]
    NoReward,

    /// No plugin reads answers.
    #[error("none of the plugins reads answers; add one with the reader role, such as plugins/arithmetic")]
    NoReader,

    /// The order of the questions goes by a verifier's scores, and there is none.
    #[error(
        "none of the plugins is a verifier, and game.questions = \"adaptive\" goes by the scores of one; add a verifier, or \
         leave the questions shuffled"
    )]
    NoVerifier,

    /// Several plugins read answers.
    #[error(
        "more than one plugin would read the answers; take the role from all but one with `roles = [\"verifier\"]`"
    )]
    SeveralReaders,

    /// `on_error = { score = x }` for a role that has no score to replace.
    #[error(
        "on_error = {{ score = {0:?} }} is for roles that score alone: a completion without an answer and a bundle without \
         rewards have no one score to take; restrict the plugin's `roles`"
    )]
    ScoreOnError(f64),

    /// `on_error = { score = x }` or `on_limit = { score = x }` outside the promised range.
    #[error("{key} = {{ score = {score:?} }}, but the plugin promises scores from {low:?} to {high:?}")]
    ScoreOutOfRange {
        /// The key of the plugin's table.
        key: &'static str,
        /// The run file's score.
        score: f64,
        /// The lowest score that the plugin promises.
        low: f64,
        /// The highest score that the plugin promises.
        high: f64,
    },

    /// `on_limit` for a role whose items have no one score.
    #[error(
        "on_limit = {{ score = {0:?} }} is for graders and verifiers, and for readers, which then read no answer: a bundle \
         without rewards has no one score to take; restrict the plugin's `roles`"
    )]
    LimitOfObjective(f64),

    /// `on_limit` for a native library.
    #[error(
        "on_limit is for components: a native library has no fuel, memory and stack that are metered; leave it out"
    )]
    LimitOfLibrary,

    /// The plugin's file changed between two reads.
    #[error("its file {} was changed while it was opened; try again", Foreign::path(_0))]
    ChangedFile(PathBuf),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_numbers_have_few_digits() {
        let error = PluginError::ScoreOutOfRange { key: "on_error", score: 1.0, low: 0.0, high: 5e-324 };
        let text = "on_error = { score = 1.0 }, but the plugin promises scores from 0.0 to 5e-324";
        assert_eq!(error.to_string(), text);
    }
}
