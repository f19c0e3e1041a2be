//! What an author is told about a folder that is no plugin crate, about a plugin that does not compile, and about one
//! that does.

use std::cell::RefCell;
use std::fs;

use alft_build::{Error, Form, build};
use tempfile::TempDir;

/// A crate without dependencies, its own workspace. Each has a name of its own: the tests may share a target folder.
fn package(name: &str, manifest: &str, file: &str, source: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let head = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("Cargo.toml"), head + manifest).unwrap();
    fs::write(dir.path().join(file), source).unwrap();
    dir
}

#[test]
fn a_folder_without_a_crate() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no-such-folder");
    for form in [Form::Component, Form::Native] {
        let error = build(&missing, form, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
        assert!(matches!(error, Error::NoProject(path) if path == missing));
    }
}

#[test]
fn a_program() {
    let dir = package("program", "", "src/main.rs", "fn main() {}");
    let error = build(dir.path(), Form::Native, &|_| {}).unwrap_err();
    assert!(matches!(&error, Error::NoLibrary { name, .. } if name == "program"), "{error}");
}

#[test]
fn a_manifest_that_cargo_refuses() {
    let dir = package("refused", "[nonsense", "src/lib.rs", "");
    let error = build(dir.path(), Form::Native, &|_| {}).unwrap_err();
    let Error::Command(failed) = &error else { panic!("{error}") };
    assert!(failed.command.starts_with("cargo metadata"), "{error}");
    assert!(failed.tail.contains("nonsense"), "{error}");
}

#[test]
fn a_plugin_that_does_not_compile() {
    let dir = package("broken", "", "src/lib.rs", "pub fn f() -> u32 { \"text\" }");
    let said = RefCell::new(String::new());
    let error = build(dir.path(), Form::Native, &|line| *said.borrow_mut() += line).unwrap_err();
    assert!(!said.into_inner().contains("mismatched"), "the error says it, once is enough");
    let Error::Compile { name, form, failed } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), *form), ("broken", Form::Native));
    assert!(failed.command.starts_with("cargo rustc --release --lib"), "{error}");
    assert!(failed.tail.contains("mismatched types") && failed.tail.contains("lib.rs:1:21"), "{error}");
}

#[test]
fn a_native_library_and_its_progress() {
    // No crate-type in its manifest: the build gives it.
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> u32 { 1 }\nfn unused() {}";
    let dir = package("lone", "", "src/lib.rs", source);
    let said = RefCell::new(String::new());
    let file = build(dir.path(), Form::Native, &|line| *said.borrow_mut() += line).unwrap();
    assert_eq!(file.extension().unwrap(), std::env::consts::DLL_EXTENSION);
    assert!(file.to_string_lossy().contains("alft"), "{}", file.display());
    let said = said.into_inner();
    for part in ["building lone as a native library", "function `unused` is never used", "built lone"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn the_same_source_gives_the_same_bytes_in_two_folders() {
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn at(i: usize) -> u8 { vec![1, 2][i] }";
    let bytes = [(); 2].map(|()| {
        let dir = package("twice", "", "src/lib.rs", source);
        fs::read(build(dir.path(), Form::Native, &|_| {}).unwrap()).unwrap()
    });
    assert!(bytes[0] == bytes[1], "the two builds differ");
}
