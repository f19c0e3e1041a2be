//! Files that are no plugin of ours are refused, each with its reason.

use std::path::Path;

use alft_build::Form;
use alft_plugin_host::{Error, Limits, Plugin, Source};

use crate::support::{built, engine, open_file};

/// What is said of a file with these bytes.
fn refused(bytes: &[u8]) -> Error {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open_file(file.path(), "{}", Limits::default()).unwrap_err()
}

/// A component that exports an instance `alft:objective/verifier@VERSION` with a `score` of no arguments.
fn exporting(version: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $v (export "score" (func $f)))
            (instance $a (export "describe" (func $f)))
            (export "alft:objective/verifier@{version}" (instance $v))
            (export "alft:objective/about@{version}" (instance $a)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn what_is_no_component_of_ours() {
    let core = wat::parse_str("(module)").unwrap();
    assert!(matches!(refused(&core), Error::CoreModule { .. }));
    assert!(matches!(refused(&wat::parse_str("(component)").unwrap()), Error::NoRole { .. }));
    assert!(matches!(refused(b""), Error::NotAPlugin { .. }));
    assert!(matches!(refused(b"#!/bin/sh\n"), Error::NotAPlugin { .. }));
    let whole = std::fs::read(built("entropy", Form::Component)).unwrap();
    for length in [5, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused(&whole[..length]);
        assert!(matches!(error, Error::Compile { .. } | Error::NoRole { .. }), "cut to {length}: {error}");
    }
    let absent = open_file(Path::new("no/such.wasm"), "{}", Limits::default()).unwrap_err();
    assert!(absent.to_string().contains("no/such.wasm"), "{absent}");
}

#[test]
fn another_version_of_the_contract() {
    let error = refused(&exporting("2.0.0"));
    assert!(matches!(error, Error::Contract { .. }));
    assert!(error.to_string().contains("speaks contract version 2.0.0; this host speaks version 1.0.0"), "{error}");
    let error = refused(&exporting("1.3.0"));
    assert!(matches!(error, Error::Type { .. }), "a later minor is ours, and its types are looked at: {error}");
}

#[test]
fn imports_that_reach_outside() {
    let text = r#"(component (import "wasi:filesystem/types@0.2.0" (instance (export "f" (func)))))"#;
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(error.to_string().contains("imports the interface wasi:filesystem/types@0.2.0"), "{error}");
}

#[test]
fn precompiled_code() {
    let component = wat::parse_str("(component)").unwrap();
    let component = wasmtime::component::Component::new(&wasmtime::Engine::default(), component).unwrap();
    assert!(matches!(refused(&component.serialize().unwrap()), Error::Precompiled { .. }));
}

#[test]
fn components_above_the_size_limit() {
    let limits = Limits { component_size: 1000, ..Limits::default() };
    let error = open_file(&built("entropy", Form::Component), "{}", limits).unwrap_err();
    assert!(error.to_string().contains("limits.component_size"), "{error}");
}

#[test]
fn native_libraries_without_a_word_of_trust() {
    let path = built("entropy", Form::Native);
    let source = Source { path, trust_native: false, config: "{}".into(), limits: Limits::default() };
    let error = Plugin::open(&source, engine()).unwrap_err();
    assert!(error.to_string().contains("trust = \"native\""), "{error}");
}

#[test]
fn libraries_without_our_entry_symbol() {
    // The test's own C library stands for any other library.
    let libc = std::fs::read_to_string("/proc/self/maps").unwrap();
    let Some(path) = libc.lines().filter_map(|line| line.split_whitespace().last()).find(|p| p.contains("libc.so"))
    else {
        return;
    };
    let error = open_file(Path::new(path), "{}", Limits::default()).unwrap_err();
    assert!(error.to_string().contains("alft_plugin_v1"), "{error}");
}

#[test]
fn a_configuration_that_the_plugin_refuses() {
    for form in crate::support::FORMS {
        let error = open_file(&built("arithmetic", form), r#"{"marker": ""}"#, Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains("marker is empty"), "{error}");
        let error = open_file(&built("arithmetic", form), r#"{"makrer": ":"}"#, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("unknown field `makrer`, expected `marker`"), "{error}");
    }
}
