//! What a user sees while a run goes on: a bar on a terminal, a line now and then elsewhere. All on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Progress through `total` steps of one phase.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    name: &'static str,
    total: u64,
    begun: Instant,
    first: u64,
    said: Instant,
}

/// Without a terminal, lines come this often at most.
const SILENCE: Duration = Duration::from_secs(5);

impl Progress {
    /// Begins at step `first` of `total`.
    pub(crate) fn begin(name: &'static str, first: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style =
                ProgressStyle::with_template("{prefix:>10} {bar:24} {pos}/{len} {per_sec} left {eta}  {wide_msg}");
            let bar = ProgressBar::new(total).with_prefix(name).with_position(first);
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        let now = Instant::now();
        Self { bar, name, total, begun: now, first, said: now }
    }

    /// `step` steps are done; `message` says how it goes.
    pub(crate) fn at(&mut self, step: u64, message: &str) {
        match &self.bar {
            Some(bar) => {
                bar.set_position(step);
                bar.set_message(message.to_owned());
            }
            None if self.said.elapsed() >= SILENCE || step == self.total => {
                let rate = (step - self.first) as f64 / self.begun.elapsed().as_secs_f64();
                let left = (self.total - step) as f64 / rate;
                eprintln!("{:>10} {step}/{} {rate:.1}/s left {left:.0}s  {message}", self.name, self.total);
                self.said = Instant::now();
            }
            None => {}
        }
    }

    /// A line that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    /// Leaves the bar as it is.
    pub(crate) fn end(self) {
        if let Some(bar) = self.bar {
            bar.abandon();
        }
    }
}
