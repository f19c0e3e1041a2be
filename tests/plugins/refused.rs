//! Files that are no plugin of ours are refused, each with its reason.

use std::path::Path;

use alft_build::Form;
use alft_plugin_host::{Error, Limits, NativeTrust, Plugin, Source};

use crate::support::{built, engine, open_file, source};

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
    let refused = |source: &Source| Plugin::open(source, engine()).unwrap_err().to_string();
    let error = refused(&source(&path, NativeTrust::Refused, "{}"));
    assert!(error.contains("trust = \"native\""), "{error}");
    let trusted = source(&path, NativeTrust::Process, "{}");
    let error = refused(&Source { pin: None, ..trusted.clone() });
    let hash = trusted.pin.clone().unwrap();
    assert!(error.contains(&format!("hash = \"{hash}\"")), "{error}");
    let error = refused(&Source { pin: Some("0".repeat(64)), ..trusted });
    assert!(error.contains(&hash) && error.contains("not the file that was pinned"), "{error}");
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

/// A component whose verifier has this core module; its `score` takes what it likes.
fn with_core(core: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module $m {core} (func (export "f")))
            (core instance $i (instantiate $m))
            (func $f (canon lift (core func $i "f")))
            (instance $v (export "score" (func $f)))
            (export "alft:objective/verifier@1.0.0" (instance $v)))"#
    );
    wat::parse_str(text).unwrap()
}

#[test]
fn needs_above_the_limits() {
    for (core, key) in [("(memory 2000)", "limits.memory"), ("(table 20000 funcref)", "limits.table_elements")] {
        let error = refused(&with_core(core)).to_string();
        assert!(error.contains(key), "{core}: {error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), with_core(&"(table 1 funcref)".repeat(3))).unwrap();
    let error = open_file(file.path(), "{}", Limits { instances: 2, ..Limits::default() }).unwrap_err();
    assert!(error.to_string().contains("needs 3 tables") && error.to_string().contains("limits.instances"), "{error}");
}

#[test]
fn a_component_that_takes_too_long_to_compile() {
    let body = "(local.set 0 (i32.xor (local.get 0) (i32.mul (local.get 0) (i32.const 7))))".repeat(20_000);
    let slow = with_core(&format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(4));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), slow).unwrap();
    let error = open_file(file.path(), "{}", Limits { compile_ms: 100, ..Limits::default() }).unwrap_err();
    assert!(error.to_string().contains("longer than 100 ms; raise `limits.compile_ms`"), "{error}");
}

#[test]
fn libraries_for_another_machine() {
    let mut library = std::fs::read(built("entropy", Form::Native)).unwrap();
    // The ELF header's machine: 0x3e is x86-64, 0xb7 is AArch64.
    library[18] = if library[18] == 0x3e { 0xb7 } else { 0x3e };
    let error = refused(&library);
    assert!(matches!(error, Error::Target { .. }), "{error}");
}

#[test]
fn libraries_that_say_nothing_of_panics_stay_out_of_this_process() {
    let mut library = std::fs::read(built("entropy", Form::Native)).unwrap();
    let fingerprint = b"; panic unwind;";
    let at = library.windows(fingerprint.len()).position(|bytes| bytes == fingerprint).unwrap();
    library[at..at + fingerprint.len()].copy_from_slice(b"; panic abort ;");
    let error = refused(&library);
    assert!(error.to_string().contains("built to abort"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &library).unwrap();
    let apart = Plugin::open(&source(file.path(), NativeTrust::Process, "{}"), engine()).unwrap();
    assert!(apart.fingerprint().unwrap().contains("panic abort"), "{:?}", apart.fingerprint());
}
