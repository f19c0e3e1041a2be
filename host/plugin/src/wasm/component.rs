//! [`ComponentBackend`]: a component, called in a fresh instance under its limits.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use alft_sdk::batch::{Batch, Output, Role, Roles};
use alft_sdk::roles::Manifest;
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower,
    types::ComponentItem,
};
use wasmtime::{ResourceLimiter, Store, Trap, WasmBacktrace};

use super::engine::{self, Engine};
use super::records;
use super::semaphore::Semaphore;
use crate::backend::{Backend, CONTRACT_VERSION};
use crate::batch::call::{CallResult, Usage};
use crate::batch::deadline::Deadline;
use crate::batch::size::entry_bytes;
use crate::cache;
use crate::error::{CompileError, Error};
use crate::failure::{Failure, FailureKind};
use crate::foreign::{ForeignError, sanitize, single_line};
use crate::limits::Limits;
use crate::source::Form;
use crate::worker::compile;

/// Prefix of the names of the contract's interfaces.
const PACKAGE: &str = "alft:objective/";

/// The function of each role's interface. The interface has the name of the role.
const FUNCTIONS: [(Role, &str); 3] =
    [(Role::Reader, "read"), (Role::Verifier, "score"), (Role::Objective, "evaluate")];

/// Names of functions in a backtrace are truncated to this many bytes: the component's author chooses them.
const FUNCTION_NAME_BYTES: usize = 300;

/// Frames that are kept of a backtrace. A recursion has thousands.
const MAX_FRAMES: usize = 20;

/// A loaded component.
pub(crate) struct ComponentBackend {
    component: InstancePre<State>,
    semaphore: Arc<Semaphore>,
    limits: Limits,
    imports: Vec<String>,
    describe: ComponentExportIndex,
    functions: BTreeMap<Role, ComponentExportIndex>,
}

/// The state of an instance: its limits, and what the host learns of the call.
struct State {
    limits: Limits,
    log: Vec<String>,
    /// The last diagnostic at the level `error`. If a trap follows, it is the message of a panic.
    last_error: Option<String>,
    /// Bytes of all memories together.
    memory: usize,
    /// Elements of all tables together.
    table_elements: usize,
    /// The message about a memory or table that could not grow.
    refused_growth: Option<String>,
}

impl ComponentBackend {
    /// Compiles and links a component, and checks its imports, its exports and the resources that it starts with.
    pub(crate) fn load(path: &Path, bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Self, Error> {
        // Bytes 4 to 8 are 1 and 0 in core modules (version 1, layer 0); components have layer 1.
        if bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
            return Err(Error::CoreModule { path: path.into() });
        }
        let wasmtime = engine.wasmtime();
        let component =
            compile(bytes, engine, limits).map_err(|source| Error::Compile { path: path.into(), source })?;
        let imports = check_imports(path, wasmtime, &component)?;
        check_initial_resources(path, &component, limits)?;

        let find = |interface, function| find_function(path, wasmtime, &component, interface, function);
        let mut functions = BTreeMap::new();
        for (role, function) in FUNCTIONS {
            functions.extend(find(role.name(), function)?.map(|index| (role, index)));
        }
        if functions.is_empty() {
            return Err(Error::NoRole { path: path.into() });
        }
        let describe = find("about", "describe")?;
        let describe = describe.ok_or_else(|| missing_export(path, "about", "describe"))?;

        let component = link(path, wasmtime, &component)?;
        let semaphore = Arc::clone(engine.semaphore());
        let backend = Self { component, semaphore, limits: limits.clone(), imports, describe, functions };
        backend.check_types(path)?;
        Ok(backend)
    }

    /// Checks the types of the exported functions, so that a wrong one is found before the run starts.
    fn check_types(&self, path: &Path) -> Result<(), Error> {
        let deadline = Deadline::start(&self.limits);
        let _permit = self.semaphore.acquire();
        let mut store = self.store(0, deadline);
        let instance = self.component.instantiate(&mut store).map_err(|error| Error::Start {
            path: path.into(),
            source: failure(error, &store, 0, deadline),
        })?;
        let describe = check_type::<(&str,), records::Manifest>(&instance, &mut store, &self.describe);
        describe.map_err(|source| wrong_type(path, "export alft:objective/about.describe", source))?;
        for (role, function) in &self.functions {
            let checked = match role {
                Role::Reader => {
                    type Arguments<'a> = (&'a str, &'a [records::Transcript<'a>]);
                    check_type::<Arguments<'_>, Vec<Vec<Option<String>>>>(&instance, &mut store, function)
                }
                Role::Verifier => {
                    type Arguments<'a> = (&'a str, &'a [records::Question<'a>]);
                    check_type::<Arguments<'_>, Vec<Vec<f64>>>(&instance, &mut store, function)
                }
                Role::Objective => {
                    type Arguments<'a> = (&'a str, &'a [records::Bundle<'a>]);
                    check_type::<Arguments<'_>, Vec<records::Valuation>>(&instance, &mut store, function)
                }
                Role::Grader => unreachable!("not among the functions"),
            };
            checked.map_err(|source| wrong_type(path, &format!("export {PACKAGE}{role}"), source))?;
        }
        Ok(())
    }

    /// Makes one call in a fresh instance. An instance is dead after a trap, and no state may outlive a call.
    fn invoke<A, R, T>(
        &self,
        function: &ComponentExportIndex,
        arguments: A,
        input_bytes: usize,
        deadline: Deadline,
        convert: impl FnOnce(R) -> T,
    ) -> (Result<T, Failure>, Usage, Vec<String>)
    where
        A: ComponentNamedList + Lower,
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let _permit = self.semaphore.acquire();
        let started = Instant::now();
        let granted = self.limits.fuel(input_bytes);
        let mut store = self.store(input_bytes, deadline);
        let reply = self.component.instantiate(&mut store).and_then(|instance| {
            instance.get_typed_func::<A, (Result<R, String>,)>(&mut store, function)?.call(&mut store, arguments)
        });
        let result = match reply {
            Ok((Ok(value),)) => Ok(convert(value)),
            Ok((Err(message),)) => Err(Failure::new(FailureKind::Error, sanitize(message, self.limits.log_bytes))),
            Err(error) => Err(failure(error, &store, input_bytes, deadline)),
        };
        let fuel = granted - store.get_fuel().unwrap_or(0).min(granted);
        let usage =
            Usage { calls: 1, fuel, max_call_fuel: fuel, memory: store.data().memory, time: started.elapsed() };
        (result, usage, store.into_data().log)
    }

    fn store(&self, input_bytes: usize, deadline: Deadline) -> Store<State> {
        let state = State {
            limits: self.limits.clone(),
            log: Vec::new(),
            last_error: None,
            memory: 0,
            table_elements: 0,
            refused_growth: None,
        };
        let mut store = Store::new(self.component.engine(), state);
        store.limiter(|state| state);
        store.set_fuel(self.limits.fuel(input_bytes)).expect("the engine counts fuel");
        store.set_epoch_deadline(engine::ticks(deadline.remaining()));
        store.set_hostcall_fuel(self.limits.output);
        store
    }
}

impl Backend for ComponentBackend {
    fn form(&self) -> Form {
        Form::Component
    }

    fn roles(&self) -> Roles {
        self.functions.keys().copied().collect()
    }

    fn imports(&self) -> &[String] {
        &self.imports
    }

    fn describe(&self, config: &str) -> Result<Manifest, Failure> {
        let deadline = Deadline::start(&self.limits);
        self.invoke(&self.describe, (config,), config.len(), deadline, |manifest: records::Manifest| manifest.into()).0
    }

    fn call(&self, config: &str, batch: &Batch<'_>, deadline: Deadline) -> CallResult {
        let function = &self.functions[&batch.role()];
        let input_bytes = config.len() + entry_bytes(batch).iter().sum::<usize>();
        let (result, usage, log) = match batch {
            Batch::Reader(entries) => {
                let records: Vec<records::Transcript<'_>> = entries.iter().map(Into::into).collect();
                self.invoke(function, (config, records.as_slice()), input_bytes, deadline, Output::Keys)
            }
            Batch::Verifier(entries) => {
                let records: Vec<records::Question<'_>> = entries.iter().map(Into::into).collect();
                self.invoke(function, (config, records.as_slice()), input_bytes, deadline, Output::Scores)
            }
            Batch::Objective(bundles) => {
                let records: Vec<records::Bundle<'_>> = bundles.iter().map(Into::into).collect();
                self.invoke(
                    function,
                    (config, records.as_slice()),
                    input_bytes,
                    deadline,
                    |valuations: Vec<records::Valuation>| {
                        Output::Valuations(valuations.into_iter().map(Into::into).collect())
                    },
                )
            }
            Batch::Grader(_) => unreachable!("not among the functions"),
        };
        CallResult { result, usage, log }
    }
}

/// Returns the component's code from the cache, or compiles it in a child process: a hostile component can be made to
/// compile forever.
fn compile(bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Component, CompileError> {
    let wasmtime = engine.wasmtime();
    // SAFETY: the code comes from the user's private cache, whole by its hash, or straight from our compiler.
    let load = |code: &[u8]| unsafe { Component::deserialize(wasmtime, code) };
    let mut settings = DefaultHasher::new();
    wasmtime.precompile_compatibility_hash().hash(&mut settings);
    let name = format!("{}-{:016x}", blake3::hash(bytes).to_hex(), settings.finish());
    if let Some(component) = cache::get_compiled(&name).and_then(|code| load(&code).ok()) {
        return Ok(component);
    }
    let code = compile::compile(engine.worker(), bytes, limits)?;
    // A cache that cannot be written to costs time, but not the run.
    let _ = cache::put_compiled(&name, &code);
    load(&code).map_err(|error| CompileError::Invalid(error.into()))
}

/// Checks that the resources which a component starts with are within its limits.
fn check_initial_resources(path: &Path, component: &Component, limits: &Limits) -> Result<(), Error> {
    let Some(needs) = component.resources_required() else { return Ok(()) };
    const PAGE: u64 = 64 << 10;
    let memory = needs.max_initial_memory_size.unwrap_or(0).saturating_mul(PAGE);
    let table = needs.max_initial_table_size.unwrap_or(0);
    for (resource, key, value, limit) in [
        ("memories", "instances", u64::from(needs.num_memories), limits.instances as u64),
        ("tables", "instances", u64::from(needs.num_tables), limits.instances as u64),
        ("bytes of memory", "memory", memory, limits.memory as u64),
        ("elements of a table", "table_elements", table, limits.table_elements as u64),
    ] {
        if value > limit {
            return Err(Error::Needs { path: path.into(), value, resource, limit, key });
        }
    }
    Ok(())
}

/// Refuses every import but those of the contract, and returns the names. The list is the proof that the component cannot
/// reach anything outside. `types` has records and no function.
fn check_imports(path: &Path, engine: &wasmtime::Engine, component: &Component) -> Result<Vec<String>, Error> {
    let mut imports = Vec::new();
    for (name, item) in component.component_type().imports(engine) {
        match name.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@')) {
            Some(("diagnostics" | "types", version)) if is_compatible(version) => imports.push(name.to_owned()),
            Some(("diagnostics" | "types", version)) => return Err(other_contract(path, version)),
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

/// Finds a function of one of the contract's interfaces. Returns `None` if the component does not export the interface.
fn find_function(
    path: &Path,
    engine: &wasmtime::Engine,
    component: &Component,
    interface: &str,
    function: &str,
) -> Result<Option<ComponentExportIndex>, Error> {
    let mut other_version = None;
    for (export, _) in component.component_type().exports(engine) {
        if let Some((name, version)) = export.strip_prefix(PACKAGE).and_then(|rest| rest.split_once('@'))
            && name == interface
        {
            if is_compatible(version) {
                let interface_index = component.get_export_index(None, export);
                let index = component.get_export_index(interface_index.as_ref(), function);
                return index.map(Some).ok_or_else(|| missing_export(path, interface, function));
            }
            other_version = Some(version.to_owned());
        }
    }
    other_version.map_or(Ok(None), |version| Err(other_contract(path, &version)))
}

/// Returns true if a component of this version of the contract can be called: versions of one major are compatible,
/// because a published interface never changes.
fn is_compatible(version: &str) -> bool {
    version.split('.').next() == CONTRACT_VERSION.split('.').next()
}

fn other_contract(path: &Path, version: &str) -> Error {
    Error::Contract { path: path.into(), found: version.into(), supported: CONTRACT_VERSION }
}

fn missing_export(path: &Path, interface: &str, function: &str) -> Error {
    Error::MissingExport { path: path.into(), export: format!("{PACKAGE}{interface}.{function}") }
}

fn wrong_type(path: &Path, item: &str, error: wasmtime::Error) -> Error {
    Error::Type { path: path.into(), item: item.into(), source: ForeignError::from(error) }
}

fn check_type<A, R>(instance: &Instance, store: &mut Store<State>, function: &ComponentExportIndex) -> wasmtime::Result<()>
where
    A: ComponentNamedList + Lower,
    R: Send + Sync + 'static,
    (Result<R, String>,): ComponentNamedList + Lift,
{
    instance.get_typed_func::<A, (Result<R, String>,)>(store, function).map(drop)
}

/// Offers the component its only import that is a function.
fn link(path: &Path, engine: &wasmtime::Engine, component: &Component) -> Result<InstancePre<State>, Error> {
    let mut linker = Linker::<State>::new(engine);
    let linked = linker.instance("alft:objective/diagnostics@1.0.0").and_then(|mut diagnostics| {
        diagnostics.func_wrap("log", |mut store, (level, message): (records::Level, String)| {
            // Copying the message is the host's work and uses the component's fuel.
            let fuel = store.get_fuel()?.checked_sub(message.len() as u64).ok_or(Trap::OutOfFuel)?;
            store.set_fuel(fuel)?;
            push_log(store.data_mut(), level, message);
            Ok(())
        })
    });
    linked
        .and_then(|()| linker.instantiate_pre(component))
        .map_err(|error| wrong_type(path, "import alft:objective/diagnostics", error))
}

fn push_log(state: &mut State, level: records::Level, message: String) {
    let message = sanitize(message, state.limits.log_bytes);
    if state.log.len() < state.limits.log_lines {
        state.log.push(format!("{}: {message}", level.name()));
    }
    if matches!(level, records::Level::Error) {
        state.last_error = Some(message);
    }
}

/// Returns the failure of a call with `input_bytes` bytes of input. The store has what the error does not: a refused
/// growth, and the message of a panic.
fn failure(error: wasmtime::Error, store: &Store<State>, input_bytes: usize, deadline: Deadline) -> Failure {
    let State { limits, refused_growth, last_error, .. } = store.data();
    let (kind, detail) = match (refused_growth, error.downcast_ref::<Trap>()) {
        (Some(refused), _) => (FailureKind::Memory, refused.clone()),
        (_, Some(Trap::OutOfFuel)) => {
            let (fuel, base, per_byte) = (limits.fuel(input_bytes), limits.fuel_base, limits.fuel_per_byte);
            let granted = format!("{base} and {per_byte} for each of {input_bytes} bytes of input");
            (FailureKind::OutOfFuel, format!("used its {fuel} units of fuel: {granted}"))
        }
        (_, Some(Trap::Interrupt)) => return deadline.exceeded(),
        (_, Some(Trap::StackOverflow)) => {
            (FailureKind::StackOverflow, format!("its stack of {} bytes is full", limits.stack))
        }
        // The sdk logs the message of a panic as an error, as the last thing before the trap.
        (_, Some(Trap::UnreachableCodeReached)) if last_error.is_some() => {
            (FailureKind::Panic, last_error.clone().unwrap_or_default())
        }
        (_, Some(trap)) => (FailureKind::Trap, trap.to_string()),
        (_, None) => {
            let message = format!("{error:#}");
            // wasmtime has no type for this error.
            match message.contains("fuel allocated for hostcalls") {
                true => {
                    let detail = format!("returned more than the {} bytes of `limits.output`", limits.output);
                    (FailureKind::Output, detail)
                }
                false => (FailureKind::Trap, sanitize(message, limits.log_bytes)),
            }
        }
    };
    Failure { backtrace: backtrace(&error), ..Failure::new(kind, detail) }
}

/// Returns the functions on the component's stack, innermost first, without those that handle a panic.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    let names = trace.frames().iter().filter_map(|frame| frame.func_name());
    let names: Vec<String> =
        names.map(|name| single_line(format!("{:#}", rustc_demangle::demangle(name)), FUNCTION_NAME_BYTES)).collect();
    let handles_panic =
        |name: &String| ["rust_panic", "std::", "core::panicking", "__rust"].iter().any(|part| name.contains(part));
    let skipped = names.iter().take_while(|name| handles_panic(name)).count();
    names.into_iter().skip(skipped).take(MAX_FRAMES).collect()
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.memory += desired - current;
        self.check_growth("bytes of memory", "memory", self.memory, self.limits.memory)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        self.table_elements += desired - current;
        self.check_growth("table elements", "table_elements", self.table_elements, self.limits.table_elements)
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
    /// Ends the call if a resource exceeds its limit. A component that only learned that it cannot grow might go on with
    /// half of its data.
    fn check_growth(&mut self, resource: &str, key: &str, wanted: usize, limit: usize) -> wasmtime::Result<bool> {
        if wanted <= limit {
            return Ok(true);
        }
        let refused = format!("asked for {wanted} {resource} in total; `limits.{key}` is {limit}");
        self.refused_growth = Some(refused.clone());
        Err(wasmtime::Error::msg(refused))
    }
}
