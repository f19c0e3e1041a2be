//! Progress of long work: a bar on a terminal, a line now and then elsewhere. All on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use alft_runtime::plugins::PluginEvent;
use alft_runtime::record::GameLine;
use alft_runtime::stats::Averages;
use alft_runtime::{Phase, RunEvent};
use alft_text::Foreign;
use console::Term;
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
            // The line is made here and not by the template, which cuts what is too long in the middle of a number.
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::new(total).with_position(first).with_style(style)
        });
        let now = Instant::now();
        Self { bar, name: name.to_owned(), total, begun: now, first, last_line: now }
    }

    /// Shows that `step` steps are done; `message` says how the work goes, in parts with two spaces between them, the most
    /// important one first.
    pub(crate) fn at(&mut self, step: u64, message: &str) {
        let rate = (step - self.first) as f64 / self.begun.elapsed().as_secs_f64();
        let left = (self.total - step) as f64 / rate;
        match &self.bar {
            Some(bar) => {
                let (_, width) = Term::stderr().size();
                let done = Done { name: &self.name, step, total: self.total, rate, left };
                bar.set_position(step);
                bar.set_message(done.line(&shown(message), usize::from(width)));
            }
            None if self.last_line.elapsed() >= SILENCE || step == self.total => {
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

/// The work that is done and left.
struct Done<'a> {
    name: &'a str,
    step: u64,
    total: u64,
    /// Steps a second.
    rate: f64,
    /// Seconds.
    left: f64,
}

/// Columns of the bar, and the fewest that show something.
const BAR: usize = 24;
const SHORTEST_BAR: usize = 8;

impl Done<'_> {
    /// Returns a line of at most `width` columns. The steps come first, then the parts of the message and the time that is
    /// left, in the order of their importance: a part that does not fit is left out as a whole. The bar takes the room that
    /// remains.
    fn line(&self, message: &str, width: usize) -> String {
        let Self { name, step, total, rate, left } = self;
        let head = format!("{name} {step}/{total}");
        let mut free = width.saturating_sub(head.chars().count());
        let mut parts: Vec<String> = message.split("  ").map(str::to_owned).collect();
        // After the first two numbers, how long it takes is the next thing that people look for.
        parts.insert(parts.len().min(2), format!("left {}", duration(*left)));
        parts.push(format!("{rate:.1}/s"));
        parts.retain(|part| {
            let columns = part.chars().count() + 2;
            let fits = columns <= free && columns > 2;
            free -= if fits { columns } else { 0 };
            fits
        });
        let mut bar = String::new();
        if free > SHORTEST_BAR {
            let columns = BAR.min(free - 1);
            let full = (columns as u64 * step / total.max(&1)) as usize;
            bar = format!(" {}{}", "█".repeat(full), "░".repeat(columns - full));
        }
        let parts: String = parts.into_iter().map(|part| format!("  {part}")).collect();
        format!("{name}{bar} {step}/{total}{parts}")
    }
}

/// Returns a number of seconds in the unit that people would say it in.
fn duration(seconds: f64) -> String {
    match seconds {
        _ if !seconds.is_finite() => "?".into(),
        ..100.0 => format!("{seconds:.0}s"),
        ..6_000.0 => format!("{:.0}m", seconds / 60.0),
        _ => format!("{:.0}h", seconds / 3600.0),
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
                self.line(&format!("plugin {}: {description}", Foreign::new(name)));
            }
            RunEvent::RunDir(path) => self.line(&format!("run folder {}", Foreign::path(&path))),
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
    let Averages { reward, accuracy, entropy, jsd, .. } = line.averages;
    let mut parts = vec![format!("reward {reward:.3}")];
    parts.extend(accuracy.map(|accuracy| format!("accuracy {:.1}%", 100.0 * accuracy)));
    parts.push(format!("failures {failures}"));
    parts.push(format!("KL {:.4}", line.kl));
    parts.push(format!("entropy {entropy:.3}"));
    parts.extend(jsd.map(|jsd| format!("JSD {jsd:.3}")));
    parts.push(format!("plugins {:.1}%", 100.0 * line.time.plugins / line.time.step));
    parts.join("  ")
}

fn averages_message(averages: &Averages) -> String {
    let mut parts = Vec::new();
    parts.extend(averages.accuracy.map(|accuracy| format!("accuracy {:.1}%", 100.0 * accuracy)));
    parts.push(format!("entropy {:.3}", averages.entropy));
    parts.extend(averages.jsd.map(|jsd| format!("JSD {jsd:.3}")));
    parts.join("  ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str =
        "reward 0.512  accuracy 51.2%  failures 3  KL 0.0123  entropy 1.234  JSD 0.123  plugins 12.3%";

    fn at(width: usize) -> String {
        Done { name: "game", step: 123, total: 1000, rate: 0.5, left: 1754.0 }.line(MESSAGE, width)
    }

    #[test]
    fn a_line_of_any_width_has_whole_numbers_alone_and_the_important_ones_first() {
        let parts: Vec<&str> = MESSAGE.split("  ").chain(["left 29m", "0.5/s"]).collect();
        for width in 0..250 {
            let line = at(width);
            assert!(line.chars().count() <= width || line == "game 123/1000", "{width}: {line}");
            let mut shown = line.split("  ").skip(1);
            assert!(shown.all(|part| parts.contains(&part)), "{width}: {line}");
        }
        assert_eq!(at(40), "game 123/1000  reward 0.512  left 29m");
        assert_eq!(at(80), "game 123/1000  reward 0.512  accuracy 51.2%  left 29m  failures 3  KL 0.0123");
        let all = at(160);
        assert!(all.starts_with("game ██") && parts.iter().all(|part| all.contains(part)), "{all}");
    }
}
