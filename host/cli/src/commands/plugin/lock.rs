//! `alft plugin lock`: pins the plugins of a run file as they are now. Every later start is checked against the lock.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alft_plugin_host::lock::{Conformance, Lock, NAME, Pinned};
use alft_plugin_host::{Form, Plugin};
use alft_registry::Reference;
use alft_runtime::config::{PluginEntry, RunFile, RunFileWatcher};
use alft_runtime::conformance::{TestSetup, count_outcomes, run_tests};
use alft_runtime::plugins::{PinSource, PluginEvent, PluginSet};
use alft_text::Foreign;

use super::target::Target;
use crate::engine;
use crate::error::Result;

/// Time limit of each conformance test.
const TIME_LIMIT: Duration = Duration::from_secs(60);

/// Approve the plugins of a run file as they are now.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin lock run.toml\n\n\
Writes alft.lock beside the run file: BLAKE3 hash, contract version, roles, imports and claims of every plugin, and the \
results of its conformance tests. From then on `alft train` starts with exactly these plugins, and a native library that \
is pinned here needs no `hash` in the run file.")]
pub(crate) struct LockArgs {
    /// The run file
    #[arg(value_name = "RUN.toml")]
    run: PathBuf,
    /// Override a key of the run file, as `alft train` does (may be repeated)
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

pub(crate) fn run(args: &LockArgs) -> Result<()> {
    let (_, run) = RunFileWatcher::new(args.run.clone(), args.overrides.clone())?;
    let set = PluginSet::open(&run.plugins, &run.limits, PinSource::Unpinned, &engine::worker()?, &mut |event| {
        if let PluginEvent::Build { event, .. } = event {
            tell!("{event}");
        }
    })?;
    let dir = lock_dir(&args.run);
    // A lock that cannot be read is replaced: the user approves the plugins anew.
    let before = Lock::find(&dir).ok().flatten();
    let mut pins = Vec::new();
    for (entry, run_plugin) in run.plugins.iter().zip(set.iter()) {
        let plugin = run_plugin.scorer.loaded().expect("the plugins of a run file are loaded from files");
        let tests = test(entry, plugin, &run)?;
        let reference = run_plugin.reference.as_ref();
        let pin = Pinned::new(&entry.name, plugin, Some(tests)).from_registry(reference.map(Reference::to_string));
        let Conformance { passed, failed, crashed, skipped, .. } = tests;
        say!("{:<16}{} {}", entry.name, &pin.blake3[..16], run_plugin.describe());
        say!("{:<16}tests: {passed} passed, {failed} failed, {crashed} crashed, {skipped} skipped", "");
        if let Some(reference) = reference {
            say!("{:<16}{reference}", "");
            let pinned = before.as_ref().and_then(|lock| lock.get(&entry.name, &plugin.source().config));
            tell_if_moved(reference, pinned);
        }
        if failed + crashed > 0 {
            tell!("to see the failed tests: alft plugin check {}", Foreign::path(&plugin.source().path));
        }
        pins.push(pin);
    }
    let (path, count) = (dir.join(NAME), pins.len());
    let lock = before.unwrap_or_else(|| Lock::new(Vec::new())).with(pins);
    alft_fs::sweep_of(&path);
    alft_fs::write(&path, lock.text().as_bytes()).map_err(alft_runtime::Error::from)?;
    say!("{} pins {count} plugins", Foreign::path(&path));
    Ok(())
}

/// Says so if the tag of a plugin names another content than it did when the lock was written.
fn tell_if_moved(reference: &Reference, before: Option<&Pinned>) {
    let before = before.and_then(|pinned| pinned.oci.as_ref()?.parse::<Reference>().ok());
    if let Some(before) = before.filter(|before| before.same_tag(reference) && before.digest() != reference.digest())
        && let (Some(tag), Some(was), Some(is)) = (reference.tag(), before.digest(), reference.digest())
    {
        tell!("the tag {tag} of {}/{} was {was} and is {is}", reference.host(), reference.name());
    }
}

/// Runs the conformance tests under the plugin's configuration in this run. The other data of the tests is in the
/// project's kit.json.
fn test(entry: &PluginEntry, plugin: &Plugin, run: &RunFile) -> Result<Conformance> {
    let source = plugin.source();
    let config = serde_json::from_str(&source.config).expect("a plugin's configuration is an object");
    let target = Target { file: source.path.clone(), project: entry.source.clone() };
    let mut settings = target.settings(None, Some(&config))?;
    settings.verifiers.extend(run.plugins.iter().map(|entry| entry.name.clone()));
    let setup = TestSetup {
        file: target.file,
        twin: None,
        trust_native: plugin.form() != Form::Component,
        limits: source.limits.clone(),
        settings,
        seed: run.seed,
    };
    Ok(count_outcomes(&run_tests(&setup, &engine::check_child()?, None, TIME_LIMIT, |_| ())))
}

/// Returns the folder of a run file's lock.
pub(crate) fn lock_dir(run_file: &Path) -> PathBuf {
    run_file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}
