//! The plugins of a run: built, opened, pinned, and given their roles.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alft_build::{BuildEvent, Form};
use alft_game::GroupObjective;
use alft_plugin_host::lock::Lock;
use alft_plugin_host::{Engine, Failure, Limits, NativeTrust, Plugin, Source, Worker, source};
use alft_registry::{Fetched, Reference};
use alft_sdk::Manifest;
use alft_sdk::roles::{Role, Roles};

use super::error::PluginError;
use super::registry;
use super::scorer::Scorer;
use crate::config::{Isolation, OnError, OnLimit, PluginEntry, PluginForm, Trust, Weight};
use crate::error::{Error, Result};
use crate::record::RunDir;

/// A plugin and its part in the run.
#[derive(Debug)]
pub struct RunPlugin {
    /// The plugin's name in the run file.
    pub name: String,
    /// The plugin itself.
    pub scorer: Box<dyn Scorer>,
    /// The roles that the plugin plays in this run.
    pub roles: Roles,
    /// The weight of the plugin's rewards.
    pub weight: Weight,
    /// The step size of dual ascent on a constraint's multiplier.
    pub multiplier_rate: f64,
    /// The consequence of a failure.
    pub on_error: OnError,
    /// The worth of an item on which the plugin used up its fuel, memory or stack, if that is no failure.
    pub on_limit: Option<OnLimit>,
    /// The share of failed items above which the run ends.
    pub max_failure_rate: f64,
    /// Replaces a verifier's scores of a group before they are weighted.
    pub group_objective: Option<GroupObjective>,
    /// BLAKE3 of the plugin's file, in hexadecimal; empty for a plugin that is linked in.
    pub hash: String,
    /// The reference, with its digest, of a component from a registry.
    pub reference: Option<Reference>,
    /// The form that the plugin was loaded in, for people.
    form: String,
}

/// All plugins of a run, in the run file's order. Exactly one of them reads the answers.
#[derive(Debug)]
pub struct PluginSet {
    plugins: Vec<RunPlugin>,
    /// The place of the reader.
    reader: usize,
}

/// Where the expected hash of each plugin comes from.
#[derive(Debug, Clone, Copy)]
pub enum PinSource<'a> {
    /// The `alft.lock` of a folder, if there is one, and the hashes in the run file.
    Lock(Option<&'a Lock>, &'a Path),
    /// The run's own record: the plugins by their hashes, from the files that the run's folder kept.
    Record(&'a BTreeMap<String, String>, &'a RunDir),
    /// Nowhere: the user approves the plugins as they are now (`alft plugin lock`).
    Unpinned,
}

/// The progress of opening the plugins of a run.
#[derive(Debug)]
pub enum PluginEvent<'a> {
    /// A plugin is being built from its source.
    Build {
        /// The plugin's name in the run file.
        name: &'a str,
        /// The progress of the build.
        event: &'a BuildEvent,
    },
    /// A plugin was opened.
    Opened {
        /// The plugin's name in the run file.
        name: &'a str,
        /// The plugin's version, roles, form and weight.
        description: &'a str,
    },
}

impl PluginSet {
    /// Builds, opens and checks the plugins of a run file. `worker` is the program that compiles components and runs
    /// native libraries in child processes.
    ///
    /// # Errors
    /// Names the plugin, the reason and the remedy.
    pub fn open(
        entries: &[PluginEntry],
        limits: &Limits,
        pins: PinSource<'_>,
        worker: &Worker,
        observer: &mut dyn FnMut(PluginEvent<'_>),
    ) -> Result<Self> {
        let covering = entries.iter().fold(limits.clone(), |all, entry| all.covering(&entry.limits(limits)));
        let engine = Engine::new(&covering, worker.clone())?;
        let open = |entry: &PluginEntry| {
            let plugin = RunPlugin::open(entry, limits, pins, &engine, observer)?;
            observer(PluginEvent::Opened { name: &plugin.name, description: &plugin.describe() });
            Ok(plugin)
        };
        Self::new(entries.iter().map(open).collect::<Result<_>>()?)
    }

    /// A set of plugins of which exactly one reads answers and at least one rewards something.
    ///
    /// # Errors
    /// No or several readers, or nothing that rewards.
    pub fn new(plugins: Vec<RunPlugin>) -> Result<Self> {
        let names = |plugins: &mut dyn Iterator<Item = &RunPlugin>| {
            plugins.map(|plugin| plugin.name.as_str()).collect::<Vec<_>>().join("\", \"")
        };
        let rewards = |plugin: &RunPlugin| plugin.roles.iter().any(|role| role != Role::Reader);
        if !plugins.iter().any(rewards) {
            return Err(plugin_error(&names(&mut plugins.iter()), PluginError::NoReward));
        }
        let places = plugins.iter().enumerate();
        let readers: Vec<usize> =
            places.filter(|(_, plugin)| plugin.roles.has(Role::Reader)).map(|(place, _)| place).collect();
        match readers[..] {
            [reader] => Ok(Self { plugins, reader }),
            [] => Err(plugin_error(&names(&mut plugins.iter()), PluginError::NoReader)),
            _ => {
                let names = names(&mut readers.iter().map(|place| &plugins[*place]));
                Err(plugin_error(&names, PluginError::SeveralReaders))
            }
        }
    }

    /// The plugins, in the run file's order.
    pub fn iter(&self) -> impl Iterator<Item = &RunPlugin> {
        self.plugins.iter()
    }

    /// The plugin at a place of the run file.
    pub fn get(&self, place: usize) -> &RunPlugin {
        &self.plugins[place]
    }

    /// The plugin that reads the answers, with its place.
    pub fn reader(&self) -> (usize, &RunPlugin) {
        (self.reader, &self.plugins[self.reader])
    }

    /// The plugins that play a role, with their places, in the run file's order. The first verifier is *accuracy*.
    pub fn with_role(&self, role: Role) -> impl Iterator<Item = (usize, &RunPlugin)> {
        self.plugins.iter().enumerate().filter(move |(_, plugin)| plugin.roles.has(role))
    }

    /// Returns true if an objective compares with the reference policy's answers.
    pub(crate) fn need_reference(&self) -> bool {
        self.with_role(Role::Objective).any(|(_, plugin)| plugin.scorer.manifest().needs_reference)
    }

    /// Copies the plugins' files into the run's folder: a resumed run and a replay need them as they are now, whatever
    /// becomes of the files that the run file names.
    ///
    /// # Errors
    /// A plugin's file is another one by now, or cannot be read or written.
    pub fn keep_files(&self, dir: &RunDir) -> Result<()> {
        let folder = dir.plugins();
        std::fs::create_dir_all(&folder).map_err(Error::io("create the folder", &folder))?;
        for plugin in self.plugins.iter().filter(|plugin| !dir.plugin(&plugin.hash).exists()) {
            let Some(loaded) = plugin.scorer.loaded() else { continue };
            let Source { path, limits, .. } = loaded.source();
            let bytes = source::read(path, limits).map_err(|error| plugin_error(&plugin.name, error.into()))?;
            if source::hash_bytes(&bytes) != plugin.hash {
                return Err(plugin_error(&plugin.name, PluginError::ChangedFile(path.clone())));
            }
            dir.write(&format!("plugins/{}", plugin.hash), &bytes)?;
        }
        Ok(())
    }
}

impl RunPlugin {
    /// A plugin that is linked into the program, in all the roles that it has, with the defaults of a run file.
    pub fn linked(name: &str, weight: f64, scorer: impl Scorer + 'static) -> Self {
        Self {
            name: name.to_owned(),
            roles: scorer.roles(),
            scorer: Box::new(scorer),
            weight: Weight::Constant(weight),
            multiplier_rate: PluginEntry::MULTIPLIER_RATE,
            on_error: OnError::default(),
            on_limit: None,
            max_failure_rate: PluginEntry::MAX_FAILURE_RATE,
            group_objective: None,
            hash: String::new(),
            reference: None,
            form: "linked in".into(),
        }
    }

    fn open(
        entry: &PluginEntry,
        limits: &Limits,
        pins: PinSource<'_>,
        engine: &Engine,
        observer: &mut dyn FnMut(PluginEvent<'_>),
    ) -> Result<Self> {
        let name = entry.name.clone();
        let wrong = |error: PluginError| plugin_error(&name, error);
        let limits = entry.limits(limits);
        let config = serde_json::to_string(&entry.config).expect("JSON values print");
        let fetched = fetch(entry, &limits, pins, &config).map_err(|error| wrong(error.into()))?;
        let path = match (pins, &entry.kept, &fetched) {
            (PinSource::Record(hashes, dir), ..) => dir.plugin(hashes.get(&name).map_or("", String::as_str)),
            (_, Some(kept), _) => kept.clone(),
            (_, None, Some(fetched)) => fetched.path.clone(),
            (_, None, None) => plugin_file(entry, observer).map_err(|error| wrong(error.into()))?,
        };
        let pin = match (&entry.hash, &entry.source, pins) {
            (_, _, PinSource::Record(hashes, _)) => hashes.get(&name).cloned(),
            (Some(hash), ..) => Some(hash.clone()),
            (None, None, PinSource::Lock(lock, _)) => {
                let pinned = lock.and_then(|lock| lock.get(&name, &config)).map(|pinned| pinned.blake3.clone());
                let kept = entry.kept.as_ref().and_then(|kept| kept.file_name()?.to_str().map(str::to_owned));
                pinned.or_else(|| fetched.as_ref().map(|fetched| fetched.blake3.clone())).or(kept)
            }
            // The file was built a moment ago from a source that the run file names, or is being approved.
            (None, ..) => Some(match &fetched {
                Some(fetched) => fetched.blake3.clone(),
                None => source::hash_file(&path, &limits).map_err(|error| wrong(error.into()))?,
            }),
        };
        let source = Source { path, pin, native: native_trust(entry), config, limits };
        let plugin = Plugin::open(&source, engine).map_err(|error| wrong(error.into()))?;
        if let PinSource::Lock(Some(lock), folder) = pins {
            lock.check(folder, &name, &plugin)?;
        }
        let roles = roles(entry, &plugin).map_err(wrong)?;
        check_on_error(entry.on_error, roles, plugin.manifest()).map_err(wrong)?;
        check_on_limit(entry.on_limit, roles, &plugin).map_err(wrong)?;
        Ok(Self {
            roles,
            weight: entry.weight.clone(),
            on_error: entry.on_error,
            on_limit: entry.on_limit,
            max_failure_rate: entry.max_failure_rate,
            multiplier_rate: entry.multiplier_rate,
            group_objective: entry.group_objective,
            hash: plugin.hash().to_owned(),
            reference: fetched.map(|fetched| fetched.reference),
            form: plugin.form().to_string(),
            scorer: Box::new(plugin),
            name,
        })
    }

    /// The plugin's version, roles, form and weight, for people.
    pub fn describe(&self) -> String {
        let roles: Vec<&str> = self.roles.iter().map(Role::name).collect();
        let Manifest { name, version, .. } = self.scorer.manifest();
        format!("{name} {version} as {} ({}), weight {}", roles.join(" and "), self.form, self.weight)
    }

    /// The worth of an item that the plugin failed on by a limit, where the run file has one.
    pub(crate) fn at_limit(&self, failure: &Failure) -> Option<OnLimit> {
        self.on_limit.filter(|on_limit| on_limit.kinds().any(|kind| kind == failure.kind))
    }

    /// Returns true if items with failures of this kind have no worth, so that `on_error` says what becomes of them.
    pub fn fails_by(&self, kind: &str) -> bool {
        let covered = |on_limit: OnLimit| on_limit.kinds().any(|covered| covered.name() == kind);
        !self.on_limit.is_some_and(covered)
    }

    /// A failure as the reason to drop a sample.
    pub(crate) fn reason(&self, failure: &Failure) -> String {
        format!("{}: {}", self.name, failure.kind)
    }
}

fn plugin_error(name: &str, source: PluginError) -> Error {
    Error::Plugin { name: name.to_owned(), source: Box::new(source) }
}

/// Fetches a plugin that is in a registry, unless the run's folder has it.
fn fetch(
    entry: &PluginEntry,
    limits: &Limits,
    pins: PinSource<'_>,
    config: &str,
) -> alft_registry::Result<Option<Fetched>> {
    let Some(reference) = entry.reference()?.filter(|_| entry.kept.is_none()) else { return Ok(None) };
    let reference = match pins {
        PinSource::Record(..) => return Ok(None),
        PinSource::Lock(lock, _) => registry::pinned(&reference, lock, &entry.name, config)?,
        PinSource::Unpinned => reference,
    };
    registry::fetch(entry, &reference, limits).map(Some)
}

/// The plugin's file, built first where the run file names a crate.
fn plugin_file(
    entry: &PluginEntry,
    observer: &mut dyn FnMut(PluginEvent<'_>),
) -> std::result::Result<PathBuf, alft_build::Error> {
    match (&entry.path, &entry.source) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(source)) => {
            let form = match entry.form {
                PluginForm::Component => Form::Component,
                PluginForm::Native => Form::Native,
            };
            let observer = RefCell::new(observer);
            let show = |event| observer.borrow_mut()(PluginEvent::Build { name: &entry.name, event: &event });
            alft_build::build(source, form, &show)
        }
        (None, None) => unreachable!("the run file was checked"),
    }
}

fn native_trust(entry: &PluginEntry) -> NativeTrust {
    match (entry.trust, entry.isolation, &entry.source) {
        (None, ..) => NativeTrust::Refused,
        (Some(Trust::Native), Some(Isolation::Process), _) => NativeTrust::Process,
        (Some(Trust::Native), Some(Isolation::InProcess), _) => NativeTrust::InProcess,
        // Whoever has the source is the one who would fix its crashes, and a crate of the sdk catches its panics. A
        // built library may do neither.
        (Some(Trust::Native), None, Some(source)) if source.join("Cargo.toml").is_file() => NativeTrust::InProcess,
        (Some(Trust::Native), None, _) => NativeTrust::Process,
    }
}

/// The roles that the plugin plays: those that the run file names, or all that it has.
fn roles(entry: &PluginEntry, plugin: &Plugin) -> std::result::Result<Roles, PluginError> {
    match &entry.roles {
        None => Ok(Scorer::roles(plugin)),
        Some(roles) => match roles.iter().find(|role| !plugin.has(**role)) {
            Some(missing) => Err(PluginError::Role(*missing)),
            None => Ok(roles.iter().copied().collect()),
        },
    }
}

fn check_on_error(on_error: OnError, roles: Roles, manifest: &Manifest) -> std::result::Result<(), PluginError> {
    let OnError::Score(score) = on_error else { return Ok(()) };
    if roles.has(Role::Reader) || roles.has(Role::Objective) {
        return Err(PluginError::ScoreOnError(score));
    }
    check_range("on_error", score, manifest)
}

fn check_on_limit(on_limit: Option<OnLimit>, roles: Roles, plugin: &Plugin) -> std::result::Result<(), PluginError> {
    let Some(OnLimit { score, .. }) = on_limit else { return Ok(()) };
    if roles.has(Role::Objective) {
        return Err(PluginError::LimitOfObjective(score));
    }
    if plugin.form() != alft_plugin_host::Form::Component {
        return Err(PluginError::LimitOfLibrary);
    }
    check_range("on_limit", score, plugin.manifest())
}

fn check_range(key: &'static str, score: f64, manifest: &Manifest) -> std::result::Result<(), PluginError> {
    match manifest.score_range {
        Some((low, high)) if score < low || score > high => Err(PluginError::ScoreOutOfRange { key, score, low, high }),
        _ => Ok(()),
    }
}
