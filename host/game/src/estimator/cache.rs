//! The tables that were solved in this process. The first thread that asks for a table solves it; other threads that ask
//! for the same table wait, and those that ask for another do not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::error::Error;

/// The arguments that a table depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// K.
    Minimax(u32),
    /// K and the bits of c.
    VarianceOptimal(u32, u64),
}

type Slot = Arc<OnceLock<Result<Arc<[f64]>, Error>>>;

static TABLES: Mutex<BTreeMap<Key, Slot>> = Mutex::new(BTreeMap::new());

/// Returns the table of `key`, solved by `solve` if it is not in the cache.
pub(super) fn table(key: Key, solve: impl FnOnce() -> Result<Vec<f64>, Error>) -> Result<Arc<[f64]>, Error> {
    // A poisoned lock is usable: no panic can leave the map half changed.
    let slot = TABLES.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
    slot.get_or_init(|| solve().map(Arc::from)).clone()
}
