//! `alft plugin list`: the plugins in the cache of registries, in the lock of a folder, and in a run file.

use std::path::{Path, PathBuf};

use alft_plugin_host::lock::{Conformance, Lock, Pinned};
use alft_registry::{Artifact, Facts, Reference, cache};
use alft_runtime::config::{PluginEntry, RunFileWatcher};
use alft_text::Foreign;
use serde::Serialize;

use super::lock::lock_dir;
use super::published::verdict;
use crate::error::Result;
use crate::print;

/// List the plugins in the cache, in alft.lock and in a run file.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin list run.toml\n\n\
Without a run file, the cache and the alft.lock of this folder. The tests of a plugin in the cache are those that its \
publisher attached; those of a plugin in the lock ran here. No plugin is opened, and nothing is fetched.")]
pub(crate) struct ListArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    run: Option<PathBuf>,
    /// Override a key of the run file, as `alft train` does (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "run")]
    overrides: Vec<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Lists {
    /// Plugins that were fetched from registries.
    cache: Vec<Row>,
    /// Plugins that alft.lock pins.
    lock: Vec<Row>,
    /// Plugins of the run file.
    run: Vec<Row>,
}

/// A plugin, as far as it is known.
#[derive(Debug, Default, Serialize)]
struct Row {
    /// The name in the run file or the lock; in the cache, the plugin's own name.
    name: Option<Foreign>,
    /// The plugin's own name and version.
    plugin: Option<Foreign>,
    roles: Option<Foreign>,
    conformance: Option<Conformance>,
    /// The size of the plugin's file.
    bytes: Option<u64>,
    blake3: Option<Foreign>,
    /// The reference in a registry, the file, or the project's folder.
    source: Option<Foreign>,
}

pub(crate) fn run(args: &ListArgs) -> Result<()> {
    let lock = Lock::find(&args.run.as_deref().map_or_else(|| PathBuf::from("."), lock_dir))?;
    let entries = match &args.run {
        None => Vec::new(),
        Some(run) => RunFileWatcher::new(run.clone(), args.overrides.clone())?.1.plugins,
    };
    let lists = Lists {
        cache: cache::records()?.iter().filter_map(|record| cached(&record.reference)).collect(),
        lock: lock.iter().flat_map(Lock::plugins).map(pinned).collect(),
        run: entries.iter().map(|entry| in_run(entry, lock.as_ref())).collect(),
    };
    if args.json {
        print::json(&lists);
        return Ok(());
    }
    let Lists { cache, lock, run } = &lists;
    print_rows("cache", cache);
    print_rows("alft.lock", lock);
    if args.run.is_some() {
        print_rows("run", run);
    }
    Ok(())
}

/// A plugin in the cache. One whose documents were deleted or damaged is not there.
fn cached(reference: &Reference) -> Option<Row> {
    let artifact = Artifact::cached(reference).ok()??;
    let Facts { name, version, roles, blake3, .. } = artifact.facts().clone();
    let plugin =
        name.as_ref().zip(version).map(|(name, version)| Foreign::new(format!("{} {}", name.raw(), version.raw())));
    Some(Row {
        name,
        plugin,
        roles,
        conformance: artifact.cached_report(),
        bytes: Some(artifact.size()),
        blake3,
        source: Some(reference.to_string().into()),
    })
}

fn pinned(pinned: &Pinned) -> Row {
    let source = pinned.oci.clone();
    // The reference comes from a file that people edit.
    let reference = source.as_ref().and_then(|source| source.parse().ok());
    Row {
        name: Some(pinned.name.clone().into()),
        plugin: Some(pinned.plugin().to_owned().into()),
        roles: Some(pinned.roles().join(", ").into()),
        conformance: pinned.conformance,
        bytes: reference.and_then(|reference| cached(&reference)?.bytes),
        blake3: Some(pinned.blake3.clone().into()),
        source: source.map(Foreign::new),
    }
}

fn in_run(entry: &PluginEntry, lock: Option<&Lock>) -> Row {
    let config = serde_json::to_string(&entry.config).expect("JSON values print");
    let known = lock.and_then(|lock| lock.get(&entry.name, &config)).map(pinned).unwrap_or_default();
    let source = entry.path.as_deref().or(entry.source.as_deref()).unwrap_or(Path::new(""));
    let file = std::fs::metadata(source).ok().filter(std::fs::Metadata::is_file).map(|file| file.len());
    let bytes = match entry.reference() {
        Ok(Some(reference)) => cached(&reference).and_then(|row| row.bytes).or(known.bytes),
        _ => file,
    };
    let name = Some(entry.name.clone().into());
    Row { name, bytes, source: Some(source.to_string_lossy().into_owned().into()), ..known }
}

fn print_rows(title: &str, rows: &[Row]) {
    say!("{title}");
    if rows.is_empty() {
        say!("  nothing");
    }
    for Row { name, plugin, roles, conformance, bytes, blake3, source } in rows {
        let unknown = || "–".to_owned();
        let text = |text: &Option<Foreign>| text.as_ref().map_or_else(unknown, Foreign::to_string);
        let size = bytes.map_or_else(unknown, |bytes| format!("{:.1} kB", bytes as f64 / 1e3));
        say!("  {:<16} {:<24} {:<24} {size:>10}", text(name), text(plugin), text(roles));
        say!("    tests   {}", conformance.as_ref().map_or_else(|| "no report".into(), verdict));
        for (label, text) in [("blake3", blake3), ("from", source)] {
            if let Some(text) = text {
                say!("    {label:<7} {text}");
            }
        }
    }
}
