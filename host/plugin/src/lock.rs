//! `alft.lock`: the plugins of a run as they were approved.
//!
//! The file lies beside the run file. If it exists, a run starts only with the plugins that it pins: the same bytes,
//! contract, roles and promises under the same configuration, and the same engine.

use std::io;
use std::path::{Path, PathBuf};

use alft_text::Foreign;
use serde::{Deserialize, Serialize};

use crate::backend::CONTRACT_VERSION;
use crate::plugin::Plugin;
use crate::source::Form;
use crate::wasm::engine::WASMTIME;

/// The name of the file.
pub const NAME: &str = "alft.lock";

/// The version of the file's format.
const FORMAT: u32 = 1;

/// A lock: the plugins that the run files of a folder may use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Version of the file's format.
    #[serde(rename = "version")]
    format: u32,
    /// wasmtime's major version. The same call may use other fuel under another.
    wasmtime: u32,
    /// The plugins in the order of the run file.
    #[serde(default, rename = "plugin")]
    plugins: Vec<Pinned>,
}

/// A plugin as it was approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// The plugin's name in the run.
    pub name: String,
    /// BLAKE3 hash of the plugin's file, in hexadecimal.
    pub blake3: String,
    /// The reference of a component from a registry, with its digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oci: Option<String>,
    /// Version of the contract.
    contract: String,
    /// The form in which the plugin runs: sandboxed or not.
    form: Form,
    /// Names of the roles.
    roles: Vec<String>,
    /// The imports: the proof that a component cannot reach the system.
    imports: Vec<String>,
    /// A native library's description of how it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    claims: Claims,
    /// The results of the conformance tests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conformance: Option<Conformance>,
}

/// A plugin's manifest under its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// The plugin's own name and version.
    plugin: String,
    /// The configuration.
    config: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_range: Option<(f64, f64)>,
    concave: bool,
    gradient: bool,
    needs_reference: bool,
}

/// The results of the conformance tests when the plugin was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conformance {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests whose process crashed or did not end.
    pub crashed: u32,
    /// Tests that do not apply to the plugin.
    pub skipped: u32,
    /// Version of the tests.
    pub version: u32,
}

/// A lock that cannot be used, or that does not pin a plugin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot read {}", Foreign::path(path))]
    Read { path: PathBuf, source: io::Error },

    #[error("{} is not a lock; write it again with `alft plugin lock`", Foreign::path(path))]
    Parse { path: PathBuf, source: toml::de::Error },

    #[error(
        "{} has the format {found}, and this alft reads the format {FORMAT}; write it again with `alft plugin lock`",
        Foreign::path(path)
    )]
    Format { path: PathBuf, found: u32 },

    #[error(
        "{} was written for wasmtime {found}, and this alft has {WASMTIME}, under which fuel may differ; write it again \
         with `alft plugin lock`",
        Foreign::path(path)
    )]
    Engine { path: PathBuf, found: u32 },

    #[error(
        "plugin \"{name}\" is not in {}; if you trust it, add it with `alft plugin lock`",
        Foreign::path(path),
        name = Foreign::new(name)
    )]
    Absent { path: PathBuf, name: String },

    #[error(
        "plugin \"{name}\" is not the one that {} pins: its {property} was {pinned} and is {found}; if the change is \
         intended, approve it with `alft plugin lock`",
        Foreign::path(path),
        name = Foreign::new(name),
        pinned = Foreign::new(pinned),
        found = Foreign::new(found)
    )]
    Changed { path: PathBuf, name: String, property: &'static str, pinned: String, found: String },
}

impl Pinned {
    /// Pins a plugin, with the results of the conformance tests if they were run.
    pub fn new(name: &str, plugin: &Plugin, conformance: Option<Conformance>) -> Self {
        let manifest = plugin.manifest();
        Self {
            name: name.into(),
            blake3: plugin.hash().into(),
            oci: None,
            contract: CONTRACT_VERSION.into(),
            form: plugin.form(),
            roles: plugin.roles().iter().map(|role| role.to_string()).collect(),
            imports: plugin.imports().to_vec(),
            fingerprint: plugin.fingerprint().map(str::to_owned),
            claims: Claims {
                plugin: format!("{} {}", manifest.name, manifest.version),
                config: plugin.source().config.clone(),
                score_range: manifest.score_range,
                concave: manifest.concave,
                gradient: manifest.gradient,
                needs_reference: manifest.needs_reference,
            },
            conformance,
        }
    }

    /// Adds the reference of a component from a registry, with its digest.
    #[must_use]
    pub fn from_registry(self, reference: Option<String>) -> Self {
        Self { oci: reference, ..self }
    }

    /// Version of the contract.
    pub fn contract(&self) -> &str {
        &self.contract
    }

    /// Names of the roles.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }

    /// The form in which the plugin runs.
    pub fn form(&self) -> Form {
        self.form
    }

    /// The plugin's own name and version.
    pub fn plugin(&self) -> &str {
        &self.claims.plugin
    }

    /// Returns the first property in which `now` differs from this plugin, with both values.
    fn difference(&self, now: &Self) -> Option<(&'static str, String, String)> {
        let list = |list: &[String]| format!("[{}]", list.join(", "));
        let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        let claims = |claims: &Claims| serde_json::to_string(claims).expect("claims are plain data");
        [
            ("BLAKE3 hash", self.blake3.clone(), now.blake3.clone()),
            ("contract", self.contract.clone(), now.contract.clone()),
            ("form", self.form.to_string(), now.form.to_string()),
            ("list of roles", list(&self.roles), list(&now.roles)),
            ("list of imports", list(&self.imports), list(&now.imports)),
            ("fingerprint", optional(&self.fingerprint), optional(&now.fingerprint)),
            ("set of claims", claims(&self.claims), claims(&now.claims)),
        ]
        .into_iter()
        .find(|(_, pinned, found)| pinned != found)
    }
}

impl Lock {
    /// Returns a lock of these plugins for this engine.
    pub fn new(plugins: Vec<Pinned>) -> Self {
        Self { format: FORMAT, wasmtime: WASMTIME, plugins }
    }

    /// Returns the lock in a folder, if there is one.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is not a lock or is for another engine.
    pub fn find(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(NAME);
        let text = match alft_fs::read_to_string(&path, alft_fs::MAX_SETTINGS) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(Error::Read { path, source }),
        };
        let lock: Self = match toml::from_str(&text) {
            Ok(lock) => lock,
            Err(source) => return Err(Error::Parse { path, source }),
        };
        match lock {
            Self { format, .. } if format != FORMAT => Err(Error::Format { path, found: format }),
            Self { wasmtime, .. } if wasmtime != WASMTIME => Err(Error::Engine { path, found: wasmtime }),
            lock => Ok(Some(lock)),
        }
    }

    /// The plugins, in the order of the file.
    pub fn plugins(&self) -> &[Pinned] {
        &self.plugins
    }

    /// Returns the text of the file.
    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("a lock can be written as TOML");
        format!(
            "# Written by `alft plugin lock`: the plugins of the run files in this folder, as they were approved.\n{body}"
        )
    }

    /// Returns the plugin with this name: the one with this configuration if there are several, because the run files of a
    /// folder share the lock.
    pub fn get(&self, name: &str, config: &str) -> Option<&Pinned> {
        let mut named = self.plugins.iter().filter(|pinned| pinned.name == name);
        let first = named.clone().next();
        named.find(|pinned| pinned.claims.config == config).or(first)
    }

    /// Checks that a plugin is the one that was approved. `folder` is the lock's folder.
    ///
    /// # Errors
    /// Fails if the plugin is not in the lock, or differs from the one in the lock.
    pub fn check(&self, folder: &Path, name: &str, plugin: &Plugin) -> Result<(), Error> {
        let path = || folder.join(NAME);
        let pinned = self.get(name, &plugin.source().config);
        let pinned = pinned.ok_or_else(|| Error::Absent { path: path(), name: name.into() })?;
        match pinned.difference(&Pinned::new(name, plugin, None)) {
            None => Ok(()),
            Some((property, pinned, found)) => {
                Err(Error::Changed { path: path(), name: name.into(), property, pinned, found })
            }
        }
    }

    /// Returns the lock with these plugins, which replace those with the same names and configurations.
    #[must_use]
    pub fn with(mut self, plugins: Vec<Pinned>) -> Self {
        for plugin in plugins {
            let same =
                |pinned: &&mut Pinned| pinned.name == plugin.name && pinned.claims.config == plugin.claims.config;
            match self.plugins.iter_mut().find(same) {
                Some(pinned) => *pinned = plugin,
                None => self.plugins.push(plugin),
            }
        }
        self
    }
}
