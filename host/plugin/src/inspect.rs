//! What a plugin's file says of itself, read without compiling, loading or running it.

use std::collections::BTreeSet;

use alft_sdk::abi::ENTRY_PREFIX;
use object::Object;
use wasmparser::{Encoding, KnownCustom, Parser, Payload};

use crate::failure::line;

/// What stands in a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Anatomy {
    /// What it asks of its host, by name.
    pub imports: Vec<String>,
    /// The system's interfaces (WASI) that modules within it ask for, by name: `wasi:filesystem/types@0.2.0`. Where the
    /// component imports none of them itself, something within it answers for them.
    pub system: BTreeSet<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Languages and tools that it says it was made with: `language Rust`, `processed-by rustc 1.95.0`.
    pub producers: Vec<String>,
    /// Core modules.
    pub modules: u32,
    /// Linear memory that its modules start with, in bytes.
    pub memory: u64,
    /// Elements that their tables start with.
    pub table_elements: u64,
}

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// What the names of the system's interfaces begin with: `wasi:cli/…`, `wasi_snapshot_preview1`.
const SYSTEM: &str = "wasi";

/// Bytes of a producer or a symbol that are kept: its author can write anything there.
const NAME_BYTES: usize = 200;

/// Takes a component apart.
///
/// # Errors
/// Why the bytes are no component.
pub fn component(bytes: &[u8]) -> Result<Anatomy, String> {
    let mut anatomy = Anatomy::default();
    // Components hold modules and components; imports and exports of the outermost are the plugin's.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        let read = || -> wasmparser::Result<()> {
            match payload? {
                Payload::Version { encoding, .. } => {
                    depth += 1;
                    anatomy.modules += u32::from(encoding == Encoding::Module);
                }
                Payload::End(_) => depth -= 1,
                Payload::ComponentImportSection(section) if depth == 1 => {
                    for import in section {
                        anatomy.imports.push(import?.name.name.to_owned());
                    }
                }
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let module = import?.module;
                        if module.starts_with(SYSTEM) {
                            anatomy.system.insert(module.to_owned());
                        }
                    }
                }
                Payload::ComponentExportSection(section) if depth == 1 => {
                    for export in section {
                        anatomy.exports.push(export?.name.name.to_owned());
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        anatomy.memory = anatomy.memory.saturating_add(memory?.initial.saturating_mul(PAGE));
                    }
                }
                Payload::TableSection(section) => {
                    for table in section {
                        anatomy.table_elements = anatomy.table_elements.saturating_add(table?.ty.initial);
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Producers(fields) = section.as_known() {
                        for field in fields {
                            let field = field?;
                            for value in field.values {
                                let value = value?;
                                let said = format!("{} {} {}", field.name, value.name, value.version);
                                anatomy.producers.push(line(said.trim_end().to_owned(), NAME_BYTES));
                            }
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        };
        read().map_err(|error| error.to_string())?;
    }
    anatomy.producers.sort();
    anatomy.producers.dedup();
    Ok(anatomy)
}

/// The entry symbols of a native library that begin as the C contract has it.
///
/// # Errors
/// Why the bytes are no library.
pub fn entries(bytes: &[u8]) -> Result<Vec<String>, String> {
    let file = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let exports = file.exports().map_err(|error| error.to_string())?;
    let names = exports.iter().map(|export| line(String::from_utf8_lossy(export.name()).into_owned(), NAME_BYTES));
    // Mach-O puts an underscore before every name.
    Ok(names.filter(|name| name.trim_start_matches('_').starts_with(ENTRY_PREFIX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_is_taken_apart_and_what_is_inside_it_is_not_its_own() {
        let text = r#"(component
            (import "alft:objective/diagnostics@1.0.0" (instance))
            (core module (import "inner" "thing" (func)) (memory 3) (table 5 funcref))
            (core module (import "wasi:random/random@0.2.0" "get" (func)))
            (component (import "inner:one/thing" (instance)))
            (instance $v)
            (export "alft:objective/about@1.0.0" (instance $v)))"#;
        let anatomy = component(&wat::parse_str(text).unwrap()).unwrap();
        assert_eq!(anatomy.imports, ["alft:objective/diagnostics@1.0.0"]);
        assert_eq!(anatomy.exports, ["alft:objective/about@1.0.0"]);
        assert_eq!((anatomy.modules, anatomy.memory, anatomy.table_elements), (2, 3 * PAGE, 5));
        assert_eq!(anatomy.system, BTreeSet::from(["wasi:random/random@0.2.0".to_owned()]));
        assert!(component(b"\0asm\x0d\0\x01\0\xff").is_err());
        assert!(entries(b"text").is_err());
    }
}
