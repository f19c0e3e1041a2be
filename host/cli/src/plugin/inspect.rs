//! `alft plugin inspect`: what a plugin is, before it is trusted. A component's file says it all; only its claims are
//! asked for, in the sandbox.

use std::path::{Path, PathBuf};

use alft_conformance::Subject;
use alft_plugin_host::{Error as HostError, Limits, file, inspect};
use alft_sdk::Manifest;
use alft_sdk::batch::Role;
use serde::Serialize;
use serde_json::{Map, Value};

use super::given::{self, Given};
use super::loaded::Loaded;
use crate::engine;
use crate::error::{Error, Result};

/// Show what a plugin is: roles, contract, imports, claims, size and hash.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin inspect plugins/entropy\n\n\
Nothing of a native library runs unless --trust-native is given; its roles and claims are not known then.")]
pub(crate) struct InspectArgs {
    /// A component, a native library, or the folder of a project, which is built first
    #[arg(value_name = "PLUGIN")]
    plugin: PathBuf,
    /// Show what it promises under this configuration, a JSON object (default: the first of kit.json, or {})
    #[arg(long, value_name = "JSON", value_parser = given::config)]
    config: Option<Map<String, Value>>,
    /// Under these limits: a JSON object with keys of the run file's `[limits]`
    #[arg(long, value_name = "JSON", value_parser = given::limits, default_value = "{}")]
    limits: Limits,
    /// Let a native library run, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What is known of a plugin.
#[derive(Debug, Serialize)]
struct Facts {
    file: PathBuf,
    form: &'static str,
    bytes: usize,
    blake3: String,
    contract: Option<String>,
    roles: Vec<String>,
    /// What it asks of its host; a library need not ask.
    imports: Option<Vec<String>>,
    /// The system's interfaces that code within it asks for, and that something within it answers for: an interpreter's,
    /// say. Nothing of the system is granted.
    virtual_wasi: Vec<String>,
    /// Whether it can reach files, the network, a clock or anything else outside.
    can_do_io: bool,
    /// What it says that it was made with.
    producers: Vec<String>,
    needs: Option<Needs>,
    config: String,
    #[serde(flatten)]
    claims: Asked,
}

/// What an instance starts with.
#[derive(Debug, Serialize)]
struct Needs {
    modules: u32,
    memory: u64,
    table_elements: u64,
}

/// What came of asking it for its claims.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Asked {
    Claims(Claims),
    /// Why they are not known.
    NoClaims(String),
}

/// What it promises under the configuration.
#[derive(Debug, Serialize)]
struct Claims {
    name: String,
    version: String,
    summary: String,
    score_range: Option<(f64, f64)>,
    concave: bool,
    gradient: bool,
    needs_reference: bool,
}

/// What the names of a plugin's interfaces begin with.
const PACKAGE: &str = "alft:objective/";

/// What it may import: a way to say something to its author, and records.
const HARMLESS: [&str; 2] = ["diagnostics", "types"];

pub(crate) fn run(args: &InspectArgs) -> Result<()> {
    let given = Given::of(&args.plugin)?;
    let settings = given.settings(None, args.config.as_ref())?;
    let config = Value::Object(settings.configs[0].clone()).to_string();
    let unusable = |reason: String| Error::Plugin { name: args.plugin.display().to_string(), reason };
    let bytes = file::read(&given.file, &args.limits).map_err(|error| unusable(error.to_string()))?;
    let loaded =
        Loaded::new(&engine::start(&args.limits)?, given.file.clone(), args.trust_native, &args.limits, config.clone());
    let claims = claims(&loaded, &config);
    let facts = match bytes.starts_with(b"\0asm") {
        true => component(&given.file, &bytes, config, claims),
        false => library(&given.file, &bytes, config, claims, &loaded),
    };
    let facts = facts.map_err(unusable)?;
    match args.json {
        true => say!("{}", serde_json::to_string(&facts).expect("facts are plain data")),
        false => print(&facts),
    }
    Ok(())
}

fn component(file: &Path, bytes: &[u8], config: String, claims: Asked) -> Result<Facts, String> {
    let anatomy = inspect::component(bytes)?;
    let ours = |name: &str| {
        let (interface, version) = name.strip_prefix(PACKAGE)?.split_once('@')?;
        Some((interface.to_owned(), version.to_owned()))
    };
    let exports: Vec<(String, String)> = anatomy.exports.iter().filter_map(|name| ours(name)).collect();
    let exported = |role: &Role| exports.iter().any(|(interface, _)| *interface == role.name());
    let harmless = |name: &String| ours(name).is_some_and(|(interface, _)| HARMLESS.contains(&interface.as_str()));
    Ok(Facts {
        file: file.into(),
        form: "component",
        bytes: bytes.len(),
        blake3: file::hash_of(bytes),
        contract: exports.first().map(|(_, version)| format!("alft:objective@{version}")),
        roles: Role::ALL.iter().filter(|role| exported(role)).map(Role::to_string).collect(),
        can_do_io: !anatomy.imports.iter().all(harmless),
        virtual_wasi: anatomy.system.into_iter().filter(|name| !anatomy.imports.contains(name)).collect(),
        imports: Some(anatomy.imports),
        producers: anatomy.producers,
        needs: Some(Needs { modules: anatomy.modules, memory: anatomy.memory, table_elements: anatomy.table_elements }),
        config,
        claims,
    })
}

fn library(file: &Path, bytes: &[u8], config: String, claims: Asked, loaded: &Loaded) -> Result<Facts, String> {
    let entries =
        inspect::entries(bytes).map_err(|reason| HostError::NotAPlugin { path: file.into(), reason }.to_string())?;
    // Its roles are in a struct that only running it gives.
    Ok(Facts {
        file: file.into(),
        form: "native library",
        bytes: bytes.len(),
        blake3: file::hash_of(bytes),
        contract: entries.first().cloned(),
        roles: loaded.roles().iter().map(|role| role.to_string()).collect(),
        can_do_io: true,
        imports: None,
        virtual_wasi: Vec::new(),
        producers: Vec::new(),
        needs: None,
        config,
        claims,
    })
}

fn claims(loaded: &Loaded, config: &str) -> Asked {
    let reason = match loaded.plugin(config) {
        Ok(plugin) => {
            let Manifest { name, version, summary, score_range, concave, gradient, needs_reference } =
                plugin.manifest().clone();
            return Asked::Claims(Claims { name, version, summary, score_range, concave, gradient, needs_reference });
        }
        Err(HostError::Untrusted { .. }) => "not asked: --trust-native lets it run".into(),
        Err(HostError::Config { reason, .. }) => format!("it refuses this configuration ({reason}); see --config"),
        Err(error) => error.to_string(),
    };
    Asked::NoClaims(reason)
}

fn print(facts: &Facts) {
    let line = |what: &str, text: &str| say!("{what:<10} {text}");
    let list = |items: &[String]| if items.is_empty() { "none".into() } else { items.join(", ") };
    line("file", &facts.file.display().to_string());
    line("form", &format!("{}, {:.1} kB", facts.form, facts.bytes as f64 / 1e3));
    line("blake3", &facts.blake3);
    line("contract", facts.contract.as_deref().unwrap_or("none of ours"));
    line("roles", &list(&facts.roles));
    line("imports", &facts.imports.as_deref().map_or_else(|| "whatever it likes".into(), list));
    if !facts.virtual_wasi.is_empty() {
        let asked = facts.virtual_wasi.len();
        line(
            "WASI",
            &format!("virtual: code within asks for {asked} interfaces, is answered within, and granted nothing"),
        );
    }
    line(
        "can do I/O",
        match (facts.form, facts.can_do_io) {
            (_, false) => "no: no files, network, clock or randomness; it can only say something to its author",
            ("component", true) => "it asks for it, and is refused when it is loaded",
            _ => "yes: it runs with all the rights of the program that loads it",
        },
    );
    if !facts.producers.is_empty() {
        line("made with", &facts.producers.join(", "));
    }
    if let Some(Needs { modules, memory, table_elements }) = &facts.needs {
        let memory = *memory as f64 / 1e6;
        line("starts", &format!("{modules} modules with {memory:.1} MB of memory and {table_elements} table elements"));
    }
    line("config", &facts.config);
    match &facts.claims {
        Asked::Claims(claims) => {
            line("name", &format!("{} {}", claims.name, claims.version));
            line("says", &claims.summary);
            line("promises", &list(&claims.promises()));
        }
        Asked::NoClaims(reason) => line("promises", reason),
    }
}

impl Claims {
    fn promises(&self) -> Vec<String> {
        let range = self.score_range.map(|(low, high)| format!("scores from {low:?} to {high:?}"));
        let flags = [
            (self.concave, "a concave utility"),
            (self.gradient, "rewards that are its gradient"),
            (self.needs_reference, "to ask for the reference policy's answers"),
        ];
        range
            .into_iter()
            .chain(flags.iter().filter(|(claimed, _)| *claimed).map(|(_, words)| (*words).into()))
            .collect()
    }
}
