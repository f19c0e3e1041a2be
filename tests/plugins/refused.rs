//! Files that are not plugins of the contract are refused, each with its reason.

use std::path::Path;

use alft_build::Form;
use alft_plugin_host::{Error, Limits, NativeTrust, Plugin, Source};

use crate::support::{FORMS, built, chain, engine, open_bytes, open_file, source};

/// Returns the error of a file with these bytes.
fn refused(bytes: &[u8]) -> Error {
    open_bytes(bytes, Limits::default()).unwrap_err()
}

/// Returns a component that exports an instance `alft:objective/verifier@VERSION` with a `score` of no arguments.
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
fn files_that_are_not_components_are_refused() {
    let core = wat::parse_str("(module)").unwrap();
    assert!(matches!(refused(&core), Error::CoreModule { .. }));
    assert!(matches!(refused(&wat::parse_str("(component)").unwrap()), Error::NoRole { .. }));
    assert!(matches!(refused(b""), Error::NotAPlugin { .. }));
    assert!(matches!(refused(b"#!/bin/sh\n"), Error::NotAPlugin { .. }));
    let whole = std::fs::read(built("entropy", Form::Component)).unwrap();
    for length in [5, 8, 100, whole.len() / 2, whole.len() - 1] {
        let error = refused(&whole[..length]);
        let expected = matches!(error, Error::Compile { .. } | Error::NoRole { .. });
        assert!(expected, "truncated to {length} bytes: {}", chain(&error));
    }
    let absent = open_file(Path::new("no/such.wasm"), "{}", Limits::default()).unwrap_err();
    assert!(absent.to_string().contains("no/such.wasm"), "{absent}");
}

#[test]
fn another_version_of_the_contract_is_refused() {
    let error = refused(&exporting("2.0.0"));
    assert!(matches!(error, Error::Contract { .. }));
    assert!(error.to_string().contains("has version 2.0.0 of the contract; this host has version 1.0.0"), "{error}");
    let error = refused(&exporting("1.3.0"));
    assert!(
        matches!(error, Error::Type { .. }),
        "a later minor version is compatible, and its types are checked: {error}"
    );
}

#[test]
fn imports_of_the_system_are_refused() {
    let text = r#"(component (import "wasi:filesystem/types@0.2.0" (instance (export "f" (func)))))"#;
    let error = refused(&wat::parse_str(text).unwrap());
    assert!(error.to_string().contains("imports the interface wasi:filesystem/types@0.2.0"), "{error}");
}

#[test]
fn precompiled_code_is_refused() {
    let component = wat::parse_str("(component)").unwrap();
    let component = wasmtime::component::Component::new(&wasmtime::Engine::default(), component).unwrap();
    assert!(matches!(refused(&component.serialize().unwrap()), Error::Precompiled { .. }));
}

#[test]
fn components_above_the_size_limit_are_refused() {
    let limits = Limits { component_size: 1000, ..Limits::default() };
    let error = open_file(&built("entropy", Form::Component), "{}", limits).unwrap_err();
    assert!(error.to_string().contains("limits.component_size"), "{error}");
}

#[test]
fn native_libraries_without_trust_or_pin_are_refused() {
    let path = built("entropy", Form::Native);
    let refused = |source: &Source| Plugin::open(source, engine()).unwrap_err().to_string();
    let error = refused(&source(&path, NativeTrust::Refused, "{}"));
    assert!(error.contains("trust = \"native\""), "{error}");
    let trusted = source(&path, NativeTrust::Process, "{}");
    let error = refused(&Source { pin: None, ..trusted.clone() });
    let hash = trusted.pin.clone().unwrap();
    assert!(error.contains(&format!("hash = \"{hash}\"")), "{error}");
    let error = refused(&Source { pin: Some("0".repeat(64)), ..trusted });
    assert!(error.contains(&hash) && error.contains("is not the pinned file"), "{error}");
}

#[test]
fn libraries_without_an_entry_symbol_are_refused() {
    // The C library that this test is linked to.
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let Some(path) = maps.lines().filter_map(|line| line.split_whitespace().last()).find(|p| p.contains("libc.so"))
    else {
        return;
    };
    let error = chain(&open_file(Path::new(path), "{}", Limits::default()).unwrap_err());
    assert!(error.contains("alft_plugin_v1"), "{error}");
}

#[test]
fn an_invalid_configuration_is_refused_with_the_plugins_message() {
    for form in FORMS {
        let error = open_file(&built("arithmetic", form), r#"{"marker": ""}"#, Limits::default()).unwrap_err();
        assert!(matches!(error, Error::Config { .. }), "{error}");
        assert!(error.to_string().contains("marker is empty"), "{error}");
        let error = open_file(&built("arithmetic", form), r#"{"makrer": ":"}"#, Limits::default()).unwrap_err();
        assert!(error.to_string().contains("unknown field `makrer`, expected `marker`"), "{error}");
    }
}

/// Returns a component whose verifier has this core module. The type of `score` is wrong.
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
fn components_that_start_above_the_limits_are_refused() {
    for (core, key) in [("(memory 2000)", "limits.memory"), ("(table 20000 funcref)", "limits.table_elements")] {
        let error = refused(&with_core(core)).to_string();
        assert!(error.contains(key), "{core}: {error}");
    }
    let limits = Limits { instances: 2, ..Limits::default() };
    let error = open_bytes(&with_core(&"(table 1 funcref)".repeat(3)), limits).unwrap_err().to_string();
    assert!(error.contains("needs 3 tables") && error.contains("limits.instances"), "{error}");
}

#[test]
fn a_component_that_takes_too_long_to_compile_is_refused() {
    let body = "(local.set 0 (i32.xor (local.get 0) (i32.mul (local.get 0) (i32.const 7))))".repeat(20_000);
    let slow = with_core(&format!("(func (param i32) (result i32) {body} (local.get 0))").repeat(4));
    let error = chain(&open_bytes(&slow, Limits { compile_ms: 100, ..Limits::default() }).unwrap_err());
    assert!(error.contains("longer than 100 ms; raise `limits.compile_ms`"), "{error}");
}

#[test]
fn libraries_for_another_machine_are_refused() {
    let mut library = std::fs::read(built("entropy", Form::Native)).unwrap();
    // The ELF header's machine: 0x3e is x86-64, 0xb7 is AArch64.
    library[18] = if library[18] == 0x3e { 0xb7 } else { 0x3e };
    let error = refused(&library);
    assert!(matches!(error, Error::Target { .. }), "{error}");
}

#[test]
fn libraries_whose_panics_cannot_be_caught_run_only_in_a_child_process() {
    let mut library = std::fs::read(built("entropy", Form::Native)).unwrap();
    let fingerprint = b"; panic unwind;";
    let at = library.windows(fingerprint.len()).position(|bytes| bytes == fingerprint).unwrap();
    library[at..at + fingerprint.len()].copy_from_slice(b"; panic abort ;");
    let error = refused(&library);
    assert!(error.to_string().contains("built to abort"), "{error}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &library).unwrap();
    let plugin = Plugin::open(&source(file.path(), NativeTrust::Process, "{}"), engine()).unwrap();
    assert!(plugin.fingerprint().unwrap().contains("panic abort"), "{:?}", plugin.fingerprint());
}

#[cfg(target_os = "linux")]
#[test]
fn a_library_that_cannot_be_loaded_is_named_by_its_own_path() {
    let mut library = std::fs::read(built("entropy", Form::Native)).unwrap();
    // The name of the C library that it needs.
    let needed = b"\0libc.so.6\0";
    let at = library.windows(needed.len()).position(|bytes| bytes == needed).unwrap();
    library[at + 4] = b'x';
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.so");
    std::fs::write(&path, &library).unwrap();
    for native in [NativeTrust::InProcess, NativeTrust::Process] {
        let error = chain(&Plugin::open(&source(&path, native, "{}"), engine()).unwrap_err());
        assert!(error.contains("libx.so.6") && error.contains("mine.so cannot be loaded"), "{error}");
        assert!(!error.contains("libraries/"), "the copy in the cache is not named: {error}");
    }
}
