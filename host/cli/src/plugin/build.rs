//! `alft plugin build`.

use std::path::PathBuf;

use alft_build::Form;

use crate::error::Result;

/// Build a plugin crate into a component, a native library, or both.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example: alft plugin build plugins/entropy --native")]
pub(crate) struct BuildArgs {
    /// The folder of the plugin crate
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// Build the WebAssembly component (the default)
    #[arg(long)]
    pub(crate) component: bool,
    /// Build the native library
    #[arg(long)]
    pub(crate) native: bool,
}

pub(crate) fn run(args: &BuildArgs) -> Result<()> {
    let say = |line: &str| eprintln!("{line}");
    let component = args.component || !args.native;
    for (wanted, form) in [(component, Form::Component), (args.native, Form::Native)] {
        if wanted {
            say!("{}", alft_build::build(&args.dir, form, &say)?.display());
        }
    }
    Ok(())
}
