//! Components of the first published contract, as they were built then. They must always load: these files stay the same,
//! whatever changes in the sdk or the host.

use std::path::Path;

use alft_plugin_host::{Limits, Plugin};
use alft_sdk::roles::{Role, Roles};
use alft_sdk::{dispatch, roles};

use crate::support::{bits, chain, entry, evaluate, grade, open_file, random_bundles, read, score};

fn open(name: &str, config: &str) -> Plugin {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/contract-1.0.0").join(name);
    open_file(&path, config, Limits::default()).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

#[test]
fn an_objective_of_contract_1_0_0_loads() {
    let plugin = open("entropy.wasm", "{}");
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.concave, manifest.gradient), ("alft-entropy", true, true));
    assert_eq!(plugin.roles(), Roles::default().with(Role::Objective));
    let bundles = random_bundles(100, 11);
    let linked = dispatch::call::<alft_entropy::Entropy, roles::Evaluate>("{}", &bundles).unwrap();
    for (item, linked) in evaluate(&plugin, &bundles).items.iter().zip(&linked) {
        assert_eq!(bits(item.as_ref().unwrap()), bits(linked));
    }
}

#[test]
fn a_grader_of_contract_1_0_0_loads() {
    let plugin = open("length.wasm", r#"{"max": 8, "buffer": 4}"#);
    assert_eq!(plugin.manifest().score_range, Some((-1.0, 0.0)));
    assert_eq!(plugin.roles(), Roles::default().with(Role::Grader));
    let graded = grade(&plugin, &[entry(Some("2"), &["1234", "12345", "123456789"])]);
    assert_eq!(graded.items, [Ok(0.0), Ok(-0.25), Ok(-1.0)]);
}

#[test]
fn a_reader_and_verifier_of_contract_1_0_0_loads() {
    let plugin = open("arithmetic.wasm", r#"{"marker": ":"}"#);
    assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));
    assert_eq!(plugin.roles(), Roles::default().with(Role::Reader).with(Role::Verifier));
    let read = read(&plugin, &[entry(Some("25/2"), &["so it is: 12.5", "nothing"])]);
    let keys: Vec<Option<String>> = read.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(keys, [Some("25/2".into()), None]);
    let scored = score(&plugin, &[entry(Some("25/2"), &["25/2", "12"])]);
    assert_eq!(scored.items, [Ok(1.0), Ok(0.0)]);
}
