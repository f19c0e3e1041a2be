//! `alft.lock`: what the plugins of a run were when somebody approved them.
//!
//! It lies beside the run file. Where there is one, a run starts only with the very plugins that it pins: same bytes,
//! same contract, same roles, same claims under the same configuration, same engine.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::wasm::engine::WASMTIME;
use crate::source;
use crate::plugin::{CONTRACT, Form, Plugin, Role};

/// The name of the file.
pub const NAME: &str = "alft.lock";

/// The version of the file's format.
const VERSION: u32 = 1;

/// The whole file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    /// Of the file's format.
    version: u32,
    /// wasmtime's major version: fuel may differ under another.
    wasmtime: u32,
    /// The plugins, in the order of the run file.
    #[serde(default, rename = "plugin")]
    plugins: Vec<Pinned>,
}

/// A plugin as it was approved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pinned {
    /// What the run calls it.
    pub name: String,
    /// BLAKE3 of its file, in hexadecimal.
    pub blake3: String,
    /// The contract's version.
    contract: String,
    /// Whether it is sandboxed.
    form: Form,
    /// What it can be asked to do.
    roles: Vec<String>,
    /// The import list: the proof that a component does no input or output.
    imports: Vec<String>,
    /// How a native library was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    claims: Claims,
    /// What the conformance kit found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kit: Option<Verdict>,
}

/// What a plugin says of itself under its configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    /// Its own name and version.
    plugin: String,
    /// The configuration that it was asked with.
    config: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    score_range: Option<(f64, f64)>,
    concave: bool,
    gradient: bool,
    needs_reference: bool,
}

/// What the conformance kit found, when the file was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// Tests that passed.
    pub passed: u32,
    /// Tests that failed.
    pub failed: u32,
    /// Tests that ended their process, or did not end.
    pub crashed: u32,
    /// Tests that were not for this plugin.
    pub skipped: u32,
    /// The kit's version.
    pub kit_version: u32,
}

/// Why a lock cannot be used, or refuses a plugin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot read {}: {reason}", path.display())]
    Read { path: PathBuf, reason: std::io::Error },

    #[error("{}: {reason}; write it anew with `alft plugin lock`", path.display())]
    Parse { path: PathBuf, reason: String },

    #[error(
        "{} was written for wasmtime {found}, and this alft has {WASMTIME}, under which fuel may differ; write it anew with \
         `alft plugin lock`",
        path.display()
    )]
    Engine { path: PathBuf, found: u32 },

    #[error("plugin \"{name}\" is not in {}; if you trust it, add it with `alft plugin lock`", path.display())]
    Absent { path: PathBuf, name: String },

    #[error(
        "plugin \"{name}\" is not what {} pins: its {what} was {pinned} and is {found}; if the change is meant, approve it \
         with `alft plugin lock`",
        path.display()
    )]
    Changed { path: PathBuf, name: String, what: &'static str, pinned: String, found: String },
}

impl Pinned {
    /// A plugin as it is, and what the kit found, if it was asked.
    pub fn of(name: &str, plugin: &Plugin, kit: Option<Verdict>) -> Self {
        let manifest = plugin.manifest();
        Self {
            name: name.into(),
            blake3: plugin.hash().into(),
            contract: CONTRACT.into(),
            form: plugin.form(),
            roles: Role::ALL.iter().filter(|role| plugin.has(**role)).map(ToString::to_string).collect(),
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
            kit,
        }
    }

    /// The first thing in which a plugin is not what was approved: what, as it was, as it is.
    fn difference(&self, now: &Self) -> Option<(&'static str, String, String)> {
        let list = |list: &[String]| format!("[{}]", list.join(", "));
        let optional = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".into());
        let claims = |claims: &Claims| serde_json::to_string(claims).expect("claims are plain data");
        [
            ("BLAKE3", self.blake3.clone(), now.blake3.clone()),
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
    /// A lock of these plugins, for this engine.
    pub fn new(plugins: Vec<Pinned>) -> Self {
        Self { version: VERSION, wasmtime: WASMTIME, plugins }
    }

    /// The lock in a folder, if there is one.
    ///
    /// # Errors
    /// It cannot be read, is not ours, or is for another engine.
    pub fn find(folder: &Path) -> Result<Option<Self>, Error> {
        let path = folder.join(NAME);
        let text = match file::regular_if_any(&path).and_then(|()| std::fs::read_to_string(&path)) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(reason) => return Err(Error::Read { path, reason }),
        };
        let wrong = |reason: String| Error::Parse { path: path.clone(), reason };
        let lock: Self = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        if lock.version != VERSION {
            return Err(wrong(format!("it has the format {}; this alft reads {VERSION}", lock.version)));
        }
        if lock.wasmtime != WASMTIME {
            return Err(Error::Engine { path, found: lock.wasmtime });
        }
        Ok(Some(lock))
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let body = toml::to_string(self).expect("a lock prints");
        format!(
            "# Written by `alft plugin lock`: the plugins of the run files in this folder, as they were approved.\n{body}"
        )
    }

    /// The plugin that a run file calls so, with this configuration if there are several: run files in one folder share
    /// the lock.
    pub fn get(&self, name: &str, config: &str) -> Option<&Pinned> {
        let mut named = self.plugins.iter().filter(|pinned| pinned.name == name);
        let first = named.clone().next();
        named.find(|pinned| pinned.claims.config == config).or(first)
    }

    /// Refuses a plugin that is not the one that was approved. `folder` is where the lock lies.
    ///
    /// # Errors
    /// The plugin is not in it, or is another.
    pub fn check(&self, folder: &Path, name: &str, plugin: &Plugin) -> Result<(), Error> {
        let path = || folder.join(NAME);
        let pinned = self.get(name, &plugin.source().config);
        let pinned = pinned.ok_or_else(|| Error::Absent { path: path(), name: name.into() })?;
        match pinned.difference(&Pinned::of(name, plugin, None)) {
            None => Ok(()),
            Some((what, pinned, found)) => Err(Error::Changed { path: path(), name: name.into(), what, pinned, found }),
        }
    }

    /// The same lock with these plugins in place of those of the same names and configurations; the rest stays.
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
