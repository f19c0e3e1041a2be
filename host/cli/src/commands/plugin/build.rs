//! `alft plugin build`.

use std::path::PathBuf;

use alft_build::Form;

use crate::error::Result;

/// Build a plugin project into a component, a native library, or both.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example: alft plugin build plugins/entropy --native\n\n\
The project is a crate, or a folder with a plugin.toml (see `alft plugin new`). Prints the files that were built. A \
compiler that this machine lacks is downloaded and kept in the folder ALFT_CACHE, by default target/alft of the project.")]
pub(crate) struct BuildArgs {
    /// The project's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Build the WebAssembly component (the default)
    #[arg(long)]
    component: bool,
    /// Build the native library (Rust and C)
    #[arg(long)]
    native: bool,
}

pub(crate) fn run(args: &BuildArgs) -> Result<()> {
    let component = args.component || !args.native;
    for (wanted, form) in [(component, Form::Component), (args.native, Form::Native)] {
        if wanted {
            say!("{}", alft_build::build(&args.dir, form, &|event| tell!("{event}"))?.display());
        }
    }
    Ok(())
}
