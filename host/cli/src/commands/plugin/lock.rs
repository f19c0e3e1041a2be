//! `alft plugin lock`: writes down what the plugins of a run are, for every later start to be checked against.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alft_plugin_host::lock::{self, Lock, Pinned, Verdict};
use alft_plugin_host::{Form, Plugin};

use super::check::{Check, verdict};
use super::given::Given;
use crate::entry::PluginEntry;
use crate::error::Result;
use crate::folder::Folder;
use crate::panel::{Approval, Panel};
use crate::runfile::RunFile;

/// Approve the plugins of a run file as they are now
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin lock run.toml\n\n\
Writes alft.lock beside the run file: BLAKE3, contract version, roles, imports and claims of every plugin, and what the \
conformance kit finds. From then on `alft train` starts only with these very plugins, and a native library pinned here \
needs no `hash` in the run file.")]
pub(crate) struct LockArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    pub(crate) run: PathBuf,
    /// Override a key of the run file, as `alft train` does (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}

pub(crate) fn run(args: &LockArgs) -> Result<()> {
    let say = |line: &str| eprintln!("{line}");
    let run = RunFile::read(&args.run, &args.overrides)?;
    let panel = Panel::open(&run.plugins, &run.limits, Approval::Asked, &say)?;
    let mut plugins = Vec::new();
    for (entry, seat) in run.plugins.iter().zip(&panel.seats) {
        let plugin = seat.plugin.loaded().expect("a run's plugins are loaded");
        let kit = examine(entry, plugin, &run)?;
        let pinned = Pinned::of(&seat.name, plugin, Some(kit));
        let Verdict { passed, failed, crashed, skipped, .. } = kit;
        say!("{:<16}{} {}", seat.name, &pinned.blake3[..16], seat.describe());
        say!("{:<16}kit: {passed} passed, {failed} failed, {crashed} crashed, {skipped} skipped", "");
        if failed + crashed > 0 {
            say(&format!("see what is wrong with {}: alft plugin check {}", seat.name, plugin.source().path.display()));
        }
        plugins.push(pinned);
    }
    let folder = folder(&args.run);
    let path = folder.join(lock::NAME);
    let lock = Lock::find(&folder).ok().flatten().unwrap_or_else(|| Lock::new(Vec::new())).with(plugins);
    Folder { path: folder }.write(lock::NAME, lock.text().as_bytes())?;
    say!("{} pins {} plugins", path.display(), panel.seats.len());
    Ok(())
}

/// The conformance kit, under the plugin's configuration in this run. What else a project wants to be tested with stands
/// in its kit.json.
fn examine(entry: &PluginEntry, plugin: &Plugin, run: &RunFile) -> Result<Verdict> {
    let source = plugin.source();
    let config = serde_json::from_str(&source.config).expect("a plugin's configuration is an object");
    let given = Given { file: source.path.clone(), twin: None, folder: entry.source.clone() };
    let mut settings = given.settings(None, Some(&config))?;
    settings.verifiers.extend(run.plugins.iter().map(|entry| entry.name.clone()));
    let trust_native = plugin.form() != Form::Component;
    let (file, twin, limits) = (given.file, given.twin, source.limits.clone());
    Ok(verdict(&Check { file, twin, trust_native, limits, settings, seed: run.seed, limit: EXAMINATION }))
}

/// How long a test of the kit may take.
const EXAMINATION: Duration = Duration::from_secs(60);

/// Where the lock of a run file lies.
pub(crate) fn folder(run: &Path) -> PathBuf {
    run.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}
