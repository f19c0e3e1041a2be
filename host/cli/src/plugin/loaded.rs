//! A loaded plugin as what the kit tests: the one place that turns the host's results into the kit's.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use alft_conformance::{Fault, Reply, Subject};
use alft_plugin_host::{
    Bill, Called, Engine, Error, Failure, FailureKind, Form, Limits, NativeTrust, Plugin, Source, file,
};
use alft_sdk::Manifest;
use alft_sdk::batch::{Batch, Output, PromptTexts, Role, Roles};

/// A component or library, opened once for each configuration that it is asked under.
pub(super) struct Loaded {
    engine: Engine,
    path: PathBuf,
    trust_native: bool,
    limits: Limits,
    /// Under which to find its roles.
    config: String,
    opened: RefCell<BTreeMap<String, Rc<Plugin>>>,
    bill: Cell<Bill>,
}

impl Loaded {
    pub(super) fn new(engine: &Engine, path: PathBuf, trust_native: bool, limits: &Limits, config: String) -> Self {
        let (engine, limits) = (engine.clone(), limits.clone());
        Self { engine, path, trust_native, limits, config, opened: RefCell::default(), bill: Cell::default() }
    }

    pub(super) fn plugin(&self, config: &str) -> Result<Rc<Plugin>, Error> {
        if let Some(plugin) = self.opened.borrow().get(config) {
            return Ok(Rc::clone(plugin));
        }
        let source = Source {
            path: self.path.clone(),
            // Who says `--trust-native` means the file that is there.
            pin: self.trust_native.then(|| file::hash(&self.path, &self.limits)).transpose()?,
            native: if self.trust_native { NativeTrust::Process } else { NativeTrust::Refused },
            config: config.into(),
            limits: self.limits.clone(),
        };
        let plugin = Rc::new(Plugin::open(&source, &self.engine)?);
        self.opened.borrow_mut().insert(config.into(), Rc::clone(&plugin));
        Ok(plugin)
    }

    /// What its calls took, all together.
    pub(super) fn bill(&self) -> Bill {
        self.bill.get()
    }

    fn called<I, T>(&self, config: &str, batch: &[I], call: impl Fn(&Plugin, &[I]) -> Called<T>) -> Reply<Vec<T>> {
        match self.plugin(config) {
            Ok(plugin) => {
                let called = call(&plugin, batch);
                let mut bill = self.bill.get();
                bill.add(called.bill);
                self.bill.set(bill);
                let fuel = (plugin.form() == Form::Component).then_some(called.bill.fuel);
                Reply { result: called.items.into_iter().map(|item| item.map_err(fault)).collect(), fuel }
            }
            Err(error) => Reply { result: Err(refused(error)), fuel: None },
        }
    }
}

impl Subject for Loaded {
    fn roles(&self) -> Roles {
        let Ok(plugin) = self.plugin(&self.config) else { return Roles::default() };
        let has = |role: &Role| match role {
            Role::Reader => plugin.has(alft_plugin_host::Role::Reader),
            Role::Verifier => plugin.has(alft_plugin_host::Role::Verifier),
            Role::Objective => plugin.has(alft_plugin_host::Role::Objective),
            Role::Grader => false,
        };
        Role::ALL.into_iter().filter(has).collect()
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        Reply { result: self.plugin(config).map(|plugin| plugin.manifest().clone()).map_err(refused), fuel: None }
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        match batch {
            Batch::Reader(entries) => {
                mapped(by_question(self.called(config, entries, Plugin::read), entries), Output::Keys)
            }
            Batch::Verifier(entries) => {
                mapped(by_question(self.called(config, entries, Plugin::score), entries), Output::Scores)
            }
            Batch::Objective(bundles) => mapped(self.called(config, bundles, Plugin::evaluate), Output::Valuations),
            Batch::Grader(_) => Reply { result: Err(Fault::Invalid("it is not a grader".into())), fuel: None },
        }
    }
}

fn mapped<T>(reply: Reply<T>, output: fn(T) -> Output) -> Reply<Output> {
    Reply { result: reply.result.map(output), fuel: reply.fuel }
}

/// The host gives a result for each text of a batch, in order.
fn by_question<T>(reply: Reply<Vec<T>>, batch: &[PromptTexts]) -> Reply<Vec<Vec<T>>> {
    let result = reply.result.map(|items| {
        let mut items = items.into_iter();
        batch.iter().map(|question| items.by_ref().take(question.texts.len()).collect()).collect()
    });
    Reply { result, fuel: reply.fuel }
}

fn fault(failure: Failure) -> Fault {
    match failure.kind {
        // An answer as long as the text that it is read from is a matter of limits, and costs that text alone.
        FailureKind::Error | FailureKind::Output => Fault::Error(failure.detail),
        FailureKind::Shape | FailureKind::NonFinite | FailureKind::OutOfRange => Fault::Invalid(failure.detail),
        kind => Fault::Crash(format!("{kind}: {}", failure.detail)),
    }
}

fn refused(error: Error) -> Fault {
    match error {
        Error::Config { reason, .. } => Fault::Error(reason),
        Error::Describe { failure, .. } => fault(failure),
        Error::Untrusted { .. } => Fault::Invalid(
            "it is a native library, which runs with all the rights of this program: --trust-native lets it".into(),
        ),
        error => Fault::Invalid(error.to_string()),
    }
}
