//! A plugin's table in the run file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use alft_game::Scale;
use alft_game::group::GroupObjective;
use alft_plugin_host::Limits;
use serde::{Deserialize, Serialize};

use crate::weight::Weight;

/// A plugin: `path` of a built one, or `crate` to build as `form`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PluginEntry {
    /// What the run calls it, in metrics and messages.
    pub(crate) name: String,
    /// A component (.wasm) or a native library.
    pub(crate) path: Option<PathBuf>,
    /// The folder of a plugin crate, which is built first: cargo runs its build script and macros, and those of its
    /// dependencies, with all the rights of this program.
    #[serde(rename = "crate")]
    pub(crate) source: Option<PathBuf>,
    /// What a `crate` is built into.
    #[serde(default)]
    pub(crate) form: PluginForm,
    /// Multiplies its rewards. With 0 it is still called and measured.
    #[serde(default)]
    pub(crate) weight: Weight,
    /// The roles it plays in this run; all that it has if this is left out.
    pub(crate) roles: Option<Vec<RoleName>>,
    /// `"native"` lets a native library run, with all the rights of this program.
    pub(crate) trust: Option<Trust>,
    /// The BLAKE3 of the file, in hexadecimal: no other will do. A native library that is not built here needs it.
    pub(crate) hash: Option<String>,
    /// Where a native library runs: in a process of its own, unless it is built here from a `crate`.
    pub(crate) isolation: Option<Isolation>,
    /// The run's `limits`, with these in their place.
    #[serde(default)]
    limits: serde_json::Map<String, serde_json::Value>,
    /// What happens where it fails.
    #[serde(default)]
    pub(crate) on_error: OnError,
    /// The share of its latest items above which its failures end the run: see `Tally::rate`.
    #[serde(default = "max_failure_rate")]
    pub(crate) max_failure_rate: f64,
    /// What a verifier's scores of a group become before they are weighed; themselves if this is left out.
    pub(crate) group_objective: Option<GroupObjective>,
    /// How fast the multiplier of a constraint moves.
    #[serde(default = "multiplier_rate")]
    pub(crate) multiplier_rate: f64,
    /// The plugin's own table.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, serde_json::Value>,
}

fn multiplier_rate() -> f64 {
    0.5
}

/// Above one half, what is left to learn from was chosen by the failures more than by the plugin. Below it a plugin
/// that stumbles on hard answers, which is no reason to lose a night's run, can go on.
fn max_failure_rate() -> f64 {
    0.5
}

/// What happens where a plugin fails: on a completion that it reads, an answer that it verifies, a bundle that it
/// prices. A failure is counted whatever happens.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum OnError {
    /// The run ends.
    Abort,
    /// The samples that it failed on are left out; an objective is left out on the bundle that it failed on.
    #[default]
    DropSample,
    /// The whole group is left out: all samples of the prompt, or of the bundle where an objective failed.
    DropGroup,
    /// A verifier's score of the answer.
    Score(f64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PluginForm {
    #[default]
    Component,
    Native,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RoleName {
    Reader,
    Verifier,
    Objective,
}

/// Where a native library runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Isolation {
    /// In a child process, which is all that a crash or a hang costs.
    Process,
    /// In this one: no call costs more than its own work, and a crash ends the run.
    InProcess,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Trust {
    Native,
}

impl PluginEntry {
    /// What one of its calls may use, in a run with these limits.
    pub(crate) fn limits(&self, run: &Limits) -> Limits {
        self.limited(run).expect("the run file was checked")
    }

    fn limited(&self, run: &Limits) -> std::result::Result<Limits, String> {
        let mut limits = serde_json::to_value(run).expect("limits print");
        let all = limits.as_object_mut().expect("limits are a table");
        all.extend(self.limits.iter().map(|(key, value)| (key.clone(), value.clone())));
        let limits: Limits = serde_json::from_value(limits).map_err(|error| error.to_string())?;
        limits.check().map_err(|(_, why)| why)?;
        Ok(limits)
    }

    /// The first setting that cannot work: the key to point at, and why. `groups` is the smallest that the run will have.
    pub(crate) fn check(
        &self,
        run: &Limits,
        groups: usize,
        scale: Scale,
    ) -> std::result::Result<(), (&'static str, String)> {
        if self.path.is_some() == self.source.is_some() {
            return Err(("plugin", "it needs either `path` or `crate`, and not both".into()));
        }
        self.limited(run).map_err(|why| ("limits", why))?;
        match self.group_objective {
            Some(GroupObjective::PassAtK { k } | GroupObjective::MaxAtK { k })
                if !(1..=groups).contains(&(k as usize)) =>
            {
                let why = format!("k = {k}; groups have {groups} samples, so it takes 1 to {groups}");
                return Err(("group_objective", format!("group_objective: {why}")));
            }
            Some(GroupObjective::PassAtK { .. } | GroupObjective::MaxRl {}) if scale == Scale::Std => {
                let why = "dividing by the group's deviation undoes it; set game.advantage.scale = \"none\"";
                return Err(("group_objective", format!("group_objective: {why}")));
            }
            _ => {}
        }
        self.weight.check().map_err(|why| ("weight", why))?;
        let rate = self.multiplier_rate;
        if !(rate >= 0.0 && rate.is_finite()) {
            return Err(("multiplier_rate", format!("multiplier_rate = {rate}: it takes 0 or more")));
        }
        let rate = self.max_failure_rate;
        if !(0.0..=1.0).contains(&rate) {
            return Err(("max_failure_rate", format!("max_failure_rate = {rate}: it takes a share, 0 to 1")));
        }
        match self.on_error {
            OnError::Score(score) if !score.is_finite() => {
                Err(("on_error", format!("on_error: a score of {score} is no number")))
            }
            _ => Ok(()),
        }
    }
}
