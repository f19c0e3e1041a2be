//! `alft plugin inspect`: the facts about a plugin before it is trusted. All but the claims are read from the file. A
//! component is asked for its claims in the sandbox, a native library only with permission.

use std::path::{Path, PathBuf};

use alft_plugin_host::error::{CompileError, FormatError};
use alft_plugin_host::inspect::{ComponentInfo, contract_interface, is_allowed_import};
use alft_plugin_host::{Error as HostError, ForeignError, Plugin, inspect, source};
use alft_registry::{Artifact, Reference};
use alft_sdk::Manifest;
use alft_sdk::roles::{Role, Roles};
use alft_text::Foreign;
use serde::Serialize;
use serde_json::Value;

use super::published::PublishedPlugin;
use super::target::TargetArgs;
use crate::error::{Error, Result, chain};
use crate::print;

/// Show a plugin's roles, contract, imports, claims, size and hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin inspect plugins/entropy\n\n\
The facts of a plugin in a registry (oci://…) are those of its manifest and config: its code is not fetched. \
No code of a native library runs without --trust-native; its roles and claims are unknown then. Exit code 5 if the plugin \
cannot be used.")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A plugin, as far as it is known.
#[derive(Debug, Serialize)]
struct Inspection {
    file: PathBuf,
    bytes: usize,
    blake3: String,
    #[serde(flatten)]
    facts: FileFacts,
    config: String,
    #[serde(flatten)]
    claims: Claims,
}

/// The facts in a plugin's file.
#[derive(Debug, Serialize)]
struct FileFacts {
    form: &'static str,
    contract: Option<Foreign>,
    /// Empty for a native library: its roles are in a struct that only its own code returns.
    roles: Roles,
    /// Names of the imported interfaces; none for a native library, which needs no import to reach the system.
    imports: Option<Vec<Foreign>>,
    /// The system's interfaces (WASI) that modules inside the component import and other modules inside it implement, as
    /// for an interpreter. The host grants none of them.
    virtual_wasi: Vec<Foreign>,
    /// True if the plugin can reach files, the network, a clock or anything else outside.
    can_do_io: bool,
    /// Languages and tools that the component names as its producers.
    producers: Vec<String>,
    needs: Option<Needs>,
}

/// The resources that an instance starts with.
#[derive(Debug, Serialize)]
struct Needs {
    modules: u32,
    /// Bytes of linear memory.
    memory: u64,
    table_elements: u64,
}

/// The plugin's claims under the configuration.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Claims {
    Claims {
        name: String,
        version: String,
        summary: String,
        score_range: Option<(f64, f64)>,
        concave: bool,
        gradient: bool,
        needs_reference: bool,
    },
    /// The reason why the claims are unknown.
    NoClaims(String),
}

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    if let Some(reference) = Reference::of_path(&args.target.plugin) {
        return inspect_published(&reference?, args);
    }
    let name = args.target.name();
    let (target, settings) = args.target.find()?;
    let config = Value::Object(settings.configs[0].clone()).to_string();
    let bytes = source::read(&target.file, &args.target.limits).map_err(Error::open(&name))?;
    // A core module is no component, and the facts below are those of a component or library.
    source::refuse_core_module(&target.file, &bytes).map_err(Error::open(&name))?;
    let facts = match bytes.starts_with(b"\0asm") {
        true => component(&target.file, &bytes),
        false => library(&target.file, &bytes),
    };
    let mut facts = facts.map_err(Error::open(&name))?;
    let plugin = args.target.open(&target, &config)?;
    if let Ok(plugin) = &plugin {
        facts.roles = plugin.roles();
    }
    let (bytes, blake3) = (bytes.len(), source::hash_bytes(&bytes));
    let claims = Claims::of(&plugin);
    let inspection = Inspection { file: target.file, bytes, blake3, facts, config, claims };
    match args.json {
        true => print::json(&inspection),
        false => print(&inspection),
    }
    match plugin {
        // The plugin can be used with another configuration, or once its user trusts it.
        Ok(_) | Err(HostError::Config { .. } | HostError::Untrusted { .. }) => Ok(()),
        Err(error) => Err(Error::open(&name)(error)),
    }
}

/// Shows the facts of a plugin in a registry without its code.
fn inspect_published(reference: &Reference, args: &InspectArgs) -> Result<()> {
    let artifact = Artifact::find(reference, args.target.limits.component_size)?;
    let published = PublishedPlugin::of(&artifact);
    match args.json {
        true => print::json(&published),
        false => published.print(),
    }
    Ok(artifact.check_imports()?)
}

fn component(file: &Path, bytes: &[u8]) -> Result<FileFacts, HostError> {
    let info = inspect::component(bytes).map_err(|error| HostError::Compile {
        path: file.into(),
        source: CompileError::Invalid(ForeignError::from(error.to_string())),
    })?;
    let ComponentInfo { imports, wasi_imports, exports, producers, modules, memory, table_elements } = info;
    let exports: Vec<(&str, &str)> = exports.iter().filter_map(|name| contract_interface(name.raw())).collect();
    let exported = |role: &Role| exports.iter().any(|(interface, _)| *interface == role.name());
    let allowed = |name: &Foreign| is_allowed_import(name.raw());
    Ok(FileFacts {
        form: "component",
        contract: exports.first().map(|(_, version)| Foreign::new(format!("alft:objective@{version}"))),
        roles: Role::ALL.into_iter().filter(exported).collect(),
        can_do_io: !imports.iter().all(allowed),
        virtual_wasi: wasi_imports.into_iter().filter(|name| !imports.contains(name)).collect(),
        imports: Some(imports),
        producers,
        needs: Some(Needs { modules, memory, table_elements }),
    })
}

fn library(file: &Path, bytes: &[u8]) -> Result<FileFacts, HostError> {
    let entries = inspect::library_entries(bytes)
        .map_err(|error| HostError::NotAPlugin { path: file.into(), source: FormatError::from(error) })?;
    // Without an entry there is nothing that trust in the library could run.
    let Some(entry) = entries.into_iter().next() else {
        return Err(HostError::NotAPlugin { path: file.into(), source: FormatError::NoEntry });
    };
    Ok(FileFacts {
        form: "native library",
        contract: Some(Foreign::new(entry)),
        roles: Roles::default(),
        imports: None,
        virtual_wasi: Vec::new(),
        can_do_io: true,
        producers: Vec::new(),
        needs: None,
    })
}

impl Claims {
    fn of(plugin: &Result<Plugin, HostError>) -> Self {
        match plugin {
            Ok(plugin) => {
                let Manifest { name, version, summary, score_range, concave, gradient, needs_reference } =
                    plugin.manifest().clone();
                Self::Claims { name, version, summary, score_range, concave, gradient, needs_reference }
            }
            Err(HostError::Untrusted { .. }) => {
                Self::NoClaims("unknown; add --trust-native to run the library and ask it".into())
            }
            Err(HostError::Config { reason, .. }) => Self::NoClaims(format!(
                "unknown; the plugin refuses this configuration ({reason}); give another one with --config"
            )),
            Err(error) => Self::NoClaims(format!("unknown; {}", chain(error))),
        }
    }
}

fn print(inspection: &Inspection) {
    let Inspection { file, bytes, blake3, facts, config, claims } = inspection;
    let line = |label: &str, text: &str| say!("{label:<10} {text}");
    let list = |items: &[String]| if items.is_empty() { "none".into() } else { items.join(", ") };
    line("file", &Foreign::path(&file).to_string());
    line("form", &format!("{}, {:.1} kB", facts.form, *bytes as f64 / 1e3));
    line("blake3", blake3);
    line("contract", &facts.contract.as_ref().map_or_else(|| "none of alft".into(), Foreign::to_string));
    line("roles", &list(&facts.roles.iter().map(|role| role.to_string()).collect::<Vec<_>>()));
    // A stranger's name stands in quotes, so that an import with the name `none` is not read as that word.
    let quoted = |imports: &Vec<Foreign>| {
        let quoted = |name: &Foreign| match is_allowed_import(name.raw()) {
            true => name.to_string(),
            false => format!("{name:?}"),
        };
        list(&imports.iter().map(quoted).collect::<Vec<_>>())
    };
    line("imports", &facts.imports.as_ref().map_or_else(|| "not restricted".into(), quoted));
    if !facts.virtual_wasi.is_empty() {
        let count = facts.virtual_wasi.len();
        line("WASI", &format!("virtual: the component itself implements the {count} interfaces that it uses"));
    }
    line(
        "can do I/O",
        match (&facts.imports, facts.can_do_io) {
            (_, false) => "no: no files, network, clock or randomness; it can only log lines for its author",
            (Some(_), true) => "not here: it imports interfaces outside the contract, so this host does not load it",
            (None, true) => "yes: it runs with all the rights of the program that loads it",
        },
    );
    if !facts.producers.is_empty() {
        line("made with", &facts.producers.join(", "));
    }
    if let Some(Needs { modules, memory, table_elements }) = &facts.needs {
        let memory = *memory as f64 / 1e6;
        line("starts", &format!("{modules} modules with {memory:.1} MB of memory and {table_elements} table elements"));
    }
    line("config", config);
    match claims {
        Claims::NoClaims(reason) => line("claims", reason),
        Claims::Claims { name, version, summary, score_range, concave, gradient, needs_reference } => {
            line("name", &format!("{name} {version}"));
            line("summary", summary);
            let range = score_range.map(|(low, high)| format!("scores from {low:?} to {high:?}"));
            let flags = [
                (*concave, "a concave utility"),
                (*gradient, "rewards that are its gradient"),
                (*needs_reference, "needs the reference policy's answers"),
            ];
            let claimed = flags.iter().filter(|(claimed, _)| *claimed).map(|(_, text)| (*text).to_owned());
            line("claims", &list(&range.into_iter().chain(claimed).collect::<Vec<_>>()));
        }
    }
}
