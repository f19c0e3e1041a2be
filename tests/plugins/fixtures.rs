//! Components of the first published contract, as they were built then. They must load for ever: whatever changes in the
//! sdk or the host, these files do not.

use std::path::{Path, PathBuf};

use alft_plugin_host::{Limits, Plugin, Role};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Prompt, Valuation};
use alft_sdk::dispatch;

use crate::support::{open_file, random_bundles};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/contract-1.0.0").join(name)
}

fn open(name: &str, config: &str) -> Plugin {
    open_file(&fixture(name), config, Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn an_objective_of_contract_1_0_0() {
    let plugin = open("entropy.wasm", "{}");
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.concave, manifest.gradient), ("alft-entropy", true, true));
    assert_eq!(Role::ALL.map(|role| plugin.has(role)), [false, false, true]);
    let bundles = random_bundles(100, 11);
    let linked = dispatch::evaluate::<alft_entropy::Entropy>("{}", &bundles).unwrap();
    let bits = |v: &Valuation| v.rewards.iter().flatten().chain([&v.utility]).map(|x| x.to_bits()).collect::<Vec<_>>();
    for (item, linked) in plugin.evaluate(&bundles).items.iter().zip(&linked) {
        assert_eq!(bits(item.as_ref().unwrap()), bits(linked));
    }
}

#[test]
fn a_reader_and_verifier_of_contract_1_0_0() {
    let plugin = open("arithmetic.wasm", r#"{"marker": ":"}"#);
    assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));
    assert_eq!(Role::ALL.map(|role| plugin.has(role)), [true, true, false]);
    let prompt = Prompt { id: "q".into(), gold: Some("25/2".into()), ..Prompt::default() };
    let ask = |texts: &[&str]| PromptTexts {
        prompt: prompt.clone(),
        texts: texts.iter().map(|text| (*text).to_owned()).collect(),
    };
    let read = plugin.read(&[ask(&["so it is: 12.5", "nothing"])]);
    let keys: Vec<Option<String>> = read.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(keys, [Some("25/2".into()), None]);
    let scored = plugin.score(&[ask(&["25/2", "12"])]);
    assert_eq!(scored.items, [Ok(1.0), Ok(0.0)]);
}
