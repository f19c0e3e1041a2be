//! Mutations of valid components. They follow a component's structure, because random bytes rarely get past the first
//! header.

use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use arbitrary::Arbitrary;
use wasm_mutate::WasmMutate;
use wasmparser::{Parser, Payload};

/// A component of the corpus, and its edits.
#[derive(Debug, Arbitrary)]
pub struct Plan {
    base: u8,
    edits: Vec<Edit>,
}

/// An edit of a component. Positions and numbers of sections wrap around.
#[derive(Debug, Arbitrary)]
enum Edit {
    /// Replaces a byte.
    Byte { at: u32, value: u8 },
    /// Removes bytes.
    Cut { at: u32, length: u8 },
    /// Repeats bytes.
    Repeat { at: u32, length: u8 },
    /// Removes a section.
    Drop { section: u8 },
    /// Repeats a section.
    Double { section: u8 },
    /// Moves a section.
    Move { from: u8, to: u8 },
    /// Inserts a section of another component.
    Graft { from: u8, section: u8, to: u8 },
    /// Mutates a core module, with or without a change of its meaning.
    Module { which: u8, seed: u64, same: bool },
}

impl Plan {
    /// Returns the component after all edits.
    pub fn component(&self) -> Vec<u8> {
        let bases = bases();
        let mut bytes = bases[usize::from(self.base) % bases.len()].clone();
        for edit in self.edits.iter().take(8) {
            edit.apply(&mut bytes);
        }
        bytes
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let within = |at: u32, length: u8, bytes: &[u8]| {
            let start = at as usize % bytes.len().max(1);
            start..(start + usize::from(length)).min(bytes.len())
        };
        let sections = sections(bytes);
        let chosen = |section: u8| sections.get(usize::from(section) % sections.len().max(1)).cloned();
        match *self {
            Self::Byte { at, value } => {
                let at = within(at, 1, bytes).start;
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            Self::Cut { at, length } => drop(bytes.drain(within(at, length, bytes))),
            Self::Repeat { at, length } => {
                let twice = bytes[within(at, length, bytes)].to_vec();
                let start = within(at, length, bytes).start;
                bytes.splice(start..start, twice);
            }
            Self::Drop { section } => {
                if let Some(section) = chosen(section) {
                    bytes.drain(section);
                }
            }
            Self::Double { section } => {
                if let Some(section) = chosen(section) {
                    let twice = bytes[section.clone()].to_vec();
                    bytes.splice(section.end..section.end, twice);
                }
            }
            Self::Move { from, to } => {
                if let (Some(from), Some(to)) = (chosen(from), chosen(to)) {
                    let moved: Vec<u8> = bytes.drain(from.clone()).collect();
                    let to = if to.start > from.start { to.start - moved.len() } else { to.start };
                    bytes.splice(to..to, moved);
                }
            }
            Self::Graft { from, section, to } => {
                let other = &bases()[usize::from(from) % bases().len()];
                let theirs = self::sections(other);
                if let (Some(section), Some(to)) = (theirs.get(usize::from(section) % theirs.len().max(1)), chosen(to))
                {
                    bytes.splice(to.start..to.start, other[section.clone()].iter().copied());
                }
            }
            Self::Module { which, seed, same } => {
                let modules = modules(bytes);
                let Some((section, module)) = modules.get(usize::from(which) % modules.len().max(1)).cloned() else {
                    return;
                };
                let mut mutation = WasmMutate::default();
                mutation.seed(seed).fuel(1000).preserve_semantics(same);
                let module = bytes[module].to_vec();
                let Ok(mut mutants) = mutation.run(&module) else { return };
                if let Some(Ok(mutant)) = mutants.next() {
                    bytes.splice(section, core_module(&mutant));
                }
            }
        }
    }
}

/// Returns a core module as a section of a component.
fn core_module(module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    let mut section = vec![CORE_MODULE];
    let mut size = module.len();
    loop {
        let low = (size & 0x7f) as u8;
        size >>= 7;
        section.push(if size > 0 { low | 0x80 } else { low });
        if size == 0 {
            break;
        }
    }
    section.extend_from_slice(module);
    section
}

/// Returns the outermost sections with their headers, as far as they can be parsed.
fn sections(bytes: &[u8]) -> Vec<Range<usize>> {
    const HEADER: usize = 8;
    let (mut out, mut at) = (Vec::new(), HEADER);
    while let Some(end) = section_end(bytes, at) {
        out.push(at..end);
        at = end;
    }
    out
}

/// Returns the end of the section that begins at `at`: an id, a size in LEB128 and as many bytes as the size.
fn section_end(bytes: &[u8], at: usize) -> Option<usize> {
    let (mut size, mut shift, mut body) = (0usize, 0, at + 1);
    loop {
        let byte = *bytes.get(body)?;
        size |= usize::from(byte & 0x7f) << shift;
        (shift, body) = (shift + 7, body + 1);
        if byte & 0x80 == 0 {
            break;
        }
        if shift > 28 {
            return None;
        }
    }
    Some(body.checked_add(size)?).filter(|end| *end <= bytes.len())
}

/// Returns the core modules of a component, each with its section.
fn modules(bytes: &[u8]) -> Vec<(Range<usize>, Range<usize>)> {
    let mut out = Vec::new();
    for payload in Parser::new(0).parse_all(bytes) {
        match payload {
            Ok(Payload::ModuleSection { unchecked_range, .. }) => {
                out.push(unchecked_range.start as usize..unchecked_range.end as usize)
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    let section = |module: Range<usize>| {
        let section = sections(bytes).into_iter().find(|section| section.end == module.end)?;
        Some((section, module))
    };
    out.into_iter().filter_map(section).collect()
}

/// Returns the components in `seeds/`.
fn bases() -> &'static [Vec<u8>] {
    static BASES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    BASES.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/open");
        let files = std::fs::read_dir(&folder).into_iter().flatten().flatten();
        let mut paths: Vec<_> = files.map(|file| file.path()).collect();
        paths.sort();
        assert!(!paths.is_empty(), "the folder {} is empty: see the README", folder.display());
        paths.into_iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
    })
}
