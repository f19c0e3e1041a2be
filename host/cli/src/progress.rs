//! Progress of long work: a bar on a terminal, a line now and then elsewhere. All on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use alft_runtime::plugins::PluginEvent;
use alft_runtime::record::GameLine;
use alft_runtime::stats::Averages;
use alft_runtime::{Phase, RunEvent};
use indicatif::{ProgressBar, ProgressStyle};

use crate::error::chain;
use crate::print::shown;

/// Progress through the steps of one phase.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    name: String,
    total: u64,
    begun: Instant,
    first: u64,
    last_line: Instant,
}

/// Without a terminal, lines come this often at most.
const SILENCE: Duration = Duration::from_secs(5);

impl Progress {
    /// Begins at step `first` of `total`.
    pub(crate) fn begin(name: &str, first: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{prefix:>10} {bar:24} {pos}/{len} {per_sec} left {eta}  {wide_msg}");
            let bar = ProgressBar::new(total).with_prefix(name.to_owned()).with_position(first);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        Self { bar, name: name.to_owned(), total, begun: now, first, last_line: now }
    }

    /// Shows that `step` steps are done; `message` says how the work goes.
    pub(crate) fn at(&mut self, step: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(shown(message));
            }
            None if self.last_line.elapsed() >= SILENCE || step == self.total => {
                let rate = (step - self.first) as f64 / self.begun.elapsed().as_secs_f64();
                let left = (self.total - step) as f64 / rate;
                tell!("{:>10} {step}/{} {rate:.1}/s left {left:.0}s  {message}", self.name, self.total);
                self.last_line = Instant::now();
            }
            None => {}
        }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| tell!("{line}")),
            None => tell!("{line}"),
        }
    }

    /// Runs what prints to standard output, which may be the same terminal.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Leaves the bar as it is.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}

/// Shows the events of a run.
#[derive(Debug, Default)]
pub(crate) struct RunReporter {
    progress: Option<Progress>,
}

impl RunReporter {
    /// Shows an event.
    pub(crate) fn event(&mut self, event: &RunEvent<'_>) {
        match event {
            RunEvent::Device(device) => self.line(&format!("alft {} on {device}", env!("CARGO_PKG_VERSION"))),
            RunEvent::Download(download) => self.line(&download.to_string()),
            RunEvent::SampleMemory(memory) => self.line(&memory.to_string()),
            RunEvent::UpdateMemory(memory) => self.line(&memory.to_string()),
            RunEvent::Plugin(PluginEvent::Build { event, .. }) => self.line(&event.to_string()),
            RunEvent::Plugin(PluginEvent::Opened { name, description }) => {
                self.line(&format!("plugin {name}: {description}"));
            }
            RunEvent::RunDir(path) => self.line(&format!("run folder {}", path.display())),
            RunEvent::PhaseStarted { phase, done, total } => self.begin(*phase, *done, *total),
            RunEvent::WarmStartStep(line) => self.at(line.step, &format!("loss {:.3}", line.loss)),
            RunEvent::GameStep(line) => self.at(line.step, &game_message(line)),
            RunEvent::Evaluated { done, averages } => self.at(*done, &averages_message(averages)),
            RunEvent::PhaseFinished => {
                if let Some(progress) = self.progress.take() {
                    progress.end();
                }
            }
            RunEvent::PluginFailed(message) => self.line(message),
            RunEvent::Warning(warning) => self.line(&format!("warning: {warning}")),
            RunEvent::ConfigChanged { step, changes, replayed } => {
                let again = if *replayed { ", as before" } else { "" };
                self.line(&format!("from step {step} on{again}: {}", changes.join("; ")));
            }
            RunEvent::ConfigRefused(error) => self.line(&format!("the run file's change is refused: {}", chain(error))),
            _ => {}
        }
    }

    fn begin(&mut self, phase: Phase, done: u64, total: u64) {
        self.progress = Some(Progress::begin(&phase.to_string(), done, total));
    }

    fn at(&mut self, step: u64, message: &str) {
        if let Some(progress) = &mut self.progress {
            progress.at(step, message);
        }
    }

    /// Prints a line that stays.
    pub(crate) fn line(&self, line: &str) {
        match &self.progress {
            Some(progress) => progress.line(line),
            None => tell!("{line}"),
        }
    }
}

fn game_message(line: &GameLine) -> String {
    let failures: u64 = line.plugins.values().flat_map(|plugin| plugin.failures.values()).sum();
    format!(
        "reward {:.3}  {}  KL {:.4}  plugins {:.1}%  failures {failures}",
        line.averages.reward,
        averages_message(&line.averages),
        line.kl,
        100.0 * line.time.plugins / line.time.step,
    )
}

fn averages_message(averages: &Averages) -> String {
    let mut parts = Vec::new();
    parts.extend(averages.accuracy.map(|accuracy| format!("accuracy {:.1}%", 100.0 * accuracy)));
    parts.push(format!("entropy {:.3}", averages.entropy));
    parts.extend(averages.jsd.map(|jsd| format!("JSD {jsd:.3}")));
    parts.join("  ")
}
