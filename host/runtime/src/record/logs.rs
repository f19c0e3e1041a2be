//! The append-only records of a run.

use std::collections::BTreeMap;

use alft_plugin_host::FailureKind;
use alft_plugin_host::ledger::Ledger;
use serde::{Deserialize, Serialize};

use super::jsonl::JsonlWriter;
use super::run_dir::RunDir;
use crate::config::OnError;
use crate::error::{Error, Result};
use crate::event::RunEvent;
use crate::plugins::PluginSet;
use crate::stats::{PluginTotals, StepStats, failure_counts};

/// The append-only records of a run.
#[derive(Debug)]
pub(crate) struct RunLogs {
    pub(crate) metrics: JsonlWriter,
    pub(crate) samples: JsonlWriter,
    diagnostics: JsonlWriter,
    ledger: Ledger,
}

/// Bytes of each record that a saved state counts on.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct LogLengths {
    metrics: u64,
    samples: u64,
    diagnostics: u64,
    ledger: u64,
}

/// A line of a plugin's diagnostics.
#[derive(Debug, Serialize)]
struct DiagnosticsLine<'a> {
    step: u64,
    plugin: &'a str,
    line: &'a str,
}

impl RunLogs {
    /// Opens the records of a folder and cuts them to the lengths that a state counted.
    pub(crate) fn open(dir: &RunDir, lengths: LogLengths) -> Result<Self> {
        Ok(Self {
            metrics: JsonlWriter::open(dir.metrics(), lengths.metrics)?,
            samples: JsonlWriter::open(dir.samples(), lengths.samples)?,
            diagnostics: JsonlWriter::open(dir.diagnostics(), lengths.diagnostics)?,
            ledger: Ledger::open(&dir.ledger(), lengths.ledger)?,
        })
    }

    /// Records the plugins' calls and diagnostics of step `step`, adds them to the totals, and tells of each kind of
    /// failure when it first comes.
    ///
    /// # Errors
    /// A record cannot be written, or a plugin's failures end the run: by `on_error = "abort"` or by
    /// `max_failure_rate`.
    pub(crate) fn plugin_calls(
        &mut self,
        step: u64,
        plugins: &PluginSet,
        stats: &StepStats,
        totals: &mut BTreeMap<String, PluginTotals>,
        observer: &mut dyn FnMut(&RunEvent<'_>),
    ) -> Result<()> {
        for (plugin, stats) in plugins.iter().zip(&stats.plugins) {
            for (batch, calls) in &stats.calls {
                let loaded = plugin.scorer.loaded().expect("only a loaded plugin makes calls");
                self.ledger.record(step, &plugin.name, loaded, batch, calls)?;
            }
            for line in &stats.log {
                self.diagnostics.append(&DiagnosticsLine { step, plugin: &plugin.name, line })?;
            }
            let totals = totals.entry(plugin.name.clone()).or_default();
            let manifest = plugin.scorer.manifest();
            let failed = format!("plugin {} ({} {}) failed", plugin.name, manifest.name, manifest.version);
            for (kind, (_, first)) in &stats.failures {
                let message = format!("{failed} at step {step}: {first}");
                if *kind == FailureKind::System.name() {
                    return Err(Error::System { message });
                }
                if plugin.on_error == OnError::Abort && plugin.fails_by(kind) {
                    let rule = format!("plugin.{}.on_error is \"abort\"", plugin.name);
                    return Err(Error::Failing { message, rule });
                }
                if !totals.failures.contains_key(*kind) {
                    observer(&RunEvent::PluginFailed(&message));
                }
            }
            totals.add(stats);
            if let Some((role, rate)) = totals.failure_rate().filter(|(_, rate)| *rate > plugin.max_failure_rate) {
                let counts = failure_counts(&totals.failures);
                let message = format!(
                    "{failed} as {role} on {:.0}% of its latest items by step {step}; in all {counts}",
                    100.0 * rate
                );
                let rule = format!("plugin.{}.max_failure_rate is {}", plugin.name, plugin.max_failure_rate);
                return Err(Error::Failing { message, rule });
            }
        }
        Ok(())
    }

    /// Hands all lines to the system, so that readers of the files see them.
    pub(crate) fn flush(&mut self) -> Result<()> {
        self.metrics.flush()?;
        self.samples.flush()?;
        self.diagnostics.flush()?;
        Ok(self.ledger.flush()?)
    }

    /// Closes the records without the lines that were not handed to the system yet.
    pub(crate) fn discard(self) {
        let Self { metrics, samples, diagnostics, ledger } = self;
        [metrics, samples, diagnostics].into_iter().for_each(JsonlWriter::discard);
        ledger.discard();
    }

    /// Waits until all lines are on disk, and returns the records' bytes.
    pub(crate) fn sync(&mut self) -> Result<LogLengths> {
        Ok(LogLengths {
            metrics: self.metrics.sync()?,
            samples: self.samples.sync()?,
            diagnostics: self.diagnostics.sync()?,
            ledger: self.ledger.sync()?,
        })
    }
}
