//! Where a plugin comes from: its file, the hash that the file must have, and how far it is trusted.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, FormatError};
use crate::limits::Limits;

/// A plugin that can be opened.
#[derive(Debug, Clone)]
pub struct Source {
    /// Path of a `.wasm` component or a native library.
    pub path: PathBuf,
    /// BLAKE3 hash, in hexadecimal, that the file must have. Required for native libraries.
    pub pin: Option<String>,
    /// Permission to run a native library.
    pub native: NativeTrust,
    /// The plugin's configuration: its table of the run file as a JSON object.
    pub config: String,
    /// Limits of the plugin's calls.
    pub limits: Limits,
}

/// How far a native library is trusted. A library runs with all the rights of the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NativeTrust {
    /// The library is not run.
    Refused,
    /// The library runs in a child process. It can crash or block the child, but not the host.
    Process,
    /// The library runs in this process: the fastest, but a crash of the library is a crash of the host.
    InProcess,
}

/// The form in which a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// A WebAssembly component, sandboxed.
    Component,
    /// A native library in a child process.
    NativeProcess,
    /// A native library in this process.
    Native,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Component => "WebAssembly component",
            Self::NativeProcess => "native library in a child process",
            Self::Native => "native library",
        })
    }
}

/// Reads a plugin's file.
///
/// # Errors
/// Fails if the file cannot be read, is larger than `limits.component_size` or is not a regular file.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, Error> {
    let limit = limits.component_size;
    alft_fs::read(path, limit).map_err(|source| match source.kind() {
        io::ErrorKind::FileTooLarge => Error::TooLarge { path: path.into(), limit },
        _ => Error::Read { path: path.into(), source: alft_fs::with_hint(path, source) },
    })
}

/// Returns the BLAKE3 hash of a plugin's file, in hexadecimal.
///
/// # Errors
/// Fails as [`read`] does.
pub fn hash_file(path: &Path, limits: &Limits) -> Result<String, Error> {
    Ok(hash_bytes(&read(path, limits)?))
}

/// Returns the BLAKE3 hash of a plugin's bytes, in hexadecimal.
pub fn hash_bytes(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Refuses a core WebAssembly module, which has the first bytes of a component and is none.
///
/// # Errors
/// Fails if the bytes are those of a core module.
pub fn refuse_core_module(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    // Bytes 4 to 8 are 1 and 0 in core modules (version 1, layer 0); components have layer 1.
    match bytes.starts_with(b"\0asm") && bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
        true => Err(Error::CoreModule { path: path.into() }),
        false => Ok(()),
    }
}

/// The format of a plugin's file.
pub(crate) enum Format {
    Component,
    Library,
}

/// Determines the format from the file's bytes: its name proves nothing.
pub(crate) fn detect_format(path: &Path, bytes: &[u8]) -> Result<Format, Error> {
    if bytes.starts_with(b"\0asm") {
        return Ok(Format::Component);
    }
    if wasmtime::Engine::detect_precompiled(bytes).is_some() {
        return Err(Error::Precompiled { path: path.into() });
    }
    let unknown = |source| Error::NotAPlugin { path: path.into(), source };
    if bytes.is_empty() {
        return Err(unknown(FormatError::Empty));
    }
    match (object::FileKind::parse(bytes), alft_fs::other_format(bytes)) {
        (
            Ok(
                object::FileKind::Elf64
                | object::FileKind::MachO64
                | object::FileKind::MachOFat64
                | object::FileKind::Pe64,
            ),
            _,
        ) => Ok(Format::Library),
        (_, Some(noun)) => Err(unknown(FormatError::Other(noun))),
        (Ok(other), None) => Err(unknown(FormatError::Unsupported(format!("{other:?}")))),
        (Err(error), None) => Err(unknown(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let limits = Limits { component_size: 4, ..Limits::default() };
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "four").unwrap();
        assert_eq!(read(file.path(), &limits).unwrap(), b"four");
        std::fs::write(file.path(), "fives").unwrap();
        assert!(matches!(read(file.path(), &limits), Err(Error::TooLarge { limit: 4, .. })));
        for path in ["/", "/dev/zero", "/no/such/file"] {
            assert!(matches!(hash_file(path.as_ref(), &limits), Err(Error::Read { .. })), "{path}");
        }
    }
}
