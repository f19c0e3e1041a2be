//! The plugin under test, behind the contract's calls.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alft_sdk::batch::{Batch, Output, PromptTexts, Role, Roles};
use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::{Grader, Manifest, Objective, Plugin, Reader, Verifier, dispatch};

/// The reason why a call returned nothing that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// The plugin returned an error with this text.
    Error(String),
    /// The plugin panicked, trapped, or was stopped at a limit.
    Crash(String),
    /// The plugin broke the contract: a wrong shape, NaN, a score out of range.
    Invalid(String),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => write!(f, "it returned an error: {text}"),
            Self::Crash(text) | Self::Invalid(text) => f.write_str(text),
        }
    }
}

/// The result of one call.
#[derive(Debug)]
pub struct Reply<T> {
    /// The value that the call returned, or the first fault.
    pub result: Result<T, Fault>,
    /// Fuel that the call used; `None` where nothing is metered.
    pub fuel: Option<u64>,
}

/// A plugin under test: the calls of the contract, by configuration text and batch.
pub trait Subject {
    /// Returns the roles of the plugin.
    fn roles(&self) -> Roles;

    /// Calls `about.describe`.
    fn describe(&self, config: &str) -> Reply<Manifest>;

    /// Calls the batch's role.
    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output>;
}

type Function<I, O> = fn(&str, &[I]) -> alft_sdk::Result<Vec<O>>;

/// A plugin type that is linked into this program. A panic is caught; an endless loop, an abort or a stack overflow is
/// not.
#[derive(Debug, Clone, Copy)]
pub struct Linked {
    describe: fn(&str) -> alft_sdk::Result<Manifest>,
    read: Option<Function<PromptTexts, Vec<Option<String>>>>,
    grade: Option<Function<PromptTexts, Vec<f64>>>,
    score: Option<Function<PromptTexts, Vec<f64>>>,
    evaluate: Option<Function<Bundle, Valuation>>,
}

impl Linked {
    /// Makes a subject without roles.
    pub fn new<P: Plugin>() -> Self {
        Self { describe: dispatch::describe::<P>, read: None, grade: None, score: None, evaluate: None }
    }

    /// Adds the role of a reader.
    #[must_use]
    pub fn reader<P: Reader>(self) -> Self {
        Self { read: Some(dispatch::read::<P>), ..self }
    }

    /// Adds the role of a grader.
    #[must_use]
    pub fn grader<P: Grader>(self) -> Self {
        Self { grade: Some(dispatch::grade::<P>), ..self }
    }

    /// Adds the role of a verifier.
    #[must_use]
    pub fn verifier<P: Verifier>(self) -> Self {
        Self { score: Some(dispatch::score::<P>), ..self }
    }

    /// Adds the role of an objective.
    #[must_use]
    pub fn objective<P: Objective>(self) -> Self {
        Self { evaluate: Some(dispatch::evaluate::<P>), ..self }
    }
}

impl Subject for Linked {
    fn roles(&self) -> Roles {
        let has = |role: &Role| match role {
            Role::Reader => self.read.is_some(),
            Role::Grader => self.grade.is_some(),
            Role::Verifier => self.score.is_some(),
            Role::Objective => self.evaluate.is_some(),
        };
        Role::ALL.into_iter().filter(has).collect()
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        caught(|| (self.describe)(config))
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        let role = batch.role();
        match batch {
            Batch::Reader(entries) => called(self.read, role, config, entries, Output::Keys),
            Batch::Grader(entries) => called(self.grade, role, config, entries, Output::Scores),
            Batch::Verifier(entries) => called(self.score, role, config, entries, Output::Scores),
            Batch::Objective(bundles) => called(self.evaluate, role, config, bundles, Output::Valuations),
        }
    }
}

fn called<I, O>(
    function: Option<Function<I, O>>,
    role: Role,
    config: &str,
    entries: &[I],
    output: fn(Vec<O>) -> Output,
) -> Reply<Output> {
    match function {
        Some(function) => caught(|| function(config, entries).map(output)),
        None => Reply { result: Err(Fault::Invalid(format!("it is not a {role}"))), fuel: None },
    }
}

fn caught<T>(call: impl FnOnce() -> alft_sdk::Result<T>) -> Reply<T> {
    let result = match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(|error| Fault::Error(error.to_string())),
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().copied();
            let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
            Err(Fault::Crash(format!("it panicked: {}", text.unwrap_or("no message"))))
        }
    };
    Reply { result, fuel: None }
}
