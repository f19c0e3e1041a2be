//! Fuzzing of the plugin loader: [`open`] must return for any bytes, with an error or with a plugin whose calls end within
//! their limits.
//!
//! | module | contents |
//! | --- | --- |
//! | [`mutate`] | mutations of valid components |

pub mod mutate;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Source, Worker};
use alft_sdk::Prompt;
use alft_sdk::bundle::Bundle;
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::estimate::PlugIn;
use alft_sdk::roles::{Batch, Role};
use alft_sdk::samples::Samples;

/// Inputs between two removals of the compiled code: nearly every input is new, so caching it is of no use.
const CACHED_INPUTS: u64 = 1000;

/// Opens the bytes as a plugin and, if they are one, calls it in each of its roles.
pub fn open(bytes: &[u8]) {
    // The loader ignores the file's name, so one file does for all inputs.
    let path = scratch().join("input.wasm");
    std::fs::write(&path, bytes).expect("the scratch folder can be written to");
    let source = Source { path, pin: None, native: NativeTrust::Refused, config: "{}".into(), limits: limits() };
    clear_cache();
    let Ok(plugin) = Plugin::open(&source, engine()) else { return };
    for role in plugin.roles().iter() {
        let batch = batch(role);
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

/// Returns a small batch for a role.
fn batch(role: Role) -> Batch<'static> {
    let prompt = Prompt { id: "q".into(), text: "1 + 1?".into(), gold: Some("2".into()), ..Prompt::default() };
    let texts = || {
        let texts = vec!["2".into(), "it is 3/4".into()];
        vec![PromptTexts { prompt: prompt.clone(), texts }]
    };
    Batch::of_texts(role, texts()).unwrap_or_else(|| {
        let keys = [Some("2".to_owned()), Some("3".to_owned()), None];
        Batch::Objective(vec![Bundle::sampled("b", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn)].into())
    })
}

/// Returns limits so low that a call which ignores them is noticed.
fn limits() -> Limits {
    Limits { fuel_base: 5_000_000, deadline_ms: 2000, compile_ms: 10_000, ..Limits::default() }
}

/// Returns an engine whose worker is the `alft` of this workspace. A worker with a fuzzer's counters would compile a tenth
/// of the components in the same time.
fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../target/debug/alft");
        let program = std::env::var_os("ALFT").unwrap_or_else(|| built.into()).into();
        let worker = Worker { program, arguments: vec!["plugin-worker".into()] };
        assert!(worker.program.exists(), "there is no {}: run `cargo build` first", worker.program.display());
        Engine::new(&limits(), worker).expect("this machine runs WebAssembly")
    })
}

/// Returns a folder of this process, which is also its cache.
fn scratch() -> &'static PathBuf {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder can be created").keep();
        // SAFETY: the first call comes from the only thread.
        unsafe { std::env::set_var("ALFT_CACHE", &folder) };
        folder
    })
}

fn clear_cache() {
    static INPUTS: AtomicU64 = AtomicU64::new(0);
    if INPUTS.fetch_add(1, Ordering::Relaxed).is_multiple_of(CACHED_INPUTS) {
        let _ = std::fs::remove_dir_all(scratch().join("compiled"));
    }
}
