//! The work that an answer may take. An expression that takes more has no value, so no answer takes long.

use std::cell::Cell;

/// Work that an answer may take, in about the words of 64 bits that are multiplied: some milliseconds.
const WORK: u64 = 2_000_000;
/// Work of an elementary function.
pub(crate) const ELEMENTARY: u64 = 1_000;

/// The work that is left for an answer.
#[derive(Debug)]
pub(crate) struct Work {
    left: Cell<u64>,
    met_opaque: Cell<bool>,
}

impl Work {
    pub(crate) fn new() -> Self {
        Self { left: Cell::new(WORK), met_opaque: Cell::new(false) }
    }

    pub(crate) fn spend(&self, work: u64) -> Option<()> {
        self.left.set(self.left.get().checked_sub(work)?);
        Some(())
    }

    /// Spends the work of writing a number of so many bits in decimal digits.
    pub(crate) fn write(&self, bits: usize) -> Option<()> {
        let words = bits as u64 / 64;
        self.spend(words * words)
    }

    /// Remembers that an operation without a value was met.
    pub(crate) fn meet_opaque(&self) {
        self.met_opaque.set(true);
    }

    /// Returns true if an operation without a value was met since this was asked before.
    pub(crate) fn met_opaque(&self) -> bool {
        self.met_opaque.take()
    }
}
