//! The plugins of a run: built, opened, and given their parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alft_build::Form;
use alft_builtin::Configured;
use alft_game::group::GroupObjective;
use alft_plugin_host::lock::Lock;
use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Role, Source, file};
use alft_sdk::Manifest;

use crate::engine;
use crate::entry::{Isolation, OnError, PluginEntry, PluginForm, RoleName, Trust};
use crate::error::{Error, Result};
use crate::folder::Folder;
use crate::judge::Judge;
use crate::weight::Weight;

/// A plugin with its part in the run.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) plugin: Box<dyn Judge>,
    /// BLAKE3 of its file; empty for one that is linked in.
    pub(crate) hash: String,
    /// What it was loaded from.
    form: String,
    pub(crate) weight: Weight,
    pub(crate) multiplier_rate: f64,
    pub(crate) on_error: OnError,
    /// The share of failures above which the run ends.
    pub(crate) max_failure_rate: f64,
    /// Turns a verifier's scores of a group into rewards.
    pub(crate) group_objective: Option<GroupObjective>,
    pub(crate) reads: bool,
    pub(crate) verifies: bool,
    pub(crate) prices: bool,
}

/// All plugins of a run, in the run file's order. One of them reads the answers.
#[derive(Debug)]
pub(crate) struct Panel {
    pub(crate) seats: Vec<Seat>,
    reader: usize,
}

/// Who says that the plugins are those that are meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Approval<'a> {
    /// The lock in a folder, if there is one, and the hashes in the run file.
    Lock(Option<&'a Lock>, &'a Path),
    /// The run itself, which had them in force before: by their hashes, and from the files that it kept.
    Record(&'a BTreeMap<String, String>, &'a Folder),
    /// The user, now: `alft plugin lock`.
    Asked,
}

impl Panel {
    /// Builds and opens the plugins.
    pub(crate) fn open(
        entries: &[PluginEntry],
        limits: &Limits,
        approval: Approval<'_>,
        say: &dyn Fn(&str),
    ) -> Result<Self> {
        let engine =
            engine::start(&entries.iter().fold(limits.clone(), |all, entry| all.covering(&entry.limits(limits))))?;
        let seats: Vec<Seat> =
            entries.iter().map(|entry| Seat::open(entry, limits, approval, &engine, say)).collect::<Result<_>>()?;
        let readers: Vec<usize> = (0..seats.len()).filter(|&at| seats[at].reads).collect();
        if !seats.iter().any(|seat| seat.verifies || seat.prices) {
            return Err(Error::Plugin {
                name: names(&seats, 0..seats.len()),
                reason: "none of the plugins is a verifier or an objective: nothing would be learnt".into(),
            });
        }
        match readers[..] {
            [reader] => Ok(Self { seats, reader }),
            [] => Err(Error::Plugin {
                name: names(&seats, 0..seats.len()),
                reason: "none of the plugins reads answers; add one with the reader role, such as plugins/arithmetic"
                    .into(),
            }),
            _ => Err(Error::Plugin {
                name: names(&seats, readers.iter().copied()),
                reason: "more than one plugin would read the answers; take the role from all but one with \
                         `roles = [\"verifier\"]`"
                    .into(),
            }),
        }
    }

    /// Keeps the plugins' files in the run's folder: a resumed run and a replay need them as they are now, whatever
    /// becomes of those that the run file names.
    pub(crate) fn keep(&self, folder: &Folder) -> Result<()> {
        let plugins = folder.plugins();
        std::fs::create_dir_all(&plugins).map_err(Error::io("create the folder", &plugins))?;
        for seat in self.seats.iter().filter(|seat| !folder.plugin(&seat.hash).exists()) {
            let Some(plugin) = seat.plugin.loaded() else { continue };
            let path = &plugin.source().path;
            let unusable = |reason: String| Error::Plugin { name: seat.name.clone(), reason };
            let bytes = file::read(path, &plugin.source().limits).map_err(|error| unusable(error.to_string()))?;
            if file::hash_of(&bytes) != seat.hash {
                return Err(unusable(format!(
                    "its file {} was changed while it was opened; try again",
                    path.display()
                )));
            }
            folder.write(&format!("plugins/{}", seat.hash), &bytes)?;
        }
        Ok(())
    }

    /// A panel of reference plugins, the first of which reads.
    pub(crate) fn linked(mut seats: Vec<Seat>) -> Self {
        seats[0].reads = true;
        Self { seats, reader: 0 }
    }

    pub(crate) fn reader(&self) -> &Seat {
        &self.seats[self.reader]
    }

    /// The plugins that score answers, in order: the columns of `Answer::scores`. The first one is *accuracy*.
    pub(crate) fn verifiers(&self) -> impl Iterator<Item = (usize, &Seat)> {
        self.seats.iter().enumerate().filter(|(_, seat)| seat.verifies)
    }
}

fn names(seats: &[Seat], which: impl Iterator<Item = usize>) -> String {
    which.map(|at| seats[at].name.as_str()).collect::<Vec<_>>().join("\", \"")
}

impl Seat {
    fn open(
        entry: &PluginEntry,
        limits: &Limits,
        approval: Approval<'_>,
        engine: &Engine,
        say: &dyn Fn(&str),
    ) -> Result<Self> {
        let name = entry.name.clone();
        let limits = entry.limits(limits);
        let unusable =
            |error: &alft_plugin_host::Error| Error::Plugin { name: name.clone(), reason: error.to_string() };
        let path = match approval {
            Approval::Record(hashes, folder) => folder.plugin(hashes.get(&name).map_or("", String::as_str)),
            Approval::Lock(..) | Approval::Asked => find(entry, say)?,
        };
        let config = serde_json::to_string(&entry.config).expect("JSON values print");
        let native = match (entry.trust, entry.isolation, &entry.source) {
            (None, ..) => NativeTrust::Refused,
            (Some(Trust::Native), Some(Isolation::Process), _) => NativeTrust::Process,
            (Some(Trust::Native), Some(Isolation::InProcess), _) => NativeTrust::InProcess,
            // Whoever has the source is the one who would mend its crashes, and a crate of the sdk catches its panics; of a
            // built library nobody knows.
            (Some(Trust::Native), None, Some(source)) if source.join("Cargo.toml").is_file() => NativeTrust::InProcess,
            (Some(Trust::Native), None, _) => NativeTrust::Process,
        };
        let pin = match (&entry.hash, &entry.source, approval) {
            (_, _, Approval::Record(hashes, _)) => hashes.get(&name).cloned(),
            (Some(hash), ..) => Some(hash.clone()),
            (None, None, Approval::Lock(lock, _)) => {
                lock.and_then(|lock| lock.get(&name, &config)).map(|pinned| pinned.blake3.clone())
            }
            // It was built a moment ago from a source that the run file names, or is being approved.
            (None, ..) => Some(file::hash(&path, &limits).map_err(|error| unusable(&error))?),
        };
        let source = Source { path, pin, native, config, limits };
        let plugin = Plugin::open(&source, engine).map_err(|error| unusable(&error))?;
        if let Approval::Lock(Some(lock), folder) = approval {
            lock.check(folder, &name, &plugin)?;
        }
        let plays = |role: Role, wanted: RoleName| -> Result<bool> {
            match &entry.roles {
                None => Ok(plugin.has(role)),
                Some(roles) if !roles.contains(&wanted) => Ok(false),
                Some(_) if plugin.has(role) => Ok(true),
                Some(_) => {
                    Err(Error::Plugin { name: name.clone(), reason: format!("it does not have the role {role}") })
                }
            }
        };
        let reads = plays(Role::Reader, RoleName::Reader)?;
        let verifies = plays(Role::Verifier, RoleName::Verifier)?;
        let prices = plays(Role::Objective, RoleName::Objective)?;
        if let OnError::Score(score) = entry.on_error {
            let wrong = |reason: String| Err(Error::Plugin { name: name.clone(), reason });
            if reads || prices {
                let why = "a completion without a reading and a bundle without rewards have no one score to take";
                return wrong(format!("on_error = {{ score = {score} }} is for verifiers alone: {why}; see `roles`"));
            }
            if let Some((low, high)) = plugin.manifest().score_range.filter(|(low, high)| score < *low || score > *high)
            {
                return wrong(format!(
                    "on_error = {{ score = {score} }}: its scores are promised to be {low} to {high}"
                ));
            }
        }
        Ok(Self {
            reads,
            verifies,
            prices,
            weight: entry.weight.clone(),
            on_error: entry.on_error,
            max_failure_rate: entry.max_failure_rate,
            multiplier_rate: entry.multiplier_rate,
            group_objective: entry.group_objective,
            hash: plugin.hash().to_owned(),
            form: plugin.form().to_string(),
            plugin: Box::new(plugin),
            name,
        })
    }

    /// A reference plugin, linked in.
    pub(crate) fn linked(name: String, weight: f64, multiplier_rate: f64, plugin: Configured) -> Self {
        let verifies = matches!(plugin.role, alft_builtin::Role::Verifier(_));
        Self {
            reads: false,
            verifies,
            prices: !verifies,
            weight: Weight::Constant(weight),
            on_error: OnError::Abort,
            max_failure_rate: 0.0,
            multiplier_rate,
            group_objective: None,
            hash: String::new(),
            form: "linked in".into(),
            plugin: Box::new(plugin),
            name,
        }
    }

    /// Its form and roles, for people.
    pub(crate) fn describe(&self) -> String {
        let roles = [(self.reads, "reader"), (self.verifies, "verifier"), (self.prices, "objective")];
        let roles: Vec<&str> = roles.iter().filter(|(plays, _)| *plays).map(|(_, role)| *role).collect();
        let Manifest { name, version, .. } = self.plugin.manifest();
        format!("{name} {version} as {} ({}), weight {}", roles.join(" and "), self.form, self.weight)
    }
}

/// The plugin's file, built first where the run file names a crate.
fn find(entry: &PluginEntry, say: &dyn Fn(&str)) -> Result<PathBuf> {
    match (&entry.path, &entry.source) {
        (Some(path), _) => Ok(path.clone()),
        (None, Some(source)) => {
            let form = match entry.form {
                PluginForm::Component => Form::Component,
                PluginForm::Native => Form::Native,
            };
            Ok(alft_build::build(source, form, say)?)
        }
        (None, None) => unreachable!("the run file was checked"),
    }
}
