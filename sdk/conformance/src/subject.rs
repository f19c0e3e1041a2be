//! The plugin under test, behind the contract's calls.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use alft_sdk::call::Output;
use alft_sdk::linked::{self, Method};
use alft_sdk::roles::{Batch, Roles};
use alft_sdk::{Manifest, Plugin, dispatch};

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

/// A plugin type that is linked into this program. A panic is caught; an endless loop, an abort or a stack overflow is
/// not.
pub struct Linked {
    roles: Roles,
    describe: fn(&str) -> alft_sdk::Result<Manifest>,
    call: Box<Call>,
}

type Call = dyn Fn(&str, &Batch<'_>) -> alft_sdk::Result<Output>;

impl Linked {
    /// Makes a subject with the roles of [`methods!`](alft_sdk::methods!).
    pub fn new<P: Plugin + 'static>(methods: Vec<Method<P>>) -> Self {
        let roles = linked::roles(&methods);
        let call =
            move |config: &str, batch: &Batch<'_>| linked::call(&dispatch::configure::<P>(config)?, &methods, batch);
        Self { roles, describe: dispatch::describe::<P>, call: Box::new(call) }
    }
}

impl fmt::Debug for Linked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked").field("roles", &self.roles).finish_non_exhaustive()
    }
}

impl Subject for Linked {
    fn roles(&self) -> Roles {
        self.roles
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        caught(|| (self.describe)(config))
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        if !self.roles.has(batch.role()) {
            return Reply { result: Err(Fault::Invalid(format!("it is not a {}", batch.role()))), fuel: None };
        }
        caught(|| (self.call)(config, batch))
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
