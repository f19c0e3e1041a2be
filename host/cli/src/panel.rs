//! The plugins of a run: built, opened, and given their parts.

use std::path::PathBuf;

use alft_build::Form;
use alft_game::group::GroupObjective;
use alft_linked::Configured;
use alft_plugin_host::{Engine, Limits, Plugin, Role, Source};
use alft_sdk::Manifest;

use crate::error::{Error, Result};
use crate::judge::Judge;
use crate::runfile::{PluginEntry, PluginForm, RoleName, Trust};

/// A plugin with its part in the run.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) name: String,
    pub(crate) plugin: Box<dyn Judge>,
    /// BLAKE3 of its file; empty for one that is linked in.
    pub(crate) hash: String,
    /// What it was loaded from.
    form: &'static str,
    pub(crate) weight: f64,
    pub(crate) multiplier_rate: f64,
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

impl Panel {
    /// Builds and opens the plugins.
    pub(crate) fn open(entries: &[PluginEntry], limits: &Limits, say: &dyn Fn(&str)) -> Result<Self> {
        let engine =
            Engine::new(limits).map_err(|error| Error::Plugin { name: "*".into(), reason: error.to_string() })?;
        let seats: Vec<Seat> =
            entries.iter().map(|entry| Seat::open(entry, limits, &engine, say)).collect::<Result<_>>()?;
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
    fn open(entry: &PluginEntry, limits: &Limits, engine: &Engine, say: &dyn Fn(&str)) -> Result<Self> {
        let name = entry.name.clone();
        let path = file(entry, say)?;
        let config = serde_json::to_string(&entry.config).expect("JSON values print");
        let source = Source { path, trust_native: entry.trust == Some(Trust::Native), config, limits: limits.clone() };
        let plugin = Plugin::open(&source, engine)
            .map_err(|error| Error::Plugin { name: name.clone(), reason: error.to_string() })?;
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
        let form = if plugin.is_native() { "native library" } else { "WebAssembly component" };
        Ok(Self {
            reads: plays(Role::Reader, RoleName::Reader)?,
            verifies: plays(Role::Verifier, RoleName::Verifier)?,
            prices: plays(Role::Objective, RoleName::Objective)?,
            weight: entry.weight,
            multiplier_rate: entry.multiplier_rate,
            group_objective: entry.group_objective,
            hash: plugin.hash().to_owned(),
            form,
            plugin: Box::new(plugin),
            name,
        })
    }

    /// A reference plugin, linked in.
    pub(crate) fn linked(name: String, weight: f64, multiplier_rate: f64, plugin: Configured) -> Self {
        let verifies = matches!(plugin.role, alft_linked::Role::Verifier(_));
        Self {
            reads: false,
            verifies,
            prices: !verifies,
            weight,
            multiplier_rate,
            group_objective: None,
            hash: String::new(),
            form: "linked in",
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
fn file(entry: &PluginEntry, say: &dyn Fn(&str)) -> Result<PathBuf> {
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
