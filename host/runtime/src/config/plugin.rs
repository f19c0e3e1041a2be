//! A plugin's table in the run file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alft_game::{GroupObjective, Scale};
use alft_plugin_host::{FailureKind, Limits};
use alft_registry::{Reference, SignedBy};
use alft_sdk::roles::Role;
use serde::{Deserialize, Serialize};

use super::paths::make_absolute;
use super::source::InvalidSetting;
use super::weight::{MOST, Weight};

/// A `[[plugin]]` table: the `path` of a built plugin, or a `crate` to build as `form`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PluginEntry {
    /// The plugin's name in metrics and messages.
    pub name: String,
    /// A component (`.wasm`) or a native library; or the reference of a component in a registry, `oci://…`.
    pub path: Option<PathBuf>,
    /// The signer that a component from a registry must have.
    pub signed_by: Option<SignedBy>,
    /// The run's own copy of a component from a registry: a resumed run fetches nothing.
    #[serde(skip)]
    pub(crate) kept: Option<PathBuf>,
    /// The folder of a plugin project, which is built first: cargo runs its build script and macros, and those of its
    /// dependencies, with all the rights of this program.
    #[serde(rename = "crate")]
    pub source: Option<PathBuf>,
    /// The form that a `crate` is built into.
    #[serde(default)]
    pub form: PluginForm,
    /// The factor of the plugin's rewards. A plugin of weight 0 is still called and measured.
    #[serde(default)]
    pub weight: Weight,
    /// The roles that the plugin plays in this run; all that it has by default.
    pub roles: Option<Vec<Role>>,
    /// `"native"` lets a native library run, with all the rights of this program.
    pub trust: Option<Trust>,
    /// The BLAKE3 of the file, in hexadecimal: no other file is accepted. A native library that is not built by the run
    /// needs a hash here or in `alft.lock`.
    pub hash: Option<String>,
    /// The process in which a native library runs: by default a child process, or this one if the run builds the library
    /// from a `crate`.
    pub isolation: Option<Isolation>,
    /// Limits of this plugin's calls, in place of the run's.
    #[serde(default)]
    limits: serde_json::Map<String, serde_json::Value>,
    /// The consequence of a failure.
    #[serde(default)]
    pub on_error: OnError,
    /// The worth of an item on which the plugin used up its fuel, memory or stack; by default that is a failure.
    pub on_limit: Option<OnLimit>,
    /// The share of the plugin's latest items above which its failures end the run; see
    /// [`PluginTotals::failure_rate`](crate::stats::PluginTotals::failure_rate).
    #[serde(default = "max_failure_rate")]
    pub max_failure_rate: f64,
    /// Replaces a verifier's scores of a group before they are weighted; the scores themselves by default.
    pub group_objective: Option<GroupObjective>,
    /// The step size of dual ascent on the multiplier of a constraint.
    #[serde(default = "multiplier_rate")]
    pub multiplier_rate: f64,
    /// The plugin's own table.
    #[serde(default)]
    pub config: BTreeMap<String, serde_json::Value>,
}

fn multiplier_rate() -> f64 {
    PluginEntry::MULTIPLIER_RATE
}

fn max_failure_rate() -> f64 {
    PluginEntry::MAX_FAILURE_RATE
}

/// The consequence of a plugin's failure on a completion, an answer or a bundle. Every failure is counted, whatever the
/// consequence.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// The run ends.
    Abort,
    /// The samples that the plugin failed on are dropped; an objective has no part in the bundle that it failed on.
    #[default]
    DropSample,
    /// The whole group is dropped: all samples of the prompt, or of the bundle where an objective failed.
    DropGroup,
    /// The answer or completion gets this score. For verifiers and graders.
    Score(f64),
}

impl OnError {
    /// The score to use in place of a failure, where the run file has one.
    pub(crate) fn score(self) -> Option<f64> {
        match self {
            Self::Score(score) => Some(score),
            Self::Abort | Self::DropSample | Self::DropGroup => None,
        }
    }
}

/// The worth of a completion or answer on which the plugin used up its fuel, memory or stack, in place of a failure: for
/// plugins that run what the policy wrote, where the policy's program did so and not the plugin. It is counted all the
/// same, but not as a failed item. A deadline depends on the machine and stays a failure.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnLimit {
    /// A grader's or verifier's score. A reader has read no answer.
    pub score: f64,
    /// True if a trap is the item's doing too: for plugins whose interpreter a program can destroy.
    #[serde(default)]
    pub traps: bool,
}

impl OnLimit {
    /// Returns the kinds of failure that have the score.
    pub fn kinds(self) -> impl Iterator<Item = FailureKind> {
        FailureKind::METERED.into_iter().chain(self.traps.then_some(FailureKind::Trap))
    }
}

/// The form that a plugin's source is built into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PluginForm {
    /// A WebAssembly component, for the sandbox.
    #[default]
    Component,
    /// A native library, which needs `trust = "native"`.
    Native,
}

/// The process in which a native library runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Isolation {
    /// A child process: a crash or a hang costs the calls on a batch and nothing else.
    Process,
    /// This process: calls are cheapest, and a crash ends the run.
    InProcess,
}

/// The word that lets a native library run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trust {
    /// The library may run with all the rights of this program.
    Native,
}

impl PluginEntry {
    /// The default of `multiplier_rate`.
    pub const MULTIPLIER_RATE: f64 = 0.5;

    /// The default of `max_failure_rate`. Above one half, the failures choose what is left to learn from more than the
    /// plugin does. Below it, a plugin that fails on hard answers should not cost a night's run.
    pub const MAX_FAILURE_RATE: f64 = 0.5;

    /// Returns true for a component in a registry.
    pub fn is_in_registry(&self) -> bool {
        self.path.as_ref().is_some_and(|path| Reference::is_reference(path))
    }

    /// The reference of a component in a registry; `None` for a plugin in a file or folder.
    ///
    /// # Errors
    /// Fails if the path begins as a reference and is none. The path of a run file was checked.
    pub fn reference(&self) -> Result<Option<Reference>, alft_registry::Error> {
        self.path.as_ref().and_then(|path| Reference::of_path(path)).transpose()
    }

    /// Lets the plugin's paths begin at `folder`. A reference has no folder.
    pub(super) fn make_paths_absolute(&mut self, folder: &Path) {
        let files = self.path.iter_mut().filter(|path| !Reference::is_reference(path));
        files.chain(&mut self.source).for_each(|path| make_absolute(path, folder));
        self.signed_by.iter_mut().for_each(|signed_by| signed_by.make_absolute(folder));
    }

    /// The limits of the plugin's calls in a run with the limits `run`.
    pub fn limits(&self, run: &Limits) -> Limits {
        self.merged_limits(run).expect("the run file was checked")
    }

    fn merged_limits(&self, run: &Limits) -> Result<Limits, InvalidSetting> {
        let mut limits = serde_json::to_value(run).expect("limits print");
        let all = limits.as_object_mut().expect("limits are a table");
        all.extend(self.limits.iter().map(|(key, value)| (key.clone(), value.clone())));
        let wrong = |key: &str, reason: String| InvalidSetting::new(self.key(key), reason);
        let limits: Limits =
            serde_json::from_value(limits).map_err(|error| wrong("limits", format!("cannot be read: {error}")))?;
        limits.check().map_err(|invalid| InvalidSetting::limit(&self.key("limits"), &invalid))?;
        Ok(limits)
    }

    /// The qualified name of one of the plugin's keys.
    fn key(&self, key: &str) -> String {
        format!("plugin.{}.{key}", self.name)
    }

    /// Finds the first setting that cannot work. `group` is the smallest group size of the run.
    pub(super) fn check(&self, run: &Limits, group: usize, scale: Scale) -> Result<(), InvalidSetting> {
        let wrong = |key: &str, reason: String| Err(InvalidSetting::new(self.key(key), reason));
        if self.name.trim().is_empty() {
            return Err(InvalidSetting::new("plugin.name", "must not be empty: messages and metrics go by it"));
        }
        if self.path.is_some() == self.source.is_some() {
            return wrong("path", "or `crate` must be given, and not both".into());
        }
        if let Err(error) = self.reference() {
            return wrong("path", format!("cannot be used: {error}"));
        }
        if self.signed_by.is_some() && !self.is_in_registry() {
            return wrong(
                "signed_by",
                "is for a component in a registry, with a `path` that begins with `oci://`".into(),
            );
        }
        self.merged_limits(run)?;
        match self.group_objective {
            Some(GroupObjective::PassAtK { k } | GroupObjective::MaxAtK { k })
                if !(1..=group).contains(&(k as usize)) =>
            {
                return wrong("group_objective.k", format!("must be from 1 to {group}, the size of a group, not {k}"));
            }
            Some(GroupObjective::PassAtK { .. } | GroupObjective::MaxRl {}) if scale == Scale::Group => {
                let reason = "is undone by dividing by the group's deviation; set game.advantage.scale = \"none\"";
                return wrong("group_objective", reason.into());
            }
            _ => {}
        }
        self.weight.check().map_err(|reason| InvalidSetting::new(self.key("weight"), reason))?;
        let rate = self.multiplier_rate;
        if !(0.0..=MOST).contains(&rate) {
            return wrong("multiplier_rate", format!("must be 0 or more and at most {MOST:e}, not {rate:?}"));
        }
        let rate = self.max_failure_rate;
        if !(0.0..=1.0).contains(&rate) {
            return wrong("max_failure_rate", format!("must be a share from 0 to 1, not {rate:?}"));
        }
        for (key, score) in [("on_error", self.on_error.score()), ("on_limit", self.on_limit.map(|limit| limit.score))]
        {
            if let Some(score) = score.filter(|score| !(-MOST..=MOST).contains(score)) {
                return wrong(key, format!("must have a finite score of at most {MOST:e}, not {score:?}"));
            }
        }
        Ok(())
    }
}
