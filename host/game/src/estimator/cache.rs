//! Tables by group size: each is solved once in a process, by whichever thread asks first; others wait for that one alone.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Error;

/// What a table depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// K.
    Minimax(u32),
    /// K and the bits of c.
    VarianceOptimal(u32, u64),
}

type Slot = Arc<OnceLock<Result<Arc<[f64]>, Error>>>;

static TABLES: Mutex<BTreeMap<Key, Slot>> = Mutex::new(BTreeMap::new());

pub(super) fn table(key: Key, solve: impl FnOnce() -> Result<Vec<f64>, Error>) -> Result<Arc<[f64]>, Error> {
    // A panic cannot leave the map half changed.
    let slot = TABLES.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default().clone();
    slot.get_or_init(|| solve().map(Arc::from)).clone()
}
