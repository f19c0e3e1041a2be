//! `alft plugin new`.

use std::path::PathBuf;

use alft_build::{Language, NewPlugin};
use alft_sdk::roles::Role;

use crate::error::Result;

/// Start a plugin: a small project that builds, with its test.
#[derive(Debug, clap::Args)]
#[command(after_help = after_help())]
pub(crate) struct NewArgs {
    /// The plugin's name: lower-case letters, digits and hyphens
    name: String,
    /// One of the roles below; several with commas
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    /// rust, python, js or c
    #[arg(long = "lang", value_name = "LANGUAGE", default_value = "rust")]
    language: Language,
    /// The folder to create; an existing one must be empty (default: the plugin's name)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rust: the folder of the crate alft-sdk (default: that of the checkout this alft was built from)
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub(crate) fn run(args: &NewArgs) -> Result<()> {
    let folder = alft_build::new(&NewPlugin {
        name: args.name.clone(),
        roles: args.roles.iter().copied().collect(),
        language: args.language,
        dir: args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name)),
        sdk: args.sdk.clone(),
    })?;
    tell!("created a plugin in {}; its README.md describes the next steps", args.language);
    say!("{}", folder.display());
    Ok(())
}

fn after_help() -> String {
    let roles: String = Role::ALL.map(|role| format!("  {role:<10} {}\n", role.summary())).concat();
    format!(
        "Example: alft plugin new exact-match --role reader,verifier --lang python\n\nRoles:\n{roles}\nPrints the new folder."
    )
}
