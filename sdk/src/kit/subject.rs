//! What is tested: a plugin behind the contract's calls, linked in or loaded.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::batch::PromptTexts;
use crate::bundle::{Bundle, Valuation};
use crate::dispatch;
use crate::roles::{Manifest, Objective, Plugin, Reader, Verifier};

/// What a plugin can be asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Completions to answer keys.
    Reader,
    /// Answers to scores.
    Verifier,
    /// Distributions of answers to rewards.
    Objective,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Reader, Self::Verifier, Self::Objective];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reader => "reader",
            Self::Verifier => "verifier",
            Self::Objective => "objective",
        })
    }
}

/// Why a call gave nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The plugin said that it could not do its work: its words.
    Error(String),
    /// It panicked, trapped, or was stopped at a limit.
    Crash(String),
    /// It gave what the contract does not allow: a wrong shape, NaN, a score out of range.
    Invalid(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(words) => write!(f, "it returned an error: {words}"),
            Self::Crash(words) | Self::Invalid(words) => f.write_str(words),
        }
    }
}

/// What came of a call over a whole batch.
#[derive(Debug)]
pub struct Reply<T> {
    /// One entry for each of the batch, if the plugin keeps its contract; or the first fault.
    pub result: Result<T, Fault>,
    /// What the call used; `None` where nothing is metered.
    pub fuel: Option<u64>,
}

/// A plugin under test: the calls of the contract, by configuration text and batch.
pub trait Subject {
    /// Whether it has the role.
    fn has(&self, role: Role) -> bool;
    /// `about.describe`.
    fn describe(&self, config: &str) -> Reply<Manifest>;
    /// `reader.read`.
    fn read(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<Option<String>>>>;
    /// `verifier.score`.
    fn score(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<f64>>>;
    /// `objective.evaluate`.
    fn evaluate(&self, config: &str, batch: &[Bundle]) -> Reply<Vec<Valuation>>;
}

type Call<I, O> = fn(&str, &[I]) -> crate::Result<Vec<O>>;

/// A plugin that is linked in. Panics are caught; an endless loop, an abort or a full stack is not.
#[derive(Debug, Clone, Copy)]
pub struct Linked {
    describe: fn(&str) -> crate::Result<Manifest>,
    read: Option<Call<PromptTexts, Vec<Option<String>>>>,
    score: Option<Call<PromptTexts, Vec<f64>>>,
    evaluate: Option<Call<Bundle, Valuation>>,
}

impl Linked {
    /// A plugin without roles as yet.
    pub fn new<P: Plugin>() -> Self {
        Self { describe: dispatch::describe::<P>, read: None, score: None, evaluate: None }
    }

    /// That is a reader too.
    pub fn reader<P: Reader>(self) -> Self {
        Self { read: Some(dispatch::read::<P>), ..self }
    }

    /// That is a verifier too.
    pub fn verifier<P: Verifier>(self) -> Self {
        Self { score: Some(dispatch::score::<P>), ..self }
    }

    /// That is an objective too.
    pub fn objective<P: Objective>(self) -> Self {
        Self { evaluate: Some(dispatch::evaluate::<P>), ..self }
    }
}

impl Subject for Linked {
    fn has(&self, role: Role) -> bool {
        match role {
            Role::Reader => self.read.is_some(),
            Role::Verifier => self.score.is_some(),
            Role::Objective => self.evaluate.is_some(),
        }
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        caught(|| (self.describe)(config))
    }

    fn read(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<Option<String>>>> {
        called(self.read, Role::Reader, config, batch)
    }

    fn score(&self, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<f64>>> {
        called(self.score, Role::Verifier, config, batch)
    }

    fn evaluate(&self, config: &str, batch: &[Bundle]) -> Reply<Vec<Valuation>> {
        called(self.evaluate, Role::Objective, config, batch)
    }
}

fn called<I, O>(call: Option<Call<I, O>>, role: Role, config: &str, batch: &[I]) -> Reply<Vec<O>> {
    match call {
        Some(call) => caught(|| call(config, batch)),
        None => Reply { result: Err(Fault::Invalid(format!("it is no {role}"))), fuel: None },
    }
}

fn caught<T>(call: impl FnOnce() -> crate::Result<T>) -> Reply<T> {
    let result = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| Fault::Error(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Fault::Crash(format!("it panicked: {}", text.unwrap_or("without a word"))))
        }
    };
    Reply { result, fuel: None }
}
