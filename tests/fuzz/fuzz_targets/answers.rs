//! Fuzzes the math plugin with a gold answer and a completion: the linked plugin, whose branches guide the fuzzer, and the
//! component, which must give the same bits within its fuel.
#![no_main]

use std::sync::OnceLock;

use alft_fuzz::loader;
use alft_math::Math;
use alft_plugin_host::{Engine, FailureKind, Limits, NativeTrust, Plugin, Source};
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::roles::Batch;
use alft_sdk::{Prompt, Reader, Verifier};

libfuzzer_sys::fuzz_target!(|text: &str| {
    let (gold, completion) = text.split_once('\n').unwrap_or((text, text));
    let prompt = Prompt { gold: Some(gold.to_owned()), ..Prompt::default() };
    let math = Math::default();

    let key = math.read(&prompt, completion).expect("a reader has no errors");
    let texts = PromptTexts { prompt: Prompt::default(), texts: vec![completion.to_owned()] };
    let item = called(Batch::Reader(vec![texts].into()));
    assert_eq!(item, Some(Item::Key(key.clone())), "{completion:?}");

    let Some(key) = key else { return };
    let score = math.score(&prompt, &key).ok();
    let texts = PromptTexts { prompt, texts: vec![key.clone()] };
    let item = called(Batch::Verifier(vec![texts].into()));
    assert_eq!(item, score.map(Item::Score), "{key:?} for {gold:?}");
});

/// Calls the component on a batch of one item. Returns `None` for an error, such as a gold answer that cannot be read; any
/// other failure is a finding.
fn called(batch: Batch<'_>) -> Option<Item> {
    let item = component().call(&batch).items.pop().expect("an item comes back");
    item.map_err(|failure| assert_eq!(failure.kind, FailureKind::Error, "{failure}")).ok()
}

fn component() -> &'static Plugin {
    static COMPONENT: OnceLock<Plugin> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let path = loader::target().join("alft/component/wasm32-unknown-unknown/release/alft_math.wasm");
        assert!(path.exists(), "there is no {}: see the README", path.display());
        let limits = Limits::default();
        let engine = Engine::new(&limits, loader::worker()).expect("this machine runs WebAssembly");
        let source = Source { path, pin: None, native: NativeTrust::Refused, config: "{}".into(), limits };
        Plugin::open(&source, &engine).expect("the component opens")
    })
}
