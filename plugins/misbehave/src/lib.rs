//! Does on demand what a plugin should not, so that anyone can see what the host makes of it.
//!
//! As a verifier it misbehaves on answers that contain `on`; as an objective, on bundles that have such an answer.
//! Everything else it scores 0.

use std::process::Command;

use alft_sdk::diagnostics::{Level, log};
use alft_sdk::{Bundle, Error, Manifest, Objective, Plugin, Prompt, Result, Valuation, Verifier, export, manifest};

/// What to do.
#[derive(Debug, Clone, Copy, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Never return.
    Loop,
    /// Panic.
    Panic,
    /// Return an error.
    Error,
    /// Score NaN.
    Nan,
    /// Score +∞.
    Infinity,
    /// Score 2, though 0 to 1 is promised.
    OutOfRange,
    /// Give a reward of 1e300 (as an objective; as a verifier, score 2).
    Enormous,
    /// Ask for memory until there is none.
    Memory,
    /// Recurse until the stack ends.
    Recursion,
    /// Return one reward too few (as an objective; as a verifier, NaN).
    Short,
    /// Abort the process it runs in.
    Abort,
    /// End the process it runs in, as if all were well.
    Exit,
    /// Say a hundred thousand lines to its author, and then score 0.
    Flood,
    /// Print to standard output, and then score 0.
    Print,
    /// Return an error of 64 MB.
    Huge,
    /// Go on as two processes, if it is one at all, and then score 0.
    Fork,
    /// Leave a process behind, and return an error that says which.
    Leave,
}

/// The plugin's table in the run file.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Misbehave {
    /// What to do.
    pub deed: Deed,
    /// In which answers. Empty means all.
    #[serde(default)]
    pub on: String,
}

impl Plugin for Misbehave {
    fn manifest(&self) -> Manifest {
        Manifest { score_range: Some((0.0, 1.0)), ..manifest!("Does on demand what a plugin should not.") }
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
        let utility = match self.deed {
            Deed::Short if on => rewards[0].pop().unwrap_or(0.0),
            Deed::Enormous if on => {
                rewards.iter_mut().flatten().take(1).for_each(|reward| *reward = 1e300);
                0.0
            }
            _ if on => self.misbehave()?,
            _ => 0.0,
        };
        Ok(Valuation { utility, rewards, violation: None })
    }
}

impl Misbehave {
    fn misbehave(&self) -> Result<f64> {
        Ok(match self.deed {
            Deed::Loop => spin(),
            Deed::Panic => panic!("told to panic"),
            Deed::Error => return Err("told to fail".into()),
            Deed::Nan | Deed::Short => f64::NAN,
            Deed::Infinity => f64::INFINITY,
            Deed::OutOfRange | Deed::Enormous => 2.0,
            Deed::Memory => hoard(),
            Deed::Recursion => recurse(1.0),
            Deed::Abort => std::process::abort(),
            Deed::Exit => std::process::exit(0),
            Deed::Flood => {
                (0..100_000).for_each(|line| log(Level::Info, &format!("line {line}")));
                0.0
            }
            Deed::Print => {
                println!("{}", "\u{1}".repeat(100));
                0.0
            }
            Deed::Huge => return Err("a very long story ".repeat(4 << 20).into()),
            Deed::Fork => {
                fork();
                0.0
            }
            Deed::Leave => {
                let sleeper =
                    Command::new("sleep").arg("600").spawn().map_err(|error| Error::new(error.to_string()))?;
                return Err(format!("process {}", sleeper.id()).into());
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

#[expect(unconditional_recursion, reason = "that is what was asked for")]
fn recurse(x: f64) -> f64 {
    std::hint::black_box(recurse(std::hint::black_box(x + 1.0)) + 1.0)
}

export!(Misbehave: Verifier + Objective);
