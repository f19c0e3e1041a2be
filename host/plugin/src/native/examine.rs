//! Examination of a library's file before any of its code runs.

use std::path::Path;

use alft_sdk::abi::{ENTRY_PREFIX, FINGERPRINT_PREFIX, Fingerprint, TARGET, VERSION};
use object::{Architecture, BinaryFormat, Object, ObjectSection};

use crate::error::{Error, FormatError};
use crate::foreign::single_line;

/// The version of the C contract that this host supports.
const SUPPORTED: &str = "1";

/// Names and fingerprints from the file are truncated to this many bytes in errors.
const NAME_BYTES: usize = 300;

/// The facts in a library's file.
pub(crate) struct Examined {
    /// Name of the entry symbol.
    pub(crate) entry: String,
    /// The library's description of how it was built, if it has one.
    pub(crate) fingerprint: Option<String>,
}

impl Examined {
    /// Refuses a library whose panics cannot be caught, or that has no fingerprint and may be one.
    pub(crate) fn require_unwinding(&self, path: &Path) -> Result<(), Error> {
        let reason = match &self.fingerprint {
            Some(fingerprint) if fingerprint.contains("; panic unwind;") => return Ok(()),
            Some(_) => "it is built to abort when it panics",
            None => "it has no fingerprint that says how it was built",
        };
        Err(Error::Aborts { path: path.into(), reason })
    }
}

/// Examines a library, and refuses one for another machine or of another contract.
pub(crate) fn examine(path: &Path, bytes: &[u8]) -> Result<Examined, Error> {
    let not_a_plugin = |source| Error::NotAPlugin { path: path.into(), source };
    let other_target =
        |found| Error::Target { path: path.into(), found: single_line(found, NAME_BYTES), wanted: TARGET };
    let file = object::File::parse(bytes).map_err(|error| not_a_plugin(error.into()))?;
    if (file.architecture(), file.format()) != (ARCHITECTURE, FORMAT) {
        return Err(other_target(format!("{:?} on {:?}", file.format(), file.architecture())));
    }
    let exports = file.exports().map_err(|error| not_a_plugin(error.into()))?;
    let names: Vec<(String, u64)> =
        exports.iter().map(|export| (c_name(export.name(), file.format()), export.address())).collect();
    let fingerprint = names
        .iter()
        .find(|(name, _)| name.starts_with(FINGERPRINT_PREFIX))
        .and_then(|(_, address)| fingerprint(&file, *address));
    if let Some(fingerprint) = &fingerprint
        && !fingerprint.contains(&format!("; target {TARGET};"))
    {
        return Err(other_target(fingerprint.clone()));
    }
    let entries: Vec<(&String, u32)> =
        names.iter().filter_map(|(name, _)| Some((name, contract_version(name)?))).collect();
    let supported: Vec<&String> =
        entries.iter().filter(|(_, version)| *version == VERSION).map(|(name, _)| *name).collect();
    match (&supported[..], entries.first()) {
        ([entry], _) => Ok(Examined { entry: (*entry).clone(), fingerprint }),
        ([first, second, ..], _) => {
            let name = |name: &String| single_line(name.clone(), NAME_BYTES);
            Err(not_a_plugin(FormatError::TwoEntries(name(first), name(second))))
        }
        ([], Some((_, version))) => Err(other_contract(path, *version)),
        ([], None) => Err(not_a_plugin(FormatError::NoEntry)),
    }
}

/// Returns the error about a library of another version of the C contract.
pub(super) fn other_contract(path: &Path, version: u32) -> Error {
    Error::Contract { path: path.into(), found: version.to_string(), supported: SUPPORTED }
}

/// Returns an exported name as C has it. Mach-O puts an underscore before every name.
fn c_name(name: &[u8], format: BinaryFormat) -> String {
    let name = String::from_utf8_lossy(name);
    match format {
        BinaryFormat::MachO => name.strip_prefix('_').unwrap_or(&name).to_owned(),
        _ => name.into_owned(),
    }
}

/// Returns the fingerprint at an address.
fn fingerprint(file: &object::File<'_>, address: u64) -> Option<String> {
    let length = size_of::<Fingerprint>() as u64;
    let text = file.sections().find_map(|section| section.data_range(address, length).ok().flatten())?;
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    Some(String::from_utf8_lossy(text).into_owned())
}

/// Returns the version of the contract in the name of an entry symbol.
fn contract_version(name: &str) -> Option<u32> {
    let digits = name.strip_prefix(ENTRY_PREFIX)?;
    digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The architecture of this program.
const ARCHITECTURE: Architecture = if cfg!(target_arch = "x86_64") {
    Architecture::X86_64
} else if cfg!(target_arch = "aarch64") {
    Architecture::Aarch64
} else {
    Architecture::Unknown
};

/// The format of this machine's libraries.
const FORMAT: BinaryFormat = if cfg!(target_os = "macos") {
    BinaryFormat::MachO
} else if cfg!(windows) {
    BinaryFormat::Pe
} else {
    BinaryFormat::Elf
};
