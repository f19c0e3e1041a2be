//! The way of a new author in every language: `alft plugin new`, the project's test, `check`, `build`, and the host.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Source, Worker};
use alft_sdk::bundle::{Bundle, Prompt};
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::estimate::PlugIn;
use alft_sdk::roles::{Batch, Role};
use alft_sdk::samples::Samples;

use crate::support::{alft, all_text, fail, fixture, root, succeed};

/// Returns a command of the binary in `folder`. A build of a plugin goes into the target folder of this workspace, by the
/// path that its own plugins are built with, where everything that the sdk depends on is compiled already.
fn author(folder: &Path) -> Command {
    let mut command = alft(folder);
    command.env("CARGO_TARGET_DIR", Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap());
    command
}

/// The target folder of the tests of new projects in Rust. Not the one of the cargo that runs this test, which may have
/// locked it.
fn target() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("plugins")
}

/// Runs a command and returns its standard output, which is one path.
fn path(command: &mut Command) -> PathBuf {
    String::from_utf8(succeed(command).stdout).unwrap().trim_end().into()
}

/// Creates a project in a folder that is the same in every run of the tests: cargo compiles dependencies again when the
/// project is in another folder.
fn new(language: &str, name: &str, roles: &str) -> PathBuf {
    let folder = fixture(name);
    succeed(author(&folder).args(["plugin", "new", name, "--lang", language, "--role", roles, "--dir", "."]));
    share_versions(&folder);
    folder
}

/// Gives a project the dependencies of this workspace in the very versions, so that what is built of them is used again.
fn share_versions(project: &Path) {
    if project.join("Cargo.toml").exists() {
        std::fs::copy(root().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    }
}

/// Runs the test command of the project's README.
fn test(project: &Path) {
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let test = readme.lines().skip_while(|line| *line != "```sh").nth(1).unwrap();
    let mut shell = Command::new("sh");
    succeed(shell.args(["-c", test]).current_dir(project).env("CARGO_TARGET_DIR", target()));
}

/// Asserts that the plugin does in each role what the templates promise.
fn assert_plays_all_roles(file: &Path) {
    let limits = Limits::default();
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft").into(), arguments: vec!["plugin-worker".into()] };
    let engine = Engine::new(&limits, worker).unwrap();
    let pin = Some(blake3::hash(&std::fs::read(file).unwrap()).to_hex().to_string());
    let source = Source { path: file.into(), pin, native: NativeTrust::Process, config: "{}".into(), limits };
    let plugin = Plugin::open(&source, &engine).unwrap_or_else(|error| panic!("{error}"));
    assert!(Role::ALL.into_iter().all(|role| plugin.has(role)), "{:?}", plugin.roles());
    assert!(plugin.manifest().name.starts_with("first-") && plugin.manifest().version == "0.1.0");
    assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));

    let items = |batch: Batch<'_>| plugin.call(&batch).items.into_iter().map(Result::unwrap).collect::<Vec<Item>>();
    let prompt = Prompt { id: "q".into(), gold: Some(" größer".into()), ..Prompt::default() };
    let entry = |texts: &[&str]| {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        vec![PromptTexts { prompt: prompt.clone(), texts }]
    };
    let keys = items(Batch::Reader(entry(&["#### 1\n#### größer \n", "####", "", "größer"]).into()));
    let wanted = [Some("größer".to_owned()), None, None, None].map(Item::Key);
    assert_eq!(keys, wanted);
    let long = "word ".repeat(401);
    let scores = items(Batch::Grader(entry(&["three words here", &long]).into()));
    assert_eq!(scores, [1.0, 0.0].map(Item::Score));
    let scores = items(Batch::Verifier(entry(&["größer", "Größer", ""]).into()));
    assert_eq!(scores, [1.0, 0.0, 0.0].map(Item::Score));

    let keys = ["a", "a", "a", "b"].map(|key| Some(key.to_owned()));
    let bundle = Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
    let valuations = items(Batch::Objective(vec![bundle].into()));
    let [Item::Valuation(valuation)] = &valuations[..] else { panic!("{valuations:?}") };
    assert_eq!((&valuation.rewards, valuation.violation), (&vec![vec![-4.0 / 3.0, 0.0]], None));
    assert!((valuation.utility - 0.5).abs() < 1e-15);
}

fn assert_an_author_succeeds(language: &str, has_native: bool) {
    let project = new(language, &format!("first-{language}"), "reader,grader,verifier,objective");
    test(&project);
    succeed(author(&project).args(["plugin", "check", "."]));
    assert_plays_all_roles(&path(author(&project).args(["plugin", "build", "."])));
    if has_native {
        assert_plays_all_roles(&path(author(&project).args(["plugin", "build", ".", "--native"])));
    }
}

#[test]
fn in_rust() {
    assert_an_author_succeeds("rust", true);
}

#[test]
fn in_python() {
    assert_an_author_succeeds("python", false);
}

#[test]
fn in_javascript() {
    assert_an_author_succeeds("js", false);
}

#[test]
fn in_c() {
    assert_an_author_succeeds("c", true);
}

#[test]
fn the_examples_pass_the_conformance_tests() {
    for language in ["rust", "python", "js", "c"] {
        share_versions(&root().join("examples/plugins").join(language));
        succeed(author(&root()).args(["plugin", "check"]).arg(root().join("examples/plugins").join(language)));
    }
}

#[test]
fn the_system_of_an_interpreter_is_inside_the_component_and_grants_nothing() {
    for (language, interpreted) in [("python", true), ("js", true), ("c", false)] {
        let project = root().join("examples/plugins").join(language);
        let text = all_text(&succeed(author(&root()).args(["plugin", "inspect"]).arg(project)));
        assert_eq!(text.contains("WASI       virtual"), interpreted, "{text}");
        assert!(text.contains("can do I/O no"), "{text}");
    }
}

#[test]
fn mistakes_are_refused_with_a_remedy_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |args: &[&str], code: i32, texts: &[&str]| {
        fail(alft(folder.path()).args(["plugin", "new"]).args(args), code, texts);
    };
    refused(&["Exact Match", "--role", "reader"], 5, &["Exact Match", "such as \"exact-match\""]);
    refused(&["x", "--role", "judge"], 2, &["\"judge\" is not a role", "reader, grader, verifier, objective"]);
    refused(&["x", "--role", "reader", "--lang", "go"], 2, &["language \"go\"", "use rust, python, js or c"]);
    refused(&["x"], 2, &["--role"]);
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    refused(&["x", "--role", "reader", "--dir", "."], 5, &["the folder is not empty", "--dir"]);
    refused(&["x", "--role", "reader", "--sdk", "."], 5, &["alft-sdk", "not published", "--sdk"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// A command that runs until it is dropped, and the lines of its standard error.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    /// Waits for a line with these words.
    fn wait_for(&self, words: &str) {
        let mut lines = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(240)) {
            if line.contains(words) {
                return;
            }
            lines.push(line);
        }
        panic!("no \"{words}\" in: {}", lines.join("\n"));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The command may have ended already.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn watch_checks_a_project_after_a_change() {
    let project = new("c", "watched", "verifier");
    let source = std::fs::read_to_string(project.join("plugin.c")).unwrap();
    std::fs::write(project.join("plugin.c"), source.replace("ALFT_OK;", "ALFT_OH;")).unwrap();
    let watch = Running::start(author(&project).args(["plugin", "watch", "."]));
    watch.wait_for("ALFT_OH");
    watch.wait_for("failed in");
    std::fs::write(project.join("plugin.c"), source).unwrap();
    watch.wait_for("passed in");
}
