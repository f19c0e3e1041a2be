//! Commits a chosen fault, to test how a host reacts.
//!
//! The verifier commits the fault on answers that contain `on`, and the objective on bundles with such an answer. All other
//! answers score 0.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use alft_sdk::diagnostics::{Level, log};
use alft_sdk::serde::Deserialize;
use alft_sdk::{Bundle, Error, Manifest, Objective, Plugin, Prompt, Result, Valuation, Verifier, export, manifest};

/// A fault.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "kebab-case")]
pub enum Fault {
    /// Never returns.
    Loop,
    /// Panics.
    Panic,
    /// Returns an error.
    Error,
    /// Scores NaN.
    Nan,
    /// Scores +∞.
    Infinity,
    /// Scores 2, outside of the manifest's range of 0 to 1.
    OutOfRange,
    /// Objective: returns a reward of 1e300. Verifier: scores 2.
    Enormous,
    /// Allocates memory until there is none.
    Memory,
    /// Recurses until the stack overflows.
    Recursion,
    /// Objective: returns one reward too few. Verifier: scores NaN.
    Short,
    /// Aborts its process.
    Abort,
    /// Exits its process with status 0.
    Exit,
    /// Logs a hundred thousand messages, then scores 0.
    Flood,
    /// Prints to standard output, then scores 0.
    Print,
    /// Returns an error of 64 MB.
    Huge,
    /// Forks its process on Unix, then scores 0 in both.
    Fork,
    /// Leaves a process behind, and returns an error with its id.
    Leave,
    /// Leaves a process behind that holds the streams of this one open, and aborts.
    Orphan,
    /// Verifier: pays the fifth answer of a call, whatever it is, and scores 0 before it.
    Patient,
}

/// The plugin's table in the run file.
#[derive(Debug, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Misbehave {
    /// The fault to commit.
    pub fault: Fault,
    /// Text of the answers on which to commit it. Empty means all answers.
    #[serde(default)]
    pub on: String,
}

impl Plugin for Misbehave {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!("Commits a chosen fault.") }
    }
}

impl Verifier for Misbehave {
    fn score(&self, _: &Prompt, answer: &str) -> Result<f64> {
        if answer.contains(&self.on) { self.misbehave() } else { Ok(0.0) }
    }
}

impl Objective for Misbehave {
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation> {
        let mut rewards = bundle.rewards(|_, _| 0.0);
        let on = bundle.groups.iter().flat_map(|group| &group.answers).any(|answer| answer.key.contains(&self.on));
        let utility = match self.fault {
            Fault::Short if on => rewards[0].pop().unwrap_or(0.0),
            Fault::Enormous if on => {
                rewards.iter_mut().flatten().take(1).for_each(|reward| *reward = 1e300);
                0.0
            }
            _ if on => self.misbehave()?,
            _ => 0.0,
        };
        Ok(Valuation { utility, rewards, violation: None })
    }
}

/// Items of the patient fault so far.
static CALLS: AtomicU64 = AtomicU64::new(0);

impl Misbehave {
    fn misbehave(&self) -> Result<f64> {
        Ok(match self.fault {
            Fault::Loop => spin(),
            Fault::Panic => panic!("told to panic"),
            Fault::Error => return Err("told to fail".into()),
            Fault::Nan | Fault::Short => f64::NAN,
            Fault::Infinity => f64::INFINITY,
            Fault::OutOfRange | Fault::Enormous => 2.0,
            Fault::Memory => hoard(),
            Fault::Recursion => recurse(1.0),
            Fault::Abort => std::process::abort(),
            Fault::Exit => std::process::exit(0),
            Fault::Flood => {
                (0..100_000).for_each(|line| log(Level::Info, &format!("line {line}")));
                0.0
            }
            Fault::Print => {
                println!("{}", "\u{1}".repeat(100));
                0.0
            }
            Fault::Huge => return Err("a very long story ".repeat(4 << 20).into()),
            Fault::Fork => {
                fork();
                0.0
            }
            // A component has a fresh instance in each call.
            Fault::Patient => f64::from(u8::from(CALLS.fetch_add(1, Ordering::Relaxed) == 4)),
            Fault::Leave => {
                let sleeper =
                    Command::new("sleep").arg("600").spawn().map_err(|error| Error::new(error.to_string()))?;
                return Err(format!("process {}", sleeper.id()).into());
            }
            Fault::Orphan => {
                Command::new("sleep").arg("600").spawn().map_err(|error| Error::new(error.to_string()))?;
                std::process::abort();
            }
        })
    }
}

#[cfg(unix)]
fn fork() {
    unsafe extern "C" {
        safe fn fork() -> i32;
    }
    fork();
}

#[cfg(not(unix))]
fn fork() {}

fn spin() -> f64 {
    let mut x = 0u64;
    loop {
        x = std::hint::black_box(x.wrapping_add(1));
    }
}

fn hoard() -> f64 {
    let mut hoard = Vec::new();
    loop {
        hoard.push(std::hint::black_box(Vec::<u8>::with_capacity(1 << 20)));
    }
}

#[expect(unconditional_recursion, reason = "a stack overflow is the fault")]
fn recurse(x: f64) -> f64 {
    std::hint::black_box(recurse(std::hint::black_box(x + 1.0)) + 1.0)
}

export!(Misbehave: Verifier + Objective);
