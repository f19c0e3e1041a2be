//! The result of a build: a component or a native library.

use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::io::{IoError, io};

/// The form of a built plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A WebAssembly component, for the sandbox.
    Component,
    /// A shared library for this machine, for trusted plugins.
    Native,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Form::Component => "component",
            Form::Native => "native library",
        })
    }
}

/// A built plugin.
#[derive(Debug)]
pub(crate) struct Artifact {
    /// The plugin's name.
    pub(crate) name: String,
    /// The component or library.
    pub(crate) file: PathBuf,
}

/// The format of a file, as its first bytes indicate.
#[derive(Debug, PartialEq)]
pub(crate) enum Format {
    Component,
    CoreModule,
    NotWasm,
}

impl Format {
    /// Reads the header of `file`.
    pub(crate) fn read(file: &Path) -> Result<Self, IoError> {
        let mut header = Vec::new();
        alft_fs::open(file).and_then(|f| f.take(8).read_to_end(&mut header)).map_err(io("read", file))?;
        Ok(Self::of_header(&header))
    }

    fn of_header(header: &[u8]) -> Self {
        match header {
            b"\0asm\x0d\0\x01\0" => Self::Component,
            b"\0asm\x01\0\0\0" => Self::CoreModule,
            _ => Self::NotWasm,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_told_from_a_core_module() {
        assert_eq!(Format::of_header(&[0x00, 0x61, 0x73, 0x6d, 0x0d, 0x00, 0x01, 0x00]), Format::Component);
        assert_eq!(Format::of_header(&[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]), Format::CoreModule);
        assert_eq!(Format::of_header(b"\x7fELF\x02\x01\x01\0"), Format::NotWasm);
        assert_eq!(Format::of_header(b"\0asm"), Format::NotWasm);
    }
}
