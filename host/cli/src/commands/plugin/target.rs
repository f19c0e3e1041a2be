//! The plugin that a command names: a component, a native library, the folder of a project, which is built first, or the
//! reference of a component in a registry, which is fetched first.

use std::path::{Path, PathBuf};

use alft_build::Form;
use alft_conformance::Settings;
use alft_plugin_host::{Error as HostError, Limits, NativeTrust, Plugin};
use alft_registry::{Artifact, Reference};
use alft_runtime::plugins::open_file;
use alft_text::Foreign;
use serde_json::{Map, Value};

use crate::engine;
use crate::error::{Error, Result, chain};

/// The arguments that name a plugin and the conditions of its calls.
#[derive(Debug, clap::Args)]
pub(super) struct TargetArgs {
    /// A component, a native library, the folder of a project, which is built first, or oci://HOST/NAME:TAG, which is fetched
    #[arg(value_name = "PLUGIN")]
    pub(super) plugin: PathBuf,
    /// The plugin's configuration, a JSON object (default: that of kit.json, or {})
    #[arg(long, value_name = "JSON", value_parser = json_object)]
    pub(super) config: Option<Map<String, Value>>,
    /// The data of the plugin's tests (default: kit.json in the project's folder)
    #[arg(long, value_name = "FILE.json")]
    pub(super) kit: Option<PathBuf>,
    /// Limits of the plugin's calls: a JSON object with keys of the run file's `[limits]`
    #[arg(long, value_name = "JSON", value_parser = limits, default_value = "{}")]
    pub(super) limits: Limits,
    /// Run a native library, with all the rights of this program
    #[arg(long)]
    pub(super) trust_native: bool,
}

impl TargetArgs {
    /// Returns the name of the plugin in errors.
    pub(super) fn name(&self) -> String {
        Foreign::path(&self.plugin).to_string()
    }

    /// Finds the plugin's files, and the data of its tests.
    pub(super) fn find(&self) -> Result<(Target, Settings)> {
        let target = Target::find(&self.plugin, &self.limits)?;
        let settings = target.settings(self.kit.as_deref(), self.config.as_ref())?;
        Ok((target, settings))
    }

    /// Opens the plugin's file on an engine of its limits. A native library runs in a child process.
    pub(super) fn open(&self, target: &Target, config: &str) -> Result<Result<Plugin, HostError>> {
        let native = if self.trust_native { NativeTrust::Process } else { NativeTrust::Refused };
        Ok(open_file(&target.file, config, &self.limits, native, &engine::start(&self.limits)?))
    }
}

/// The files of a plugin.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The component or native library.
    pub(super) file: PathBuf,
    /// The folder of the project that the file was built from.
    pub(super) project: Option<PathBuf>,
}

impl Target {
    /// Finds the plugin at `path`. Builds the component of a project first, and fetches one from a registry.
    fn find(path: &Path, limits: &Limits) -> Result<Self> {
        if let Some(reference) = Reference::of_path(path) {
            let file = Artifact::find(&reference?, limits.component_size)?.fetch()?.path;
            return Ok(Self { file, project: None });
        }
        let metadata = std::fs::metadata(path).map_err(|error| {
            let source = alft_fs::with_hint(path, error);
            Error::plugin(&Foreign::path(&path).to_string())(HostError::Read { path: path.into(), source })
        })?;
        if metadata.is_dir() {
            let file = alft_build::build(path, Form::Component, &|event| tell!("{event}"))?;
            return Ok(Self { file, project: Some(path.into()) });
        }
        Ok(Self { file: path.into(), project: None })
    }

    /// Builds the native library of a project whose language compiles to one.
    pub(super) fn build_twin(&self) -> Result<Option<PathBuf>> {
        match &self.project {
            Some(project) if alft_build::language(project)?.is_compiled() => {
                Ok(Some(alft_build::build(project, Form::Native, &|event| tell!("{event}"))?))
            }
            _ => Ok(None),
        }
    }

    /// Reads the data of the plugin's tests from the file `kit`, or else from the project's kit.json. `config` replaces the
    /// configurations in the file.
    pub(super) fn settings(&self, kit: Option<&Path>, config: Option<&Map<String, Value>>) -> Result<Settings> {
        let project = self.project.as_ref().map(|project| project.join(Settings::FILE)).filter(|file| file.exists());
        let file = kit.map(Path::to_path_buf).or(project);
        if let Some(path) = &file {
            // A pipe or the like is refused here: the kit waits for what it reads.
            let wrong = |reason: String| Error::Data { path: path.clone(), reason };
            let bytes = alft_fs::read(path, alft_fs::MAX_SETTINGS).map_err(|error| wrong(error.to_string()))?;
            if let Some(noun) = alft_fs::other_format(&bytes) {
                return Err(wrong(format!("the file is {noun}")));
            }
        }
        let read = file.as_deref().map_or_else(|| Ok(Settings::default()), Settings::read);
        let path = file.unwrap_or_default();
        let mut settings = read.map_err(|error| Error::Data { path, reason: chain(&error) })?;
        if let Some(config) = config {
            settings.configs = vec![config.clone()];
        }
        Ok(settings)
    }
}

/// Parses `--config`.
fn json_object(text: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(text).map_err(|error| format!("write a JSON object: {error}"))
}

/// Parses `--limits`.
pub(super) fn limits(text: &str) -> Result<Limits, String> {
    let limits: Limits =
        serde_json::from_str(text).map_err(|error| format!("write a JSON object of limits: {error}"))?;
    limits.check().map_err(|invalid| invalid.to_string())?;
    Ok(limits)
}
