//! A plugin's file as the subject of conformance tests: the host's results as the results that the tests expect.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use alft_conformance::{Fault, Reply, Subject};
use alft_plugin_host::{Engine, Error as HostError, Failure, FailureKind, Form, Limits, NativeTrust, Plugin};
use alft_sdk::Manifest;
use alft_sdk::call::{Item, Output};
use alft_sdk::roles::{Batch, Roles};

use crate::error::chain;
use crate::plugins::{UNTRUSTED, open_file};

/// A component or native library, opened once for each configuration.
pub(super) struct SubjectFile {
    engine: Engine,
    path: PathBuf,
    native: NativeTrust,
    limits: Limits,
    /// The configuration under which the plugin's roles are found.
    config: String,
    opened: RefCell<BTreeMap<String, Rc<Plugin>>>,
}

impl SubjectFile {
    pub(super) fn new(engine: &Engine, path: PathBuf, native: NativeTrust, limits: &Limits, config: String) -> Self {
        let (engine, limits) = (engine.clone(), limits.clone());
        Self { engine, path, native, limits, config, opened: RefCell::default() }
    }

    fn plugin(&self, config: &str) -> Result<Rc<Plugin>, HostError> {
        if let Some(plugin) = self.opened.borrow().get(config) {
            return Ok(Rc::clone(plugin));
        }
        let plugin = Rc::new(open_file(&self.path, config, &self.limits, self.native, &self.engine)?);
        self.opened.borrow_mut().insert(config.into(), Rc::clone(&plugin));
        Ok(plugin)
    }
}

impl Subject for SubjectFile {
    fn roles(&self) -> Roles {
        self.plugin(&self.config).map_or(Roles::default(), |plugin| plugin.roles())
    }

    fn describe(&self, config: &str) -> Reply<Manifest> {
        let manifest = self.plugin(config).map(|plugin| plugin.manifest().clone());
        Reply { result: manifest.map_err(open_fault), fuel: None }
    }

    fn call(&self, config: &str, batch: &Batch<'_>) -> Reply<Output> {
        let plugin = match self.plugin(config) {
            Ok(plugin) if plugin.has(batch.role()) => plugin,
            Ok(_) => {
                return Reply {
                    result: Err(Fault::Invalid(format!("the plugin is not a {}", batch.role()))),
                    fuel: None,
                };
            }
            Err(error) => return Reply { result: Err(open_fault(error)), fuel: None },
        };
        let called = plugin.call(batch);
        let items = called.items.into_iter().collect::<Result<Vec<Item>, Failure>>();
        Reply {
            result: items
                .map_err(call_fault)
                .map(|items| batch.role().returns().output(items, &batch.entries().item_counts())),
            fuel: (plugin.form() == Form::Component).then_some(called.usage.fuel),
        }
    }
}

fn call_fault(failure: Failure) -> Fault {
    match failure.kind {
        // A key can be as long as the text that it is read from. Above the limit it costs that text alone, so it counts as
        // an error and not as a crash.
        FailureKind::Error | FailureKind::Output => Fault::Error(failure.words().to_owned()),
        FailureKind::Shape | FailureKind::NonFinite | FailureKind::OutOfRange => Fault::Invalid(failure.detail),
        FailureKind::System => Fault::Crash(failure.to_string()),
        kind => Fault::Crash(format!("{kind}: {}", failure.words())),
    }
}

fn open_fault(error: HostError) -> Fault {
    match error {
        HostError::Config { reason, .. } => Fault::Error(reason),
        HostError::Start { source, .. } => call_fault(source),
        HostError::Untrusted { .. } => Fault::Invalid(UNTRUSTED.into()),
        error => Fault::Invalid(chain(&error)),
    }
}
