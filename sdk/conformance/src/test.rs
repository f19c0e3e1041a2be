//! A test, and how it runs.

use alft_sdk::roles::Role;

use crate::case::Case;
use crate::outcome::Outcome;
use crate::settings::Settings;
use crate::subject::Subject;

/// Name of the test that a plugin without a role fails for that.
pub(crate) const DESCRIBES_ITSELF: &str = "describes-itself";

/// A named test.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// Name for `--only`.
    pub name: &'static str,
    /// Behaviour of a plugin that passes, as the rest of a sentence.
    pub shows: &'static str,
    /// Roles that the test is for: it is skipped if the plugin has none of them. Empty for a test of every plugin.
    pub roles: &'static [Role],
    run: fn(&Case<'_>) -> Result<(), Outcome>,
}

pub(crate) const fn test(
    name: &'static str,
    shows: &'static str,
    roles: &'static [Role],
    run: fn(&Case<'_>) -> Result<(), Outcome>,
) -> Test {
    Test { name, shows, roles, run }
}

/// A plugin under test, with the data that the tests need.
#[derive(Clone, Copy)]
pub struct Trial<'a> {
    /// The plugin.
    pub subject: &'a dyn Subject,
    /// The same source in its other form.
    pub twin: Option<&'a dyn Subject>,
    /// The data of `kit.json`.
    pub settings: &'a Settings,
    /// Seed of every random input. Equal seeds give equal outcomes.
    pub seed: u64,
}

impl std::fmt::Debug for Trial<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trial").field("settings", &self.settings).field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Test {
    /// Runs the test under each configuration of the settings. Returns the most severe outcome.
    pub fn run(&self, trial: &Trial<'_>) -> Outcome {
        let configs = trial.settings.configurations();
        let outcomes = configs.iter().map(|config| match self.run_under(trial, config) {
            Outcome::Failed(reason) if configs.len() > 1 => Outcome::Failed(format!("under {config}: {reason}")),
            Outcome::Crashed(reason) if configs.len() > 1 => Outcome::Crashed(format!("under {config}: {reason}")),
            outcome => outcome,
        });
        outcomes.max_by_key(Outcome::severity).expect("settings have a configuration")
    }

    fn run_under(&self, trial: &Trial<'_>, config: &str) -> Outcome {
        let Trial { subject, twin, settings, seed } = *trial;
        let roles = subject.roles();
        if !self.roles.is_empty() && !self.roles.iter().any(|role| roles.has(*role)) {
            let names: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
            return Outcome::Skipped(format!("it is not a {}", names.join(" or ")));
        }
        // Most tests make no call to a plugin without a role, and must not pass for that.
        if self.name != DESCRIBES_ITSELF && roles.is_empty() {
            return match subject.describe(config).result {
                Ok(_) => Outcome::Failed("it has no role".into()),
                Err(fault) => fault.into(),
            };
        }
        match (self.run)(&Case { subject, twin, settings, config, seed }) {
            Ok(()) => Outcome::Passed,
            Err(outcome) => outcome,
        }
    }
}
