//! `alft plugin pull`: fetches a plugin from a registry into the cache. Its facts are shown before its code is fetched.

use std::path::PathBuf;

use alft_plugin_host::Limits;
use alft_registry::{Artifact, Reference, SignedBy};
use alft_text::Foreign;
use serde::Serialize;

use super::published::PublishedPlugin;
use super::target::limits;
use crate::error::{Error, Result};
use crate::print;

/// Fetch a plugin from a registry.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin pull oci://ghcr.io/someone/math:1.2.0\n\n\
Shows the plugin's imports, exports, roles and claims, then fetches the component, checks it against its digest, and keeps \
it in alft's cache. A run file names it by the reference that is shown. Logins are docker's: `docker login HOST`. Exit code \
5 if the plugin cannot be used.")]
pub(crate) struct PullArgs {
    /// The plugin, by its tag or its digest
    #[arg(value_name = "oci://HOST/NAME:TAG")]
    reference: Reference,
    /// Also write the component to a file
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Require a signature by this public key, which `cosign` checks
    #[arg(long, value_name = "KEY")]
    signed_by: Option<PathBuf>,
    /// Accept a signature that the public transparency log does not have
    #[arg(long, requires = "signed_by")]
    no_transparency_log: bool,
    /// Limits: a JSON object with keys of the run file's `[limits]`, of which `component_size` is heeded
    #[arg(long, value_name = "JSON", value_parser = limits, default_value = "{}")]
    limits: Limits,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Serialize)]
struct Pulled {
    #[serde(flatten)]
    plugin: PublishedPlugin,
    /// The component in the cache, or the file that was asked for.
    file: PathBuf,
}

pub(crate) fn run(args: &PullArgs) -> Result<()> {
    let artifact = Artifact::find(&args.reference, args.limits.component_size)?;
    let plugin = PublishedPlugin::of(&artifact);
    if !args.json {
        plugin.print();
    }
    if let Some(key) = &args.signed_by {
        let (key, transparency_log) = (key.clone(), !args.no_transparency_log);
        artifact.check_signature(&SignedBy::KeyWith { key, transparency_log })?;
    }
    let fetched = artifact.fetch()?;
    // The report is kept beside the component, which is there now.
    let _ = artifact.report();
    let file = match &args.output {
        None => fetched.path,
        Some(output) => {
            let bytes = std::fs::read(&fetched.path).map_err(Error::io("read", &fetched.path))?;
            alft_fs::write(output, &bytes).map_err(alft_runtime::Error::from)?;
            output.clone()
        }
    };
    match args.json {
        true => print::json(&Pulled { plugin, file }),
        false => say!("{:<10} {}", "file", Foreign::path(&file)),
    }
    Ok(())
}
