//! `alft plugin lock`: writes down what the plugins of a run are, for every later start to be checked against.

use std::path::{Path, PathBuf};

use alft_plugin_host::lock::{self, Lock, Pinned};

use crate::error::{Error, Result};
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
    for seat in &panel.seats {
        let plugin = seat.plugin.loaded().expect("a run's plugins are loaded");
        let pinned = Pinned::of(&seat.name, plugin);
        say!("{:<24}{} {}", seat.name, &pinned.blake3[..16], seat.describe());
        plugins.push(pinned);
    }
    let folder = folder(&args.run);
    let path = folder.join(lock::NAME);
    let lock = Lock::find(&folder).ok().flatten().unwrap_or_else(|| Lock::new(Vec::new())).with(plugins);
    std::fs::write(&path, lock.text()).map_err(Error::io("write", &path))?;
    say!("{} pins {} plugins", path.display(), panel.seats.len());
    Ok(())
}

/// Where the lock of a run file lies.
pub(crate) fn folder(run: &Path) -> PathBuf {
    run.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).into()
}
