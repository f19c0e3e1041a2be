//! The plugin loader under fire: whatever the bytes, [`open`] returns. It may refuse them or find a plugin, whose every
//! call then ends within its limits.
//!
//! | module | holds |
//! | --- | --- |
//! | [`mutate`] | real components with something wrong |

pub mod mutate;

use std::path::PathBuf;
use std::sync::OnceLock;

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Role, Source, Worker};
use alft_sdk::Prompt;
use alft_sdk::bundle::{Bundle, Samples};
use alft_sdk::estimate::PlugIn;
use alft_sdk::batch::PromptTexts;

/// Code compiled of so many inputs is thrown away at once: nearly every one is new.
const CACHED: u64 = 1000;

/// Opens the bytes as a plugin and, if they are one, calls it in every role that it has.
pub fn open(bytes: &[u8]) {
    // A file's name proves nothing to the loader, so one does for all.
    let path = scratch().join("input.wasm");
    std::fs::write(&path, bytes).expect("the scratch folder can be written to");
    let source = Source { path, pin: None, native: NativeTrust::Refused, config: "{}".into(), limits: limits() };
    forget_code();
    let Ok(plugin) = Plugin::open(&source, engine()) else { return };
    let prompt = Prompt { id: "q".into(), text: "1 + 1?".into(), gold: Some("2".into()), ..Prompt::default() };
    let question = PromptTexts { prompt: prompt.clone(), texts: vec!["2".into(), "it is 3/4".into()] };
    if plugin.has(Role::Reader) {
        assert_eq!(plugin.read(std::slice::from_ref(&question)).items.len(), 2);
    }
    if plugin.has(Role::Verifier) {
        let scores = plugin.score(std::slice::from_ref(&question)).items;
        assert!(scores.len() == 2 && scores.iter().flatten().all(|score| score.is_finite()));
    }
    if plugin.has(Role::Objective) {
        let keys = [Some("2".to_owned()), Some("3".to_owned()), None];
        let bundle = Bundle::sampled("b", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
        let valued = plugin.evaluate(std::slice::from_ref(&bundle)).items;
        assert!(valued.len() == 1 && valued.iter().flatten().all(|value| value.utility.is_finite()));
    }
}

/// Limits that a hang shows against.
fn limits() -> Limits {
    Limits { fuel_base: 5_000_000, deadline_ms: 2000, compile_ms: 10_000, ..Limits::default() }
}

/// Components are compiled by the `alft` of this workspace, which is built without a fuzzer's counters: in ten times the time
/// little else would be done.
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

/// A folder of this process alone, which is also its cache.
fn scratch() -> &'static PathBuf {
    static SCRATCH: OnceLock<PathBuf> = OnceLock::new();
    SCRATCH.get_or_init(|| {
        let folder = tempfile::tempdir().expect("there is a folder for temporary files").keep();
        // SAFETY: the first call comes from the only thread there is.
        unsafe { std::env::set_var("ALFT_CACHE", &folder) };
        folder
    })
}

fn forget_code() {
    static SEEN: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    if SEEN.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(CACHED) {
        let _ = std::fs::remove_dir_all(scratch().join("compiled"));
    }
}
