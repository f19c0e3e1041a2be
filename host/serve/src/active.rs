//! The plugins and settings in force, which an edit of the run file replaces as a whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use alft_game::estimator::SurprisalEstimator;
use alft_game::{AdvantageConfig, TargetConfig};
use alft_plugin_host::Worker;
use alft_plugin_host::lock::Lock;
use alft_runtime::config::{OnError, ServeFile};
use alft_runtime::plugins::{PinSource, PluginEvent, PluginSet, RunPlugin};
use alft_runtime::stats::{PluginTotals, StepStats, failure_counts};
use alft_text::Foreign;

use crate::error::Result;

/// The plugins and settings in force.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) plugins: PluginSet,
    pub(crate) estimator: SurprisalEstimator,
    pub(crate) target: TargetConfig,
    pub(crate) advantage: AdvantageConfig,
    /// The reader's file and configuration: two readers give the same answer different keys.
    pub(crate) reader: String,
    /// By plugin, since the plugins are in force.
    totals: Mutex<BTreeMap<String, PluginTotals>>,
}

impl Active {
    /// Builds, opens and checks the plugins of a run file. `lock_dir` is the folder in which `alft.lock` is looked for.
    pub(crate) fn open(
        file: &ServeFile,
        lock_dir: &Path,
        worker: &Worker,
        observer: &mut dyn FnMut(PluginEvent<'_>),
    ) -> Result<Self> {
        let lock = Lock::find(lock_dir).map_err(alft_runtime::Error::from)?;
        let pins = PinSource::Lock(lock.as_ref(), lock_dir);
        let plugins = PluginSet::open(&file.plugins, &file.limits, pins, worker, observer)?;
        let (_, reader) = plugins.reader();
        let entry = file.plugins.iter().find(|entry| entry.name == reader.name);
        let config = entry.map_or_else(String::new, |entry| {
            serde_json::to_string(&entry.config).expect("a configuration is plain data")
        });
        let reader = blake3::hash(format!("{} {config}", reader.hash).as_bytes()).to_hex()[..16].to_owned();
        Ok(Self {
            plugins,
            reader,
            estimator: file.game.estimator,
            target: file.target,
            advantage: file.game.advantage,
            totals: Mutex::default(),
        })
    }

    /// Adds a request's calls to the totals. Returns the failure that ends the request, if a plugin has
    /// `on_error = "abort"`.
    pub(crate) fn count(&self, stats: &StepStats) -> Option<String> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut aborted = None;
        for (plugin, stats) in self.plugins.iter().zip(&stats.plugins) {
            totals.entry(plugin.name.clone()).or_default().add(stats);
            let abort = |kind: &str| plugin.on_error == OnError::Abort && plugin.fails_by(kind);
            if let Some((_, (_, first))) = stats.failures.iter().find(|(kind, _)| abort(kind)) {
                aborted.get_or_insert_with(|| {
                    let name = Foreign::new(&plugin.name);
                    format!("plugin {name} failed: {first}; its `on_error` is \"abort\", so the request has no answer")
                });
            }
        }
        aborted
    }

    /// The plugins that fail on more of their latest items than `max_failure_rate`, each with the reason.
    pub(crate) fn failing(&self) -> Vec<String> {
        let totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let failing = |plugin: &RunPlugin| {
            let totals = totals.get(&plugin.name)?;
            let (role, rate) = totals.failure_rate().filter(|(_, rate)| *rate > plugin.max_failure_rate)?;
            let counts = failure_counts(&totals.failures);
            Some(format!("{} fails as {role} on {:.0}% of its latest items: {counts}", plugin.name, 100.0 * rate))
        };
        self.plugins.iter().filter_map(failing).collect()
    }
}
