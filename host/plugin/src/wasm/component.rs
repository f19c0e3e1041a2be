//! Components: loading one, and calling it in a fresh instance under its limits.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, InstancePre, Lift, Linker, Lower, types::ComponentItem,
};
use wasmtime::{ResourceLimiter, Store, Trap, WasmBacktrace};

use alft_sdk::batch::PromptTexts;
use alft_sdk::{bundle, roles};

use crate::batch::deadline::Deadline;
use crate::failure::{indented, line, shown};
use crate::batch::bisect::{Attempt, Bill};
use crate::wasm::semaphore::Permits;
use crate::plugin::{Code, Roles};
use crate::batch::size::{bundle_size, question_size};
use crate::{Engine, Error, Failure, FailureKind, Limits, cache, engine, wire};

/// The package whose interfaces make a plugin, and the version this host speaks.
const PACKAGE: &str = "alft:objective/";
const SUPPORTED: &str = crate::plugin::CONTRACT;

/// A loaded component.
pub(crate) struct Guest {
    pre: InstancePre<State>,
    permits: Arc<Permits>,
    limits: Limits,
    imports: Vec<String>,
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
        // Bytes 4 to 8 tell core modules (version 1, layer 0) from components (layer 1).
        if bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(Error::CoreModule { path: path_buf() });
        }
        let wasmtime = engine.wasmtime();
        let refused = |reason| Error::Compile { path: path_buf(), reason: indented(&shown(reason, REASON_BYTES)) };
        let component = compiled(bytes, engine, limits).map_err(refused)?;
        let imports = allowed_imports(path, wasmtime, &component)?;
        modest(path, &component, limits)?;

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
        let guest = Self {
            pre,
            permits: Arc::clone(engine.permits()),
            limits: limits.clone(),
            imports,
            describe,
            read,
            score,
            evaluate,
        };
        guest.check_types(path)?;
        Ok(guest)
    }

    /// Finds a wrong signature when the plugin is loaded rather than in the middle of a run.
    fn check_types(&self, path: &Path) -> Result<(), Error> {
        type Reply<T> = (Result<T, String>,);
        let fail = |export, error: wasmtime::Error| Error::Type {
            path: path.to_path_buf(),
            export,
            reason: format!("{error:#}"),
        };
        let deadline = Deadline::begin(&self.limits);
        let _permit = self.permits.take();
        let mut store = self.store(0, deadline);
        let instance = self.pre.instantiate(&mut store).map_err(|error| {
            let failure = failure(error, &store, 0, deadline);
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

    /// One call in a fresh instance: after a trap an instance is dead, and no state may outlive a batch.
    fn call<P, R, T>(
        &self,
        function: &ComponentExportIndex,
        arguments: P,
        input: usize,
        deadline: Deadline,
        convert: impl FnOnce(R) -> Vec<T>,
    ) -> Attempt<T>
    where
        P: ComponentNamedList + Lower,
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let _permit = self.permits.take();
        let begun = Instant::now();
        let fuel = self.limits.fuel(input);
        let mut store = self.store(input, deadline);
        let reply = self.pre.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<P, (Result<R, String>,)>(&mut store, function)?.call(&mut store, arguments)
        });
        let result = match reply {
            Ok((Ok(value),)) => Ok(convert(value)),
            Ok((Err(message),)) => Err(Failure::new(FailureKind::Error, shown(message, self.limits.log_bytes))),
            Err(error) => Err(failure(error, &store, input, deadline)),
        };
        let used = fuel - store.get_fuel().unwrap_or(0).min(fuel);
        let bill = Bill { calls: 1, fuel: used, dearest: used, memory: store.data().memory, time: begun.elapsed() };
        Attempt { result, bill, log: store.into_data().log }
    }

    fn store(&self, input: usize, deadline: Deadline) -> Store<State> {
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
        store.set_epoch_deadline(engine::ticks(deadline.left()));
        store.set_hostcall_fuel(self.limits.output);
        store
    }
}

impl Code for Guest {
    fn roles(&self) -> Roles {
        Roles { reader: self.read.is_some(), verifier: self.score.is_some(), objective: self.evaluate.is_some() }
    }

    fn imports(&self) -> &[String] {
        &self.imports
    }

    fn describe(&self, config: &str) -> Attempt<roles::Manifest> {
        let deadline = Deadline::begin(&self.limits);
        self.call(&self.describe, (config,), config.len(), deadline, |manifest: wire::Manifest| vec![manifest.into()])
    }

    fn read(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<Option<String>>> {
        let wired: Vec<wire::Transcript<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + batch.iter().map(question_size).sum::<usize>();
        self.call(role(&self.read), (config, wired.as_slice()), input, deadline, |keys: Vec<Vec<Option<String>>>| keys)
    }

    fn score(&self, config: &str, batch: &[PromptTexts], deadline: Deadline) -> Attempt<Vec<f64>> {
        let wired: Vec<wire::VerifierQuestion<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + batch.iter().map(question_size).sum::<usize>();
        self.call(role(&self.score), (config, wired.as_slice()), input, deadline, |scores: Vec<Vec<f64>>| scores)
    }

    fn evaluate(&self, config: &str, batch: &[bundle::Bundle], deadline: Deadline) -> Attempt<bundle::Valuation> {
        let wired: Vec<wire::Bundle<'_>> = batch.iter().map(Into::into).collect();
        let input = config.len() + batch.iter().map(bundle_size).sum::<usize>();
        self.call(
            role(&self.evaluate),
            (config, wired.as_slice()),
            input,
            deadline,
            |valuations: Vec<wire::Valuation>| valuations.into_iter().map(Into::into).collect(),
        )
    }
}

/// The component's code, from the cache or compiled apart: a stranger's component may be made to compile for ever.
fn compiled(bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Component, String> {
    let wasmtime = engine.wasmtime();
    // SAFETY: the code comes from this user's own folder, whole by its hash, or straight from our own compiler.
    let load = |code: &[u8]| unsafe { Component::deserialize(wasmtime, code) };
    let mut compatible = std::hash::DefaultHasher::new();
    wasmtime.precompile_compatibility_hash().hash(&mut compatible);
    let name = format!("{}-{:016x}", blake3::hash(bytes).to_hex(), compatible.finish());
    // Without a folder it is compiled every time, and works all the same.
    let folder = cache::folder("compiled").ok();
    if let Some(component) = folder.as_ref().and_then(|folder| load(&cache::get(folder, &name)?).ok()) {
        return Ok(component);
    }
    let code = engine.worker().compile(bytes, limits)?;
    if let Some(folder) = folder {
        // A full disk costs time, not the run.
        let _ = cache::put(&folder, &name, &code);
    }
    load(&code).map_err(|error| format!("{error:#}"))
}

/// What a component needs from the start must be within its limits.
fn modest(path: &Path, component: &Component, limits: &Limits) -> Result<(), Error> {
    let Some(needs) = component.resources_required() else { return Ok(()) };
    const PAGE: u64 = 64 << 10;
    let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    for (what, key, value, limit) in [
        ("memories", "instances", u64::from(needs.num_memories), limits.instances as u64),
        ("tables", "instances", u64::from(needs.num_tables), limits.instances as u64),
        ("bytes of memory", "memory", memory, limits.memory as u64),
        (
            "elements of a table",
            "table_elements",
            needs.max_initial_table_size.unwrap_or(0),
            limits.table_elements as u64,
        ),
    ] {
        if value > limit {
            return Err(Error::Needs { path: path.into(), value, what, limit, key });
        }
    }
    Ok(())
}

fn role(index: &Option<ComponentExportIndex>) -> &ComponentExportIndex {
    index.as_ref().expect("Plugin asks only for roles that were found")
}

/// The import list is the proof that a plugin has no way to the outside. `types` holds records and no function.
fn allowed_imports(path: &Path, engine: &wasmtime::Engine, component: &Component) -> Result<Vec<String>, Error> {
    let mut imports = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        let ours = name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'));
        match ours {
            Some(("diagnostics" | "types", version)) if compatible(version) => imports.push(name.to_owned()),
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
    Ok(imports)
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
    let message = shown(message, state.limits.log_bytes);
    if state.log.len() < state.limits.log_lines {
        state.log.push(format!("{}: {message}", level.name()));
    }
    if matches!(level, wire::Level::Error) {
        state.last_error = Some(message);
    }
}

/// What ended a call with so many bytes of input. `store` tells what the trap does not: a refused growth, a panic's
/// last words.
fn failure(error: wasmtime::Error, store: &Store<State>, input: usize, deadline: Deadline) -> Failure {
    let State { limits, refused, last_error, .. } = store.data();
    let (kind, detail) = match (refused, error.downcast_ref::<Trap>()) {
        (Some(refused), _) => (FailureKind::Memory, refused.clone()),
        (_, Some(Trap::OutOfFuel)) => {
            let (fuel, base, per_byte) = (limits.fuel(input), limits.fuel_base, limits.fuel_per_byte);
            let budget = format!("{base} and {per_byte} for each of {input} bytes of input");
            (FailureKind::OutOfFuel, format!("used its {fuel} units of fuel: {budget}"))
        }
        (_, Some(Trap::Interrupt)) => return deadline.missed(),
        (_, Some(Trap::StackOverflow)) => {
            (FailureKind::StackOverflow, format!("its stack of {} bytes is full", limits.stack))
        }
        // A panic's message comes out as an error, as the last thing before the trap.
        (_, Some(Trap::UnreachableCodeReached)) if last_error.is_some() => {
            (FailureKind::Panic, last_error.clone().unwrap_or_default())
        }
        (_, Some(trap)) => (FailureKind::Trap, trap.to_string()),
        (_, None) => {
            let message = format!("{error:#}");
            match message.contains("fuel allocated for hostcalls") {
                true => {
                    let detail = format!("handed back more than the {} bytes of `limits.output`", limits.output);
                    (FailureKind::Output, detail)
                }
                false => (FailureKind::Trap, shown(message, limits.log_bytes)),
            }
        }
    };
    Failure { backtrace: backtrace(&error), ..Failure::new(kind, detail) }
}

/// Bytes of why a component is none that are kept: names of its own may be in it.
const REASON_BYTES: usize = 2000;

/// Bytes of a function's name that are kept: it stands in the component, whose author can write anything there.
const NAME_BYTES: usize = 300;

/// Frames of a backtrace that are kept; a recursion has thousands.
const FRAMES: usize = 20;

/// The functions in which a guest trapped, innermost first, without the machinery of a panic.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<String> =
        names.map(|name| line(format!("{:#}", rustc_demangle::demangle(name)), NAME_BYTES)).collect();
    let machinery =
        |name: &String| ["rust_panic", "std::", "core::panicking", "__rust"].iter().any(|of| name.contains(of));
    let skipped = names.iter().take_while(|name| machinery(name)).count();
    names.into_iter().skip(skipped).take(FRAMES).collect()
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired - current;
        self.within("bytes of memory", "memory", self.memory, self.limits.memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements += desired - current;
        self.within("table elements", "table_elements", self.table_elements, self.limits.table_elements)
    }

    fn instances(&self) -> usize {
        self.limits.instances
    }

    fn memories(&self) -> usize {
        self.limits.instances
    }

    fn tables(&self) -> usize {
        self.limits.instances
    }
}

impl State {
    /// A refusal ends the call: a guest that is merely told "no" could go on with half its data.
    fn within(&mut self, what: &str, key: &str, wanted: usize, limit: usize) -> wasmtime::Result<bool> {
        if wanted <= limit {
            return Ok(true);
        }
        let refused = format!("asked for {wanted} {what} in all; `limits.{key}` is {limit}");
        self.refused = Some(refused.clone());
        Err(wasmtime::Error::msg(refused))
    }
}
