//! `alft plugin new`.

use std::path::PathBuf;

use alft_build::{Language, NewPlugin};
use alft_sdk::batch::Role;

use crate::error::Result;

/// Start a plugin: a small one that builds, with its test.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin new exact-match --role reader,verifier --lang python\n\n\
A reader says what the final answer of a completion is, a verifier what an answer is worth, an objective what a \
distribution of answers is worth. Prints the new folder.")]
pub(crate) struct NewArgs {
    /// The plugin's name: small letters, digits and hyphens
    name: String,
    /// reader, verifier or objective; several with commas
    #[arg(long = "role", value_name = "ROLE", value_delimiter = ',', required = true)]
    roles: Vec<Role>,
    /// rust, python, js or c
    #[arg(long = "lang", value_name = "LANGUAGE", default_value = "rust")]
    language: Language,
    /// The folder to make, empty if it is there (default: the name)
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Rust: the folder of the crate alft-sdk (default: that of the checkout this alft was built from)
    #[arg(long, value_name = "DIR")]
    sdk: Option<PathBuf>,
}

pub(crate) fn run(args: &NewArgs) -> Result<()> {
    let wanted = NewPlugin {
        name: args.name.clone(),
        roles: args.roles.iter().copied().collect(),
        language: args.language,
        dir: args.dir.clone().unwrap_or_else(|| PathBuf::from(&args.name)),
        sdk: args.sdk.clone(),
    };
    let folder = alft_build::new(&wanted)?;
    eprintln!("a plugin in {} is in {}; its README.md says how to go on", wanted.language, folder.display());
    say!("{}", folder.display());
    Ok(())
}
