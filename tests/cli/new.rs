//! `alft plugin new`, then the project's own test, `check` and `build`, then the host: the road of a new author, in every language.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use alft_plugin_host::{Engine, Limits, NativeTrust, Plugin, Role, Source, Worker};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Prompt, Samples};
use alft_sdk::estimate::PlugIn;

use crate::support::{alft, fail, root, said, succeed};

/// The command's standard output, which is one path.
fn path(command: &mut Command) -> PathBuf {
    String::from_utf8(succeed(command).stdout).unwrap().trim_end().into()
}

/// A new project of this name, and in a folder of it.
fn new(folder: &Path, language: &str, roles: &str) -> PathBuf {
    let name = format!("first-{language}");
    path(alft(folder).args(["plugin", "new", &name, "--lang", language, "--role", roles]))
}

/// What the project's README says to test it with.
fn test(project: &Path) {
    let readme = std::fs::read_to_string(project.join("README.md")).unwrap();
    let test = readme.lines().skip_while(|line| *line != "```sh").nth(1).unwrap();
    let mut shell = Command::new("sh");
    // Not into the folder that cargo is using for this very test.
    succeed(shell.args(["-c", test]).current_dir(project).env_remove("CARGO_TARGET_DIR"));
}

/// The component does what the templates promise, in all three roles.
fn plays_all_roles(file: &Path) {
    let limits = Limits::default();
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft").into(), arguments: vec!["plugin-worker".into()] };
    let engine = Engine::new(&limits, worker).unwrap();
    let pin = Some(blake3::hash(&std::fs::read(file).unwrap()).to_hex().to_string());
    let source = Source { path: file.into(), pin, native: NativeTrust::Process, config: "{}".into(), limits };
    let plugin = Plugin::open(&source, &engine).unwrap_or_else(|error| panic!("{error}"));
    assert!([Role::Reader, Role::Verifier, Role::Objective].into_iter().all(|role| plugin.has(role)));
    assert!(plugin.manifest().name.starts_with("first-") && plugin.manifest().version == "0.1.0");
    assert_eq!(plugin.manifest().score_range, Some((0.0, 1.0)));

    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    let prompt = Prompt { id: "q".into(), gold: Some(" größer".into()), ..Prompt::default() };
    let question = |these: &[&str]| [PromptTexts { prompt: prompt.clone(), texts: texts(these) }];
    let keys = plugin.read(&question(&["#### 1\n#### größer \n", "####", "", "größer"]));
    let keys: Vec<Option<String>> = keys.items.into_iter().map(Result::unwrap).collect();
    assert_eq!(keys, [Some("größer".to_owned()), None, None, None]);
    let scores = plugin.score(&question(&["größer", "Größer", ""]));
    assert_eq!(scores.items.into_iter().map(Result::unwrap).collect::<Vec<f64>>(), [1.0, 0.0, 0.0]);

    let keys = ["a", "a", "a", "b"].map(|key| Some(key.to_owned()));
    let bundle = Bundle::sampled("x", &[Samples { prompt: &prompt, keys: &keys }], &PlugIn);
    let valuation = plugin.evaluate(&[bundle]).items.remove(0).unwrap();
    assert_eq!((valuation.rewards, valuation.violation), (vec![vec![-4.0 / 3.0, 0.0]], None));
    assert!((valuation.utility - 0.5).abs() < 1e-15);
}

fn road(language: &str, native: bool) {
    let folder = tempfile::tempdir().unwrap();
    let project = new(folder.path(), language, "reader,verifier,objective");
    test(&project);
    succeed(alft(folder.path()).args(["plugin", "check"]).arg(&project));
    plays_all_roles(&path(alft(folder.path()).args(["plugin", "build"]).arg(&project)));
    if native {
        plays_all_roles(&path(alft(folder.path()).args(["plugin", "build", "--native"]).arg(&project)));
    }
}

#[test]
fn in_rust() {
    road("rust", true);
}

#[test]
fn in_python() {
    road("python", false);
}

#[test]
fn in_javascript() {
    road("js", false);
}

#[test]
fn in_c() {
    road("c", true);
}

#[test]
fn the_worked_examples_pass_the_kit() {
    for language in ["rust", "python", "js", "c"] {
        succeed(alft(&root()).args(["plugin", "check"]).arg(root().join("examples/plugins").join(language)));
    }
}

#[test]
fn an_interpreters_system_is_within_it_and_grants_nothing() {
    for (language, interpreted) in [("python", true), ("js", true), ("c", false)] {
        let project = root().join("examples/plugins").join(language);
        let told = said(&succeed(alft(&root()).args(["plugin", "inspect"]).arg(project)));
        assert_eq!(told.contains("WASI       virtual"), interpreted, "{told}");
        assert!(told.contains("can do I/O no"), "{told}");
    }
}

#[test]
fn what_will_not_do_is_refused_with_something_that_does() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = |args: &[&str]| {
        let mut command = alft(folder.path());
        command.args(["plugin", "new"]).args(args);
        command
    };
    fail(&mut plugin(&["Exact Match", "--role", "reader"]), 5, &["Exact Match", "such as \"exact-match\""]);
    fail(&mut plugin(&["x", "--role", "judge"]), 2, &["judge", "the roles are reader, grader, verifier, objective"]);
    fail(&mut plugin(&["x", "--role", "reader", "--lang", "go"]), 2, &["go", "there are rust, python, js and c"]);
    fail(&mut plugin(&["x"]), 2, &["--role"]);
    std::fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    fail(&mut plugin(&["x", "--role", "reader", "--dir", "."]), 5, &["something in it already", "--dir"]);
    fail(&mut plugin(&["x", "--role", "reader", "--sdk", "."]), 5, &["alft-sdk", "not published", "--sdk"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was written");
}

/// A command that goes on until it is stopped, and the lines it says.
struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    fn start(command: &mut Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || said.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, lines }
    }

    fn wait(&self, words: &str) {
        let mut said = String::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(240)) {
            if line.contains(words) {
                return;
            }
            said += &line;
            said.push('\n');
        }
        panic!("no \"{words}\" in: {said}");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended of itself.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

#[test]
fn watching_tells_of_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let project = new(folder.path(), "c", "verifier");
    let watch = Running::start(alft(folder.path()).args(["plugin", "watch"]).arg(&project));
    watch.wait("passed in");
    let source = std::fs::read_to_string(project.join("plugin.c")).unwrap();
    std::fs::write(project.join("plugin.c"), source.replace("ALFT_OK;", "ALFT_OH;")).unwrap();
    watch.wait("ALFT_OH");
    watch.wait("failed in");
    std::fs::write(project.join("plugin.c"), source).unwrap();
    watch.wait("passed in");
}
