//! Inspection of a plugin's file, without compiling, loading or running it.

use std::collections::BTreeSet;

use alft_sdk::abi::ENTRY_PREFIX;
use alft_text::Foreign;
use object::Object;
use wasmparser::{BinaryReaderError, Element, ElementItems, ElementKind, Encoding, KnownCustom, Parser, Payload};

use crate::foreign::single_line;

/// Bytes of a page of linear memory.
const PAGE: u64 = 64 << 10;

/// Prefix of the names of the system's interfaces, such as `wasi:cli/…` and `wasi_snapshot_preview1`.
const WASI: &str = "wasi";

/// Names of producers and symbols are truncated to this many bytes: the plugin's author chooses them.
const NAME_BYTES: usize = 200;

/// The facts in a component's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ComponentInfo {
    /// Names of the component's imports.
    pub imports: Vec<Foreign>,
    /// Names of the system's interfaces (WASI) that modules inside the component import, such as
    /// `wasi:filesystem/types@0.2.0`. If the component itself does not import them, another module inside it implements
    /// them.
    pub wasi_imports: BTreeSet<Foreign>,
    /// Names of the component's exports.
    pub exports: Vec<Foreign>,
    /// Languages and tools that the component names as its producers, such as `language Rust` and
    /// `processed-by rustc 1.95.0`.
    pub producers: Vec<String>,
    /// Number of core modules.
    pub modules: u32,
    /// Bytes of linear memory that the modules start with.
    pub memory: u64,
    /// Elements that the modules' tables start with.
    pub table_elements: u64,
}

/// The interfaces that a plugin may import: log lines for its author, and records.
const ALLOWED_IMPORTS: [&str; 2] = ["diagnostics", "types"];

/// Splits the name of one of the contract's interfaces into its own part and its version.
pub fn contract_interface(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix("alft:objective/")?.split_once('@')
}

/// Returns true for the name of an interface that a plugin may import.
pub fn is_allowed_import(name: &str) -> bool {
    contract_interface(name).is_some_and(|(interface, _)| ALLOWED_IMPORTS.contains(&interface))
}

/// Inspects a component.
///
/// # Errors
/// Fails if the bytes are not a well-formed component.
pub fn component(bytes: &[u8]) -> Result<ComponentInfo, BinaryReaderError> {
    let mut info = ComponentInfo::default();
    // Components contain modules and components. The plugin's imports and exports are those of the outermost one.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::Version { encoding, .. } => {
                depth += 1;
                info.modules += u32::from(encoding == Encoding::Module);
            }
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    info.imports.push(Foreign::new(import?.name.name.to_owned()));
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let module = import?.module;
                    if module.starts_with(WASI) {
                        info.wasi_imports.insert(Foreign::new(module.to_owned()));
                    }
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    info.exports.push(Foreign::new(export?.name.name.to_owned()));
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    info.memory = info.memory.saturating_add(memory?.initial.saturating_mul(PAGE));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    info.table_elements = info.table_elements.saturating_add(table?.ty.initial);
                }
            }
            Payload::CustomSection(section) => {
                let KnownCustom::Producers(fields) = section.as_known() else { continue };
                for field in fields {
                    let field = field?;
                    for value in field.values {
                        let value = value?;
                        let producer = format!("{} {} {}", field.name, value.name, value.version);
                        info.producers.push(single_line(producer.trim_end().to_owned(), NAME_BYTES));
                    }
                }
            }
            _ => {}
        }
    }
    info.producers.sort();
    info.producers.dedup();
    Ok(info)
}

/// Returns the number of elements in the passive segments of a component's modules. What cannot be parsed is not counted: it
/// cannot be compiled either.
pub(crate) fn passive_elements(component: &[u8]) -> u64 {
    let sections = Parser::new(0).parse_all(component).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::ElementSection(section) => Some(section),
        _ => None,
    });
    let count = |element: Element<'_>| match (element.kind, element.items) {
        (ElementKind::Active { .. }, _) => 0,
        (_, ElementItems::Functions(items)) => u64::from(items.count()),
        (_, ElementItems::Expressions(_, items)) => u64::from(items.count()),
    };
    sections.flat_map(|section| section.into_iter().map_while(Result::ok)).map(count).sum()
}

/// Returns the names of the entry symbols in a native library, of any version of the contract.
///
/// # Errors
/// Fails if the bytes are not a library.
pub fn library_entries(bytes: &[u8]) -> Result<Vec<String>, object::Error> {
    let exports = object::File::parse(bytes)?.exports()?;
    let names =
        exports.iter().map(|export| single_line(String::from_utf8_lossy(export.name()).into_owned(), NAME_BYTES));
    // Mach-O puts an underscore before every name.
    Ok(names.filter(|name| name.trim_start_matches('_').starts_with(ENTRY_PREFIX)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passive_elements_are_counted_over_all_modules() {
        let module = "(core module (func $f) (table 9 funcref) (elem func $f $f) (elem (i32.const 0) func $f $f $f)
                      (elem funcref (ref.null func)))";
        let bytes = wat::parse_str(format!("(component {module} (component {module}))")).unwrap();
        assert_eq!(passive_elements(&bytes), 6);
        assert_eq!(passive_elements(b"text"), 0);
    }

    #[test]
    fn imports_and_exports_are_those_of_the_outermost_component() {
        let text = r#"(component
            (import "alft:objective/diagnostics@1.0.0" (instance))
            (core module (import "inner" "thing" (func)) (memory 3) (table 5 funcref))
            (core module (import "wasi:random/random@0.2.0" "get" (func)))
            (component (import "inner:one/thing" (instance)))
            (instance $v)
            (export "alft:objective/about@1.0.0" (instance $v)))"#;
        let info = component(&wat::parse_str(text).unwrap()).unwrap();
        let names = |names: &[Foreign]| names.iter().map(|name| name.raw().to_owned()).collect::<Vec<_>>();
        assert_eq!(names(&info.imports), ["alft:objective/diagnostics@1.0.0"]);
        assert_eq!(names(&info.exports), ["alft:objective/about@1.0.0"]);
        assert_eq!((info.modules, info.memory, info.table_elements), (2, 3 * PAGE, 5));
        assert_eq!(info.wasi_imports, BTreeSet::from([Foreign::from("wasi:random/random@0.2.0".to_owned())]));
        assert!(component(b"\0asm\x0d\0\x01\0\xff").is_err());
        assert!(library_entries(b"text").is_err());
    }
}
