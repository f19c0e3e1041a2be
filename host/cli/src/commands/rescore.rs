//! `alft rescore`: calls another plugin with the recorded batches of a run, and compares the results.

use std::path::PathBuf;

use alft_plugin_host::{Limits, NativeTrust};
use alft_runtime::plugins::open_file;
use alft_runtime::record::RunDir;
use alft_runtime::{Comparison, ItemChange, rescore};
use alft_sdk::roles::Role;
use alft_text::Foreign;

use crate::engine;
use crate::error::{Error, Result};
use crate::print;

/// Call another plugin with the recorded inputs of a run, and show the changes.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft rescore runs/quickstart --plugin stricter.wasm --config '{\"marker\": \"=\"}'\n\n\
The new plugin gets every input that the run's plugins of the same role got. Nothing is trained, and the run's folder \
does not change.")]
pub(crate) struct RescoreArgs {
    /// The run's folder
    #[arg(value_name = "RUN_DIR")]
    run: PathBuf,
    /// The new plugin: a component or a native library
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,
    /// The new plugin's configuration, a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    config: String,
    /// Compare with the plugin of this name in the run alone
    #[arg(long, value_name = "NAME")]
    with: Option<String>,
    /// Number of changes to show for each plugin
    #[arg(long, value_name = "N", default_value_t = 10)]
    show: usize,
    /// Run a native library, with all the rights of this program
    #[arg(long)]
    trust_native: bool,
    /// Print one JSON object for each plugin of the run
    #[arg(long)]
    json: bool,
}

/// A run without a call that the new plugin could be compared with.
#[derive(Debug, thiserror::Error)]
#[error(
    "the ledger of {} has no call of a {roles}{}; name a run whose plugins have such a role",
    Foreign::path(run),
    with.as_ref().map_or(String::new(), |with| format!(" by \"{with}\""))
)]
struct NothingToCompare {
    run: PathBuf,
    roles: String,
    pub with: Option<String>,
}

pub(crate) fn run(args: &RescoreArgs) -> Result<()> {
    let name = Foreign::path(&args.plugin).to_string();
    let limits = Limits::default();
    let native = if args.trust_native { NativeTrust::Process } else { NativeTrust::Refused };
    let engine = engine::start(&limits)?;
    let plugin = open_file(&args.plugin, &args.config, &limits, native, &engine).map_err(Error::open(&name))?;
    let ledger = RunDir { path: args.run.clone() }.ledger();
    let comparisons = rescore(&ledger, &plugin, args.with.as_deref(), args.show)?;
    if comparisons.is_empty() {
        let roles = plugin.roles().iter().map(Role::name).collect::<Vec<_>>().join(" or a ");
        let error = NothingToCompare { run: args.run.clone(), roles, with: args.with.clone() };
        return Err(Error::plugin(&name)(error));
    }
    for comparison in &comparisons {
        match args.json {
            true => print::json(comparison),
            false => print(comparison),
        }
    }
    Ok(())
}

fn print(comparison: &Comparison) {
    let Comparison { with, role, items, changed, failed_before, failed_now, mean_before, mean_now, changes } =
        comparison;
    let share = 100.0 * *changed as f64 / *items as f64;
    say!("{with} as {role}: {changed} of {items} items would change ({share:.1}%)");
    if let (Some(before), Some(now)) = (mean_before.get(), mean_now.get()) {
        say!("  mean {before:.4} before, {now:.4} now");
    }
    if failed_before + failed_now > 0 {
        say!("  failed on {failed_before} items only before, on {failed_now} only now");
    }
    for ItemChange { step, item, before, now } in changes {
        say!("  step {step:<6}{item}: {before} → {now}");
    }
    let more = changed - changes.len() as u64;
    if more > 0 && !changes.is_empty() {
        say!("  and {more} more (--show)");
    }
}
