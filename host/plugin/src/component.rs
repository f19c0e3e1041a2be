//! Components: loading one, and calling it in a fresh instance under its limits.

use std::path::{Path, PathBuf};
use std::time::Instant;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower, types::ComponentItem,
};
use wasmtime::{ResourceLimiter, Store, Trap};

use alft_sdk::linked::Question;
use alft_sdk::{bundle, roles};

use crate::isolate::{Attempt, Bill};
use crate::plugin::Roles;
use crate::{Engine, Error, Failure, FailureKind, Limits, engine, wire};

/// The package whose interfaces make a plugin, and the version this host speaks.
const PACKAGE: &str = "alft:objective/";
const SUPPORTED: &str = "1.0.0";

/// A line of diagnostics is cut to this many bytes.
const LOG_LINE: usize = 1000;

/// Core instances, memories and tables that a component may have, each. What compilers make has three or four.
const MOST_PARTS: usize = 32;

/// A loaded component.
pub(crate) struct Guest {
    pre: InstancePre<State>,
    limits: Limits,
    describe: ComponentExportIndex,
    read: Option<ComponentExportIndex>,
    score: Option<ComponentExportIndex>,
    evaluate: Option<ComponentExportIndex>,
}

/// What an instance's store holds: the limits, and what is to be told about the call.
struct State {
    limits: Limits,
    log: Vec<String>,
    /// The last line at the level of errors: a panic's message, when a trap follows.
    last_error: Option<String>,
    /// Bytes of all memories and elements of all tables so far.
    memory: usize,
    table_elements: usize,
    /// The memory or table growth that was refused.
    refused: Option<String>,
}

impl Guest {
    pub(crate) fn load(path: &Path, bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Self, Error> {
        let path_buf = || path.to_path_buf();
        if bytes.len() as u64 > limits.component_size {
            return Err(Error::TooLarge { path: path_buf(), size: bytes.len() as u64, limit: limits.component_size });
        }
        // Bytes 4 to 8 tell core modules (version 1, layer 0) from components (layer 1).
        if bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(Error::CoreModule { path: path_buf() });
        }
        let wasmtime = engine.wasmtime();
        let component = Component::from_binary(wasmtime, bytes)
            .map_err(|error| Error::Compile { path: path_buf(), reason: format!("{error:#}") })?;
        allowed_imports(path, wasmtime, &component)?;

        let interface = |name: &'static str| interface(path, wasmtime, &component, name);
        let function = |interface: &Option<ComponentExportIndex>, name: &'static str| match interface {
            None => Ok(None),
            Some(interface) => match component.get_export_index(Some(interface), name) {
                Some(index) => Ok(Some(index)),
                None => Err(Error::Type { path: path_buf(), export: name, reason: "there is no such function".into() }),
            },
        };
        let read = function(&interface("reader")?, "read")?;
        let score = function(&interface("verifier")?, "score")?;
        let evaluate = function(&interface("objective")?, "evaluate")?;
        if read.is_none() && score.is_none() && evaluate.is_none() {
            return Err(Error::NoRole { path: path_buf() });
        }
        let describe = function(&interface("about")?, "describe")?.ok_or_else(|| Error::Type {
            path: path_buf(),
            export: "alft:objective/about",
            reason: "every plugin must export it".into(),
        })?;

        let mut linker = Linker::<State>::new(wasmtime);
        let refuse = |error: wasmtime::Error| Error::Type {
            path: path_buf(),
            export: "alft:objective/diagnostics",
            reason: format!("{error:#}"),
        };
        linker
            .instance("alft:objective/diagnostics@1.0.0")
            .and_then(|mut diagnostics| {
                diagnostics.func_wrap("log", |mut store, (level, message): (wire::Level, String)| {
                    // Copying it was the host's work, and the guest's to pay.
                    let left = store.get_fuel()?.checked_sub(message.len() as u64).ok_or(Trap::OutOfFuel)?;
                    store.set_fuel(left)?;
                    hear(store.data_mut(), level, message);
                    Ok(())
                })
            })
            .map_err(refuse)?;
        let pre = linker.instantiate_pre(&component).map_err(refuse)?;
        let guest = Self { pre, limits: limits.clone(), describe, read, score, evaluate };
        guest.check_types(path)?;
        Ok(guest)
    }

    pub(crate) fn roles(&self) -> Roles {
        Roles { reader: self.read.is_some(), verifier: self.score.is_some(), objective: self.evaluate.is_some() }
    }

    /// Finds a wrong signature when the plugin is loaded rather than in the middle of a run.
    fn check_types(&self, path: &Path) -> Result<(), Error> {
        type Reply<T> = (Result<T, String>,);
        let fail = |export, error: wasmtime::Error| Error::Type {
            path: path.to_path_buf(),
            export,
            reason: format!("{error:#}"),
        };
        let mut store = self.store(0);
        let instance = self.pre.instantiate(&mut store).map_err(|error| {
            let failure = failure(error, &store, &self.limits, self.limits.fuel(0));
            Error::Describe { path: path.to_path_buf(), failure }
        })?;
        instance
            .get_typed_func::<(&str,), Reply<wire::Manifest>>(&mut store, &self.describe)
            .map_err(|error| fail("alft:objective/about describe", error))?;
        if let Some(read) = &self.read {
            instance
                .get_typed_func::<(&str, &[wire::Transcript<'_>]), Reply<Vec<Vec<Option<String>>>>>(&mut store, read)
                .map_err(|error| fail("alft:objective/reader read", error))?;
        }
        if let Some(score) = &self.score {
            instance
                .get_typed_func::<(&str, &[wire::VerifierQuestion<'_>]), Reply<Vec<Vec<f64>>>>(&mut store, score)
                .map_err(|error| fail("alft:objective/verifier score", error))?;
        }
        if let Some(evaluate) = &self.evaluate {
            instance
                .get_typed_func::<(&str, &[wire::Bundle<'_>]), Reply<Vec<wire::Valuation>>>(&mut store, evaluate)
                .map_err(|error| fail("alft:objective/objective evaluate", error))?;
        }
        Ok(())
    }

    pub(crate) fn describe(&self, config: &str) -> Attempt<roles::Manifest> {
        self.call(&self.describe, (config,), config.len(), |manifest: wire::Manifest| vec![manifest.into()])
    }

    pub(crate) fn read(&self, config: &str, batch: &[Question]) -> Attempt<Vec<Option<String>>> {
        let wired: Vec<wire::Transcript<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + questions_size(batch);
        self.call(role(&self.read), (config, wired.as_slice()), input, |keys: Vec<Vec<Option<String>>>| keys)
    }

    pub(crate) fn score(&self, config: &str, batch: &[Question]) -> Attempt<Vec<f64>> {
        let wired: Vec<wire::VerifierQuestion<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + questions_size(batch);
        self.call(role(&self.score), (config, wired.as_slice()), input, |scores: Vec<Vec<f64>>| scores)
    }

    pub(crate) fn evaluate(&self, config: &str, batch: &[bundle::Bundle]) -> Attempt<bundle::Valuation> {
        let wired: Vec<wire::Bundle<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + batch.iter().map(bundle_size).sum::<usize>();
        self.call(role(&self.evaluate), (config, wired.as_slice()), input, |valuations: Vec<wire::Valuation>| {
            valuations.into_iter().map(Into::into).collect()
        })
    }

    /// One call in a fresh instance: after a trap an instance is dead, and no state may outlive a batch.
    fn call<P, R, T>(
        &self,
        function: &ComponentExportIndex,
        arguments: P,
        input: usize,
        convert: impl FnOnce(R) -> Vec<T>,
    ) -> Attempt<T>
    where
        P: ComponentNamedList + Lower,
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let begun = Instant::now();
        let fuel = self.limits.fuel(input);
        let mut store = self.store(input);
        let reply = self.pre.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<P, (Result<R, String>,)>(&mut store, function)?.call(&mut store, arguments)
        });
        let result = match reply {
            Ok((Ok(value),)) => Ok(convert(value)),
            Ok((Err(message),)) => Err(Failure::new(FailureKind::Error, cut(message))),
            Err(error) => Err(failure(error, &store, &self.limits, fuel)),
        };
        let used = fuel - store.get_fuel().unwrap_or(0).min(fuel);
        let bill = Bill { calls: 1, fuel: used, time: begun.elapsed() };
        Attempt { result, bill, log: store.into_data().log }
    }

    fn store(&self, input: usize) -> Store<State> {
        let state = State {
            limits: self.limits.clone(),
            log: Vec::new(),
            last_error: None,
            memory: 0,
            table_elements: 0,
            refused: None,
        };
        let mut store = Store::new(self.pre.engine(), state);
        store.limiter(|state| state);
        store.set_fuel(self.limits.fuel(input)).expect("the engine counts fuel");
        store.set_epoch_deadline(engine::ticks(self.limits.deadline_ms));
        store.set_hostcall_fuel(self.limits.output);
        store
    }
}

fn role(index: &Option<ComponentExportIndex>) -> &ComponentExportIndex {
    index.as_ref().expect("Plugin asks only for roles that were found")
}

/// The import list is the proof that a plugin has no way to the outside. `types` holds records and no function.
fn allowed_imports(path: &Path, engine: &wasmtime::Engine, component: &Component) -> Result<(), Error> {
    for (name, item) in component.component_type().imports(engine) {
        let ours = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'));
        match ours {
            Some(("diagnostics" | "types", version)) if compatible(version) => {}
            Some(("diagnostics" | "types", version)) => return Err(contract(path, version)),
            _ => {
                let kind = match item.ty {
                    ComponentItem::ComponentInstance(_) => "the interface",
                    _ => "the item",
                };
                return Err(Error::Import { path: path.into(), import: format!("{kind} {name}") });
            }
        }
    }
    Ok(())
}

/// The index of one of our interfaces, if the component exports it in a version that we speak.
fn interface(
    path: &Path,
    engine: &wasmtime::Engine,
    component: &Component,
    name: &'static str,
) -> Result<Option<ComponentExportIndex>, Error> {
    let mut other = None;
    for (export, _) in component.component_type().exports(engine) {
        if let Some((found, version)) = export.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'))
            && found == name
        {
            if compatible(version) {
                return Ok(component.get_export_index(None, export));
            }
            other = Some(version.to_owned());
        }
    }
    other.map_or(Ok(None), |version| Err(contract(path, &version)))
}

/// Versions of one major speak the same contract: a published interface never changes.
fn compatible(version: &str) -> bool {
    version.split('.').next() == SUPPORTED.split('.').next()
}

fn contract(path: &Path, version: &str) -> Error {
    Error::Contract { path: PathBuf::from(path), found: version.into(), supported: SUPPORTED }
}

fn hear(state: &mut State, level: wire::Level, message: String) {
    let message = cut(message);
    if state.log.len() < state.limits.log_lines {
        state.log.push(format!("{}: {message}", level.name()));
    }
    if matches!(level, wire::Level::Error) {
        state.last_error = Some(message);
    }
}

fn cut(mut message: String) -> String {
    if message.len() > LOG_LINE {
        message.truncate(message.floor_char_boundary(LOG_LINE));
        message.push('…');
    }
    message
}

/// What ended the call. `store` tells what the trap does not: a refused growth, a panic's last words.
fn failure(error: wasmtime::Error, store: &Store<State>, limits: &Limits, fuel: u64) -> Failure {
    if let Some(refused) = &store.data().refused {
        return Failure::new(FailureKind::Memory, refused);
    }
    let last_words = store.data().last_error.as_deref();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Failure::new(FailureKind::OutOfFuel, format!("used its {fuel} units of fuel")),
        Some(Trap::Interrupt) => {
            Failure::new(FailureKind::Deadline, format!("ran past its deadline of {} ms", limits.deadline_ms))
        }
        Some(Trap::StackOverflow) => Failure::new(FailureKind::StackOverflow, "its stack of 512 KiB is full"),
        // A panic's message comes out as an error, as the last thing before the trap.
        Some(Trap::UnreachableCodeReached) if last_words.is_some() => {
            Failure::new(FailureKind::Panic, last_words.unwrap_or_default())
        }
        Some(trap) => Failure::new(FailureKind::Trap, trap.to_string()),
        None => {
            let message = format!("{error:#}");
            let kind =
                if message.contains("fuel allocated for hostcalls") { FailureKind::Output } else { FailureKind::Trap };
            Failure::new(kind, cut(message))
        }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired - current;
        self.within("memory", "bytes", self.memory, self.limits.memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements += desired - current;
        self.within("tables", "elements", self.table_elements, self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        MOST_PARTS
    }

    fn memories(&self) -> usize {
        MOST_PARTS
    }

    fn tables(&self) -> usize {
        MOST_PARTS
    }
}

impl State {
    /// A refusal ends the call: a guest that is merely told "no" could go on with half its data.
    fn within(&mut self, what: &str, unit: &str, wanted: usize, limit: usize) -> wasmtime::Result<bool> {
        if wanted <= limit {
            return Ok(true);
        }
        let refused = format!("asked for {wanted} {unit} of {what} in all; the limit is {limit}");
        self.refused = Some(refused.clone());
        Err(wasmtime::Error::msg(refused))
    }
}

fn questions_size(batch: &[Question]) -> usize {
    batch.iter().map(|q| prompt_size(&q.prompt) + q.texts.iter().map(String::len).sum::<usize>()).sum()
}

fn bundle_size(bundle: &bundle::Bundle) -> usize {
    let answer = |a: &bundle::Answer| size_of::<f64>() * (5 + a.scores.len()) + a.key.len();
    let group = |g: &bundle::Group| prompt_size(&g.prompt) + g.answers.iter().map(answer).sum::<usize>();
    bundle.id.len() + bundle.groups.iter().map(group).sum::<usize>()
}

fn prompt_size(p: &bundle::Prompt) -> usize {
    p.id.len() + p.text.len() + p.reference.as_ref().map_or(0, String::len) + p.metadata.len()
}
