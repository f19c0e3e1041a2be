//! Why a plugin cannot be used at all.

use std::path::PathBuf;

/// A plugin that cannot be opened, or that refuses its configuration.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot read the plugin {}: {reason}", path.display())]
    Read { path: PathBuf, reason: std::io::Error },

    #[error(
        "{} is {size} bytes, above the limit of {limit} for a plugin's file; raise `limits.component_size` if that is meant",
        path.display()
    )]
    TooLarge { path: PathBuf, size: u64, limit: u64 },

    #[error(
        "{} is neither a WebAssembly component nor a native library of this machine: {reason}; `alft plugin build` makes \
         either from a project",
        path.display()
    )]
    NotAPlugin { path: PathBuf, reason: String },

    #[error(
        "{} is a core WebAssembly module and not a component; build it with `alft plugin build`, or link it with \
         wasm-component-ld",
        path.display()
    )]
    CoreModule { path: PathBuf },

    #[error(
        "{} is precompiled native code that nothing can check; give the .wasm component it was made from",
        path.display()
    )]
    Precompiled { path: PathBuf },

    #[error("{} cannot be compiled: {reason}", path.display())]
    Compile { path: PathBuf, reason: String },

    #[error("{} needs {value} {what}, above the limit of {limit}; raise `limits.{key}` if that is meant", path.display())]
    Needs { path: PathBuf, value: u64, what: &'static str, limit: u64, key: &'static str },

    #[error(
        "{} is not the file that was pinned: its BLAKE3 is {found}, not {pinned}; if the change is meant, write down the \
         new one",
        path.display()
    )]
    Pinned { path: PathBuf, found: String, pinned: String },

    #[error(
        "{} imports {import}, which this host does not give: a plugin may import alft:objective/diagnostics and \
         nothing else",
        path.display()
    )]
    Import { path: PathBuf, import: String },

    #[error("{} speaks contract version {found}; this host speaks version {supported}", path.display())]
    Contract { path: PathBuf, found: String, supported: &'static str },

    #[error("{} has no role: it exports none of reader, verifier and objective of alft:objective@1", path.display())]
    NoRole { path: PathBuf },

    #[error("{}: the export {export} does not have the contract's type: {reason}", path.display())]
    Type { path: PathBuf, export: &'static str, reason: String },

    #[error(
        "{} is a native library, which runs with all the rights of this program; add `trust = \"native\"` to the \
         plugin's table if you trust it, or use a component",
        path.display()
    )]
    Untrusted { path: PathBuf },

    #[error(
        "{} is a native library whose hash is not pinned; if {hash} is the one that you trust, add `hash = \"{hash}\"` to \
         the plugin's table, or pin it with `alft plugin lock`",
        path.display()
    )]
    Unpinned { path: PathBuf, hash: String },

    #[error("{} is built for another machine: {found}; this host is {wanted}", path.display())]
    Target { path: PathBuf, found: String, wanted: &'static str },

    #[error(
        "{} would run in this process, but {reason}, so that a panic would end the run; leave out \
         `isolation = \"in-process\"`, or build it with `alft plugin build --native`",
        path.display()
    )]
    Aborts { path: PathBuf, reason: &'static str },

    #[error("{} cannot be copied into alft's cache folder: {reason}", path.display())]
    Copy { path: PathBuf, reason: std::io::Error },

    #[error("{} cannot be loaded: {reason}", path.display())]
    Load { path: PathBuf, reason: String },

    #[error("the plugin {} refuses its configuration {config}: {reason}", path.display())]
    Config { path: PathBuf, config: String, reason: String },

    #[error("the plugin {} failed while describing itself: {failure}", path.display())]
    Describe { path: PathBuf, failure: crate::Failure },

    #[error("the WebAssembly engine does not start: {reason}")]
    Engine { reason: String },
}
