//! Errors: why a plugin cannot be opened.

use std::io;
use std::path::PathBuf;

use alft_sdk::roles::Role;
use alft_text::Foreign;

use crate::failure::Failure;
use crate::foreign::ForeignError;
use crate::worker::parent::WorkerError;

/// A plugin that cannot be opened, or that refuses its configuration. The causes are in the chain of sources.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    #[error("cannot read the plugin {}", Foreign::path(path))]
    Read { path: PathBuf, source: io::Error },

    #[error(
        "{} is above the limit of {limit} bytes for a plugin's file; raise `limits.component_size` if this is intended",
        Foreign::path(path)
    )]
    TooLarge { path: PathBuf, limit: u64 },

    #[error(
        "{} is neither a WebAssembly component nor a native library for this machine; build one with `alft plugin build`",
        Foreign::path(path)
    )]
    NotAPlugin { path: PathBuf, source: FormatError },

    #[error(
        "{} is a core WebAssembly module and not a component; build it with `alft plugin build`, or link it with \
         wasm-component-ld",
        Foreign::path(path)
    )]
    CoreModule { path: PathBuf },

    #[error(
        "{} is precompiled native code, which cannot be verified; give the .wasm component that it was compiled from",
        Foreign::path(path)
    )]
    Precompiled { path: PathBuf },

    #[error("{} cannot be compiled", Foreign::path(path))]
    Compile { path: PathBuf, source: CompileError },

    #[error(
        "{} needs {value} {resource}, above the limit of {limit}; raise `limits.{key}` if this is intended",
        Foreign::path(path)
    )]
    Needs { path: PathBuf, value: u64, resource: &'static str, limit: u64, key: &'static str },

    #[error(
        "{} is not the pinned file: its BLAKE3 hash is {found}, and not {pinned}; if the change is intended, update the \
         pinned hash",
        Foreign::path(path)
    )]
    Pinned { path: PathBuf, found: String, pinned: String },

    #[error(
        "{} imports {import}, which this host does not offer: a plugin may import alft:objective/diagnostics and nothing \
         else",
        Foreign::path(path),
        import = Foreign::new(import)
    )]
    Import { path: PathBuf, import: String },

    #[error(
        "{} has version {found} of the contract; this host has version {supported}",
        Foreign::path(path),
        found = Foreign::new(found)
    )]
    Contract { path: PathBuf, found: String, supported: &'static str },

    #[error(
        "{} has no role: it exports none of {} of alft:objective@1",
        Foreign::path(path),
        Role::ALL.map(Role::name).join(", ")
    )]
    NoRole { path: PathBuf },

    #[error(
        "{} does not export {export}, which the contract requires",
        Foreign::path(path),
        export = Foreign::new(export)
    )]
    MissingExport { path: PathBuf, export: String },

    #[error("the {item} of {} does not have the contract's type", Foreign::path(path), item = Foreign::new(item))]
    Type { path: PathBuf, item: String, source: ForeignError },

    #[error(
        "{} is a native library, which runs with all the rights of this program; add `trust = \"native\"` to the \
         plugin's table if you trust it, or use a component",
        Foreign::path(path)
    )]
    Untrusted { path: PathBuf },

    #[error(
        "{} is a native library without a pinned hash; if you trust the file with the hash {hash}, add \
         `hash = \"{hash}\"` to the plugin's table, or pin the file with `alft plugin lock`",
        Foreign::path(path)
    )]
    Unpinned { path: PathBuf, hash: String },

    #[error(
        "{} is built for another machine: for {found}; this host is {wanted}",
        Foreign::path(path),
        found = Foreign::new(found)
    )]
    Target { path: PathBuf, found: String, wanted: &'static str },

    #[error(
        "{} cannot run in this process, because {reason}: a panic would end the run; remove `isolation = \"in-process\"`, \
         or build the library with `alft plugin build --native`",
        Foreign::path(path)
    )]
    Aborts { path: PathBuf, reason: &'static str },

    #[error("{} cannot be copied into the cache", Foreign::path(path))]
    Copy { path: PathBuf, source: Box<dyn std::error::Error + Send + Sync> },

    #[error("{} cannot be loaded", Foreign::path(path))]
    Load { path: PathBuf, source: LoadError },

    /// `reason` is the plugin's message.
    #[error(
        "the plugin {} refuses the configuration {config}: {reason}",
        Foreign::path(path),
        config = Foreign::new(config)
    )]
    Config { path: PathBuf, config: String, reason: String },

    #[error("the plugin {} failed while starting or describing itself", Foreign::path(path))]
    Start { path: PathBuf, source: Failure },
}

/// A file that is in no format of a plugin.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum FormatError {
    #[error("the file is {0}")]
    Other(&'static str),

    #[error("the file is empty")]
    Empty,

    #[error("files of the kind {0} are not supported")]
    Unsupported(String),

    #[error("the file has no symbol alft_plugin_v1")]
    NoEntry,

    #[error("the file has two entry symbols, {0} and {1}")]
    TwoEntries(String, String),

    #[error(transparent)]
    Object(#[from] object::Error),
}

/// A component that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum CompileError {
    #[error("compiling takes longer than {ms} ms; raise `limits.compile_ms` if this is intended")]
    TimeLimit { ms: u64 },

    #[error(
        "it compiles to {bytes} bytes of code and static data, above the limit of {limit}; raise `limits.compiled_size` if \
         this is intended"
    )]
    TooLarge { bytes: u64, limit: u64 },

    #[error(
        "the compiler failed; its memory is limited to {memory_mib} MiB: if this is too little, make the component or its \
         functions smaller"
    )]
    Worker { memory_mib: u64, source: WorkerError },

    #[error("it needs more than `limits.instances`, `limits.memory` or `limits.table_elements` allow")]
    Slots(#[source] ForeignError),

    #[error(transparent)]
    Invalid(#[from] ForeignError),
}

/// A native library that cannot be loaded.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the messages say what the fields are")]
pub enum LoadError {
    #[error("its absolute path cannot be determined")]
    Path(#[source] io::Error),

    #[error(transparent)]
    Linker(ForeignError),

    #[error("{entry} returned a null pointer", entry = Foreign::new(entry))]
    NullEntry { entry: String },

    #[error("its plugin struct has {found} bytes, and not {wanted}")]
    StructSize { found: usize, wanted: usize },

    #[error("it does not describe itself")]
    NoDescribe,

    #[error("its child process failed")]
    Worker(#[from] WorkerError),

    #[error("its child process cannot load it")]
    Child(#[source] ForeignError),
}
