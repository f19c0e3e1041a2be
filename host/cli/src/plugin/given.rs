//! The plugin that a command names: a component, a native library, or the folder of a project, which is built first.

use std::path::{Path, PathBuf};

use alft_build::Form;
use alft_conformance::Settings;
use alft_plugin_host::Limits;
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// A plugin's files.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    /// The component or library.
    pub(crate) file: PathBuf,
    /// The library beside the component, from the same source.
    pub(crate) twin: Option<PathBuf>,
    /// The project's folder.
    pub(crate) folder: Option<PathBuf>,
}

impl Given {
    /// Finds the plugin; builds the component of a project.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let metadata = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if metadata.is_dir() {
            let file = alft_build::build(path, Form::Component, &say)?;
            return Ok(Self { file, twin: None, folder: Some(path.into()) });
        }
        Ok(Self { file: path.into(), twin: None, folder: None })
    }

    /// Builds the native library too, where the project's language makes one.
    pub(crate) fn with_twin(self) -> Result<Self> {
        let twin = match &self.folder {
            Some(folder) if alft_build::language(folder)?.is_compiled() => {
                Some(alft_build::build(folder, Form::Native, &say)?)
            }
            _ => None,
        };
        Ok(Self { twin, ..self })
    }

    /// What it is to be tested with: `kit` or the project's own kit.json, and `config` in place of their configurations.
    pub(crate) fn settings(&self, kit: Option<&Path>, config: Option<&Map<String, Value>>) -> Result<Settings> {
        let read = match (kit, &self.folder) {
            (Some(file), _) => Settings::read(file).map_err(|error| (file.to_path_buf(), error)),
            (None, Some(folder)) => Settings::of(folder).map_err(|error| (folder.join(Settings::FILE), error)),
            (None, None) => Ok(Settings::default()),
        };
        let mut settings = read.map_err(|(path, error)| Error::Data { path, reason: error.to_string() })?;
        if let Some(config) = config {
            settings.configs = vec![config.clone()];
        }
        Ok(settings)
    }
}

fn say(line: &str) {
    eprintln!("{line}");
}

/// Limits, for `--limits`.
pub(super) fn limits(text: &str) -> std::result::Result<Limits, String> {
    let limits: Limits =
        serde_json::from_str(text).map_err(|error| format!("write a JSON object of limits: {error}"))?;
    limits.check().map_err(|(_, why)| why)?;
    Ok(limits)
}

/// A JSON object, for `--config`.
pub(super) fn config(text: &str) -> std::result::Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("write a JSON object: {error}"))
}
