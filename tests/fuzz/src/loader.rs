//! The plugin loader: [`open`] must return for any bytes, with an error or with a plugin whose calls end within their limits.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Source, Worker};
use alft_sdk::call::Item;
use alft_sdk::roles::Role;

use crate::{calls, scratch};

/// Inputs between two removals of the compiled code: nearly every input is new, so caching it is of no use.
const CACHED_INPUTS: u64 = 1000;

/// Opens the bytes as a plugin and, if they are one, calls it in each of its roles.
pub fn open(bytes: &[u8]) {
    // The loader ignores the file's name, so one file does for all inputs.
    let path = scratch::file("input.wasm", bytes);
    use_own_cache();
    let source = Source { path, pin: None, native: NativeTrust::Refused, config: "{}".into(), limits: limits() };
    clear_cache();
    let Ok(plugin) = Plugin::open(&source, engine()) else { return };
    for role in plugin.roles().iter() {
        let batch = calls::batch(role);
        let result = plugin.call(&batch);
        assert_eq!(result.items.len(), batch.item_count());
        for item in result.items.iter().flatten() {
            assert!(match item {
                Item::Key(_) => role == Role::Reader,
                Item::Score(score) => score.is_finite(),
                Item::Valuation(valuation) => valuation.utility.is_finite(),
            });
        }
    }
}

/// Returns limits so low that a call which ignores them is noticed.
fn limits() -> Limits {
    Limits { fuel_base: 5_000_000, deadline_ms: 2000, compile_ms: 10_000, ..Limits::default() }
}

/// The folder of what this workspace builds.
pub fn target() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target")
}

/// Returns the `alft` of this workspace as the worker. A worker with a fuzzer's counters would compile a tenth of the
/// components in the same time.
pub fn worker() -> Worker {
    let program = std::env::var_os("ALFT").map_or_else(|| target().join("debug/alft"), PathBuf::from);
    assert!(program.exists(), "there is no {}: run `cargo build` first", program.display());
    Worker { program, arguments: vec!["plugin-worker".into()] }
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(&limits(), worker()).expect("this machine runs WebAssembly"))
}

/// Gives this process a cache that no other has.
fn use_own_cache() {
    static CACHE: OnceLock<()> = OnceLock::new();
    // SAFETY: the first call comes from the only thread.
    CACHE.get_or_init(|| unsafe { std::env::set_var("ALFT_CACHE", scratch::folder()) });
}

fn clear_cache() {
    static INPUTS: AtomicU64 = AtomicU64::new(0);
    if INPUTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(CACHED_INPUTS) {
        let _ = std::fs::remove_dir_all(scratch::folder().join("compiled"));
    }
}
