//! Errors and events of builds: folders without a plugin crate, plugins that do not compile, and one that does.

use std::cell::RefCell;
use std::fs;

use alft_build::{BuildEvent, CommandError, Error, Form, build};
use tempfile::TempDir;

/// Writes a crate without dependencies that is its own workspace. Names differ, because tests may share a target folder.
fn package(name: &str, manifest: &str, file: &str, source: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let head = format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n");
    fs::create_dir(dir.path().join("src")).unwrap();
    fs::write(dir.path().join("Cargo.toml"), head + manifest).unwrap();
    fs::write(dir.path().join(file), source).unwrap();
    dir
}

#[test]
fn a_folder_without_a_project_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("no-such-folder");
    for form in [Form::Component, Form::Native] {
        let error = build(&missing, form, &|_| {}).unwrap_err();
        assert!(error.to_string().contains("no-such-folder"), "{error}");
        assert!(matches!(error, Error::NoProject(path) if path == missing));
    }
}

#[test]
fn a_crate_without_a_library_is_an_error() {
    let dir = package("program", "", "src/main.rs", "fn main() {}");
    let error = build(dir.path(), Form::Native, &|_| {}).unwrap_err();
    assert!(matches!(&error, Error::NoLibrary { name, .. } if name == "program"), "{error}");
}

#[test]
fn a_manifest_that_cargo_refuses_is_shown_with_cargos_reason() {
    let dir = package("refused", "[nonsense", "src/lib.rs", "");
    let error = build(dir.path(), Form::Native, &|_| {}).unwrap_err();
    let Error::Command(CommandError { command, stderr, .. }) = &error else { panic!("{error}") };
    assert!(command.starts_with("cargo metadata"), "{error}");
    assert!(stderr.contains("nonsense"), "{error}");
}

#[test]
fn the_errors_of_the_compiler_are_in_the_error_and_in_no_event() {
    let dir = package("broken", "", "src/lib.rs", "pub fn f() -> u32 { \"text\" }");
    let lines = RefCell::new(String::new());
    let error = build(dir.path(), Form::Native, &|event| *lines.borrow_mut() += &event.to_string()).unwrap_err();
    assert!(!lines.into_inner().contains("mismatched"), "a user reads them once");
    let Error::Compile { name, form, source } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), *form), ("broken", Form::Native));
    assert!(source.command.starts_with("cargo rustc --release --lib"), "{source}");
    assert!(source.stderr.contains("mismatched types") && source.stderr.contains("lib.rs:1:21"), "{source}");
}

#[test]
fn a_native_library_is_built_with_events_from_start_to_finish() {
    // The manifest has no crate-type, for the build sets it.
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn one() -> u32 { 1 }\nfn unused() {}";
    let dir = package("lone", "", "src/lib.rs", source);
    let events = RefCell::new(Vec::new());
    let built = build(dir.path(), Form::Native, &|event| events.borrow_mut().push(event)).unwrap();
    assert_eq!(built.extension().unwrap(), std::env::consts::DLL_EXTENSION);
    assert!(built.to_string_lossy().contains("alft"), "{}", built.display());
    let events = events.into_inner();
    assert_eq!(events[0], BuildEvent::Started { project: dir.path().to_owned(), form: Form::Native });
    assert_eq!(events[1].to_string(), "compiling lone as a native library");
    let warning =
        |event: &BuildEvent| matches!(event, BuildEvent::Line(line) if line.contains("`unused` is never used"));
    assert!(events.iter().any(warning), "{events:?}");
    let last = events.last().unwrap();
    assert!(matches!(last, BuildEvent::Finished { name, file, .. } if name == "lone" && *file == built), "{last:?}");
}

#[test]
fn the_same_source_gives_the_same_bytes_in_two_folders() {
    // A panic's message has the path of its source, in the plugin and in a crate beside it.
    let source = "#[unsafe(no_mangle)]\npub extern \"C\" fn at(i: usize) -> u8 { vec![1, helper::at(i)][i] }";
    let helper = "#[inline(never)]\npub fn at(i: usize) -> u8 { vec![1, 2][i] }";
    let bytes = [(); 2].map(|()| {
        let dir = package("twice", "[dependencies]\nhelper = { path = \"helper\" }", "src/lib.rs", source);
        fs::create_dir_all(dir.path().join("helper/src")).unwrap();
        let manifest = "[package]\nname = \"helper\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
        fs::write(dir.path().join("helper/Cargo.toml"), manifest).unwrap();
        fs::write(dir.path().join("helper/src/lib.rs"), helper).unwrap();
        fs::read(build(dir.path(), Form::Native, &|_| {}).unwrap()).unwrap()
    });
    assert!(bytes[0] == bytes[1], "the two builds differ");
    let text = String::from_utf8_lossy(&bytes[0]);
    assert!(text.contains("helper/src/lib.rs"), "the library names no source, so the test shows nothing");
}
