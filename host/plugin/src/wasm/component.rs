//! [`ComponentBackend`]: a component, called in a fresh instance under its limits.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alft_sdk::Manifest;
use alft_sdk::call::{Entries, Output, Returns, Takes};
use alft_sdk::roles::{Batch, Role, Roles};
use wasmtime::component::{
    Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift, Linker, Lower,
    types::ComponentItem,
};
use wasmtime::{Store, Trap, UpdateDeadline};

use super::engine::{self, Engine};
use super::prices;
use super::records;
use super::semaphore::Semaphore;
use super::state::State;
use crate::backend::{Backend, CONTRACT_VERSION};
use crate::batch::call::{CallResult, Usage};
use crate::batch::deadline::Deadline;
use crate::batch::size::{entry_bytes, manifest_bytes, output_bytes};
use crate::cache;
use crate::error::{CompileError, Error};
use crate::failure::{Failure, FailureKind};
use crate::foreign::{ForeignError, sanitize};
use crate::inspect;
use crate::limits::Limits;
use crate::source::{self, Form};
use crate::worker::compile;

/// Prefix of the names of the contract's interfaces.
const PACKAGE: &str = "alft:objective/";

/// A loaded component.
pub(crate) struct ComponentBackend {
    component: InstancePre<State>,
    semaphore: Arc<Semaphore>,
    limits: Limits,
    imports: Vec<String>,
    describe: ComponentExportIndex,
    functions: BTreeMap<Role, ComponentExportIndex>,
}

impl ComponentBackend {
    /// Compiles and links a component, and checks its imports, its exports and the resources that it starts with.
    pub(crate) fn load(path: &Path, bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Self, Error> {
        source::refuse_core_module(path, bytes)?;
        let wasmtime = engine.wasmtime();
        check_passive_elements(path, bytes, limits)?;
        let component =
            compile(bytes, engine, limits).map_err(|source| Error::Compile { path: path.into(), source })?;
        let imports = check_imports(path, wasmtime, &component)?;
        check_initial_resources(path, &component, limits)?;

        let find = |interface, function| find_function(path, wasmtime, &component, interface, function);
        let mut functions = BTreeMap::new();
        for role in Role::ALL {
            functions.extend(find(role.name(), role.function())?.map(|index| (role, index)));
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
        let deadline = Deadline::of_each_call(&self.limits);
        let _permit = self.semaphore.acquire();
        let mut store = self.store(0, deadline);
        let instance = self
            .component
            .instantiate(&mut store)
            .map_err(|error| Error::Start { path: path.into(), source: store.data().failure(&error, 0, deadline) })?;
        let describe = check_type::<(&str,), records::Manifest>(&instance, &mut store, &self.describe);
        describe.map_err(|source| wrong_type(path, "export alft:objective/about.describe", source))?;
        for (role, function) in &self.functions {
            let checked = match role.returns() {
                Returns::Keys => check_role::<Keys>(*role, &instance, &mut store, function),
                Returns::Scores => check_role::<Scores>(*role, &instance, &mut store, function),
                Returns::Valuations => check_role::<Valuations>(*role, &instance, &mut store, function),
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
        bytes: fn(&T) -> usize,
    ) -> CallResult<T>
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
        let mut fuel = granted - store.get_fuel().unwrap_or(0).min(granted);
        // The component chooses the size of its result, and copying the result is work.
        let mut pays = |bytes: usize| {
            fuel = fuel.saturating_add(prices::BYTE.saturating_mul(bytes as u64));
            if fuel <= granted { Ok(()) } else { Err(store.data().out_of_fuel(input_bytes)) }
        };
        let result = match reply {
            Ok((Ok(value),)) => {
                let value = convert(value);
                pays(bytes(&value)).map(|()| value)
            }
            Ok((Err(message),)) => {
                pays(message.len()).and(Err(Failure::new(FailureKind::Error, sanitize(message, self.limits.log_bytes))))
            }
            Err(error) => Err(store.data().failure(&error, input_bytes, deadline)),
        };
        let fuel = fuel.min(granted);
        let usage =
            Usage { calls: 1, fuel, max_call_fuel: fuel, memory: store.data().memory(), time: started.elapsed() };
        CallResult { result, usage, log: store.into_data().into_log() }
    }

    /// Calls the function of the batch's role, with the batch as the records of the contract.
    fn call_role<R>(&self, config: &str, batch: &Batch<'_>, deadline: Deadline, convert: fn(R) -> Output) -> CallResult
    where
        R: Send + Sync + 'static,
        (Result<R, String>,): ComponentNamedList + Lift,
    {
        let role = batch.role();
        let function = &self.functions[&role];
        let input_bytes = config.len() + entry_bytes(batch).iter().sum::<usize>();
        match (batch.entries(), role.takes()) {
            (Entries::Texts(entries), Takes::Answers) => {
                let records: Vec<records::Question<'_>> = entries.iter().map(Into::into).collect();
                self.invoke(function, (config, records.as_slice()), input_bytes, deadline, convert, output_bytes)
            }
            (Entries::Texts(entries), _) => {
                let records: Vec<records::Transcript<'_>> = entries.iter().map(Into::into).collect();
                self.invoke(function, (config, records.as_slice()), input_bytes, deadline, convert, output_bytes)
            }
            (Entries::Bundles(bundles), _) => {
                let records: Vec<records::Bundle<'_>> = bundles.iter().map(Into::into).collect();
                self.invoke(function, (config, records.as_slice()), input_bytes, deadline, convert, output_bytes)
            }
        }
    }

    fn store(&self, input_bytes: usize, deadline: Deadline) -> Store<State> {
        let mut store = Store::new(self.component.engine(), State::new(&self.limits));
        store.limiter(|state| state);
        store.set_fuel(self.limits.fuel(input_bytes)).expect("the engine counts fuel");
        // The clock on the wall ticks for all calls alike, and a call whose thread had to wait goes on.
        let clock = deadline.start_call();
        store.set_epoch_deadline(engine::ticks(clock.left()));
        store.epoch_deadline_callback(move |_| match clock.left() {
            Duration::ZERO => Err(Trap::Interrupt.into()),
            left => Ok(UpdateDeadline::Continue(engine::ticks(left))),
        });
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
        let deadline = Deadline::of_each_call(&self.limits);
        let convert = |manifest: records::Manifest| manifest.into();
        self.invoke(&self.describe, (config,), config.len(), deadline, convert, manifest_bytes).result
    }

    fn call(&self, config: &str, batch: &Batch<'_>, deadline: Deadline) -> CallResult {
        match batch.role().returns() {
            Returns::Keys => self.call_role::<Keys>(config, batch, deadline, Output::Keys),
            Returns::Scores => self.call_role::<Scores>(config, batch, deadline, Output::Scores),
            Returns::Valuations => self.call_role::<Valuations>(config, batch, deadline, |valuations| {
                Output::Valuations(valuations.into_iter().map(Into::into).collect())
            }),
        }
    }
}

// The results of a call, by the kinds of [`Returns`].
type Keys = Vec<Vec<Option<String>>>;
type Scores = Vec<Vec<f64>>;
type Valuations = Vec<records::Valuation>;

// The arguments of a call, by the kinds of [`Takes`].
type Completions<'a> = (&'a str, &'a [records::Transcript<'a>]);
type Answers<'a> = (&'a str, &'a [records::Question<'a>]);
type Bundles<'a> = (&'a str, &'a [records::Bundle<'a>]);

/// Returns the component's code from the cache, or compiles it in a child process: a hostile component can be made to
/// compile forever.
fn compile(bytes: &[u8], engine: &Engine, limits: &Limits) -> Result<Component, CompileError> {
    let wasmtime = engine.wasmtime();
    // SAFETY: the code comes from the user's private cache, where its hash was verified, or straight from our compiler.
    let load = |code: &[u8]| unsafe { Component::deserialize(wasmtime, code) };
    let mut settings = DefaultHasher::new();
    wasmtime.precompile_compatibility_hash().hash(&mut settings);
    let name = format!("{}-{:016x}", blake3::hash(bytes).to_hex(), settings.finish());
    if let Some(component) = cache::get_compiled(&name, limits.compiled_size).and_then(|code| load(&code).ok()) {
        return Ok(component);
    }
    let code = compile::compile(engine.worker(), bytes, limits)?;
    // A cache that cannot be written to costs time, but not the run.
    let _ = cache::put_compiled(&name, &code);
    // wasmtime has no type for the error about a component that does not fit into the pool.
    load(&code).map_err(|error| match format!("{error:#}").contains("exceeds") {
        true => CompileError::Slots(error.into()),
        false => CompileError::Invalid(error.into()),
    })
}

/// Checks that the passive segments of elements could be in the component's tables. Each instance of a module has a copy of
/// them in this process, whose memory and time no limit of the instance counts.
fn check_passive_elements(path: &Path, bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    let (value, limit) = (inspect::passive_elements(bytes), limits.table_elements as u64);
    if value <= limit {
        return Ok(());
    }
    Err(Error::Needs {
        path: path.into(),
        value,
        resource: "elements in passive segments",
        limit,
        key: "table_elements",
    })
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

/// Checks that a role's function takes and returns the records of the contract.
fn check_role<R>(
    role: Role,
    instance: &Instance,
    store: &mut Store<State>,
    function: &ComponentExportIndex,
) -> wasmtime::Result<()>
where
    R: Send + Sync + 'static,
    (Result<R, String>,): ComponentNamedList + Lift,
{
    match role.takes() {
        Takes::Completions => check_type::<Completions<'_>, R>(instance, store, function),
        Takes::Answers => check_type::<Answers<'_>, R>(instance, store, function),
        Takes::Bundles => check_type::<Bundles<'_>, R>(instance, store, function),
    }
}

fn check_type<A, R>(
    instance: &Instance,
    store: &mut Store<State>,
    function: &ComponentExportIndex,
) -> wasmtime::Result<()>
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
            // The call and copying its message are the host's work and use the component's fuel.
            let price = prices::BYTE.saturating_mul(message.len() as u64).saturating_add(prices::HOST_CALL);
            let fuel = store.get_fuel()?.checked_sub(price).ok_or(Trap::OutOfFuel)?;
            store.set_fuel(fuel)?;
            store.data_mut().push_log(level, message);
            Ok(())
        })
    });
    linked
        .and_then(|()| linker.instantiate_pre(component))
        .map_err(|error| wrong_type(path, "import alft:objective/diagnostics", error))
}
