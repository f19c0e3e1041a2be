//! A loaded plugin as what the kit tests: the one place that turns the host's results into the kit's.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use alft_plugin_host::{Called, Engine, Error, Failure, FailureKind, Form, Limits, NativeTrust, Plugin, Role, Source};
use alft_sdk::Manifest;
use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::kit::{self, Fault, Reply, Subject};
use alft_sdk::linked::Question;

/// A component or library, opened once for each configuration that it is asked under.
pub(super) struct Loaded {
    engine: Engine,
    path: PathBuf,
    trust_native: bool,
    /// Under which to find its roles.
    config: String,
    opened: RefCell<BTreeMap<String, Rc<Plugin>>>,
}

impl Loaded {
    pub(super) fn new(engine: &Engine, path: PathBuf, trust_native: bool, config: String) -> Self {
        Self { engine: engine.clone(), path, trust_native, config, opened: RefCell::default() }
    }

    pub(super) fn plugin(&self, config: &str) -> Result<Rc<Plugin>, Error> {
        if let Some(plugin) = self.opened.borrow().get(config) {
            return Ok(Rc::clone(plugin));
        }
        let path = self.path.clone();
        // Whoever names a file and trusts it on the same command line means the file that is there now.
        let bytes = std::fs::read(&path).map_err(|reason| Error::Read { path: path.clone(), reason })?;
        let source = Source {
            path,
            pin: Some(blake3::hash(&bytes).to_hex().to_string()),
            native: if self.trust_native { NativeTrust::InProcess } else { NativeTrust::Refused },
            config: config.into(),
            limits: Limits::default(),
        };
        let plugin = Rc::new(Plugin::open(&source, &self.engine)?);
        self.opened.borrow_mut().insert(config.into(), Rc::clone(&plugin));
        Ok(plugin)
    }

    fn called<I, T>(&self, config: &str, batch: &[I], call: impl Fn(&Plugin, &[I]) -> Called<T>) -> Reply<Vec<T>> {
        match self.plugin(config) {
            Ok(plugin) => {
                let called = call(&plugin, batch);
                let fuel = (plugin.form() == Form::Component).then_some(called.bill.fuel);
                Reply { result: called.items.into_iter().map(|item| item.map_err(fault)).collect(), fuel }
            }
            Err(error) => Reply { result: Err(refused(error)), fuel: None },
        }
    }
}

impl Subject for Loaded {
    fn has(&self, role: kit::Role) -> bool {
        let role = match role {
            kit::Role::Reader => Role::Reader,
            kit::Role::Verifier => Role::Verifier,
            kit::Role::Objective => Role::Objective,
        };
        self.plugin(&self.config).is_ok_and(|plugin| plugin.has(role))
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        Reply { result: self.plugin(config).map(|plugin| plugin.manifest().clone()).map_err(refused), fuel: None }
    }

    fn read(&self, config: &str, batch: &[Question]) -> Reply<Vec<Vec<Option<String>>>> {
        by_question(self.called(config, batch, Plugin::read), batch)
    }

    fn score(&self, config: &str, batch: &[Question]) -> Reply<Vec<Vec<f64>>> {
        by_question(self.called(config, batch, Plugin::score), batch)
    }

    fn evaluate(&self, config: &str, batch: &[Bundle]) -> Reply<Vec<Valuation>> {
        self.called(config, batch, Plugin::evaluate)
    }
}

/// The host gives a result for each text of a batch, in order.
fn by_question<T>(reply: Reply<Vec<T>>, batch: &[Question]) -> Reply<Vec<Vec<T>>> {
    let result = reply.result.map(|items| {
        let mut items = items.into_iter();
        batch.iter().map(|question| items.by_ref().take(question.texts.len()).collect()).collect()
    });
    Reply { result, fuel: reply.fuel }
}

fn fault(failure: Failure) -> Fault {
    match failure.kind {
        FailureKind::Error => Fault::Error(failure.detail),
        FailureKind::Shape | FailureKind::NonFinite | FailureKind::OutOfRange => Fault::Invalid(failure.detail),
        kind => Fault::Crash(format!("{kind}: {}", failure.detail)),
    }
}

fn refused(error: Error) -> Fault {
    match error {
        Error::Config { reason, .. } => Fault::Error(reason),
        Error::Describe { failure, .. } => fault(failure),
        error => Fault::Invalid(error.to_string()),
    }
}
