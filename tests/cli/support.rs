//! A scratch folder with a small run in it, what is built or trained once for all tests, and the binary.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use alft_build::Form;
use serde_json::Value;

/// Returns the project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Returns a command of the binary, to be run in `folder`.
pub(crate) fn alft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alft"));
    // Errors are drawn with the characters that `unwrapped` knows.
    command.current_dir(folder).env("LC_ALL", "C.UTF-8");
    command
}

/// Returns standard error and standard output as text.
pub(crate) fn all_text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// Runs a command to its end and asserts success.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, all_text(&output));
    output
}

/// Runs a command to its end, and asserts the exit code and that the output contains these texts.
pub(crate) fn fail(command: &mut Command, code: i32, texts: &[&str]) {
    let output = command.output().unwrap();
    let all = all_text(&output);
    assert_eq!(output.status.code(), Some(code), "{command:?}: {all}");
    for text in texts {
        assert!(unwrapped(&all).contains(&unwrapped(text)), "{command:?}: no \"{text}\" in: {all}");
    }
    // Only the panics of plugins may be reported. A panic of this program's threads gives the thread's number.
    assert!(!all.contains(") panicked at"), "{all}");
}

/// Removes white space and the frames of errors: an error is wrapped to the terminal's width, also within a path, and its
/// causes are drawn as a tree.
fn unwrapped(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !"│×├╰╭─▶·┬".contains(*c)).collect()
}

/// Returns the file of a plugin of `plugins/`. Builds it once for all tests: asking cargo if a crate is up to date takes
/// longer than most tests.
pub(crate) fn built(name: &str, form: Form) -> PathBuf {
    type Built = Arc<OnceLock<PathBuf>>;
    static BUILT: Mutex<BTreeMap<(String, String), Built>> = Mutex::new(BTreeMap::new());
    let key = (name.to_owned(), form.to_string());
    let built = Built::clone(BUILT.lock().unwrap_or_else(PoisonError::into_inner).entry(key).or_default());
    let build = || {
        let plugin = root().join("plugins").join(name);
        #[expect(clippy::disallowed_macros, reason = "a test prints")]
        let shown = |event: alft_build::BuildEvent| eprintln!("{event}");
        alft_build::build(&plugin, form, &shown).unwrap_or_else(|error| panic!("{error}"))
    };
    built.get_or_init(build).clone()
}

/// Returns the component of a plugin of `plugins/`.
pub(crate) fn component(name: &str) -> PathBuf {
    built(name, Form::Component)
}

/// Returns a plugin's table for a run file, with `keys` as further lines.
pub(crate) fn plugin_table(name: &str, file: &Path, keys: &str) -> String {
    format!("\n[[plugin]]\nname = \"{name}\"\npath = {file:?}\n{keys}\n")
}

/// Returns an empty folder that stays until the tests run again, for something that is made once for all tests.
pub(crate) fn fixture(name: &str) -> PathBuf {
    static LOCK: OnceLock<File> = OnceLock::new();
    let fixtures = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    fs::create_dir_all(&fixtures).unwrap();
    // Another process that runs these tests waits for the end of this one.
    LOCK.get_or_init(|| {
        let file = File::create(fixtures.join("lock")).unwrap();
        file.lock().unwrap();
        file
    });
    let folder = fixtures.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir(&folder).unwrap();
    folder
}

/// Returns a finished run in the folder `run`, trained once for all tests. A test that changes the run uses
/// [`Small::copy`].
pub(crate) fn finished() -> &'static Small {
    static FINISHED: OnceLock<Small> = OnceLock::new();
    FINISHED.get_or_init(|| {
        let small = Small::at(fixture("finished"), UNTAUGHT);
        succeed(&mut small.train("run"));
        small
    })
}

/// Returns the model of a supervised training that is long enough for the policy to give answers, trained once for all
/// tests.
fn taught_model() -> &'static Path {
    static TAUGHT: OnceLock<PathBuf> = OnceLock::new();
    TAUGHT.get_or_init(|| {
        let small = Small::at(fixture("taught"), UNTAUGHT);
        succeed(small.train("run").args(["--set", "warm_start.steps=150", "--set", "train.steps=1"]));
        small.path().join("run/model")
    })
}

/// The random policy, which is hardly taught before the game.
const UNTAUGHT: &str = r#"
[model]
embedded = "tiny"

[warm_start]
data = "worked.jsonl"
steps = 20
batch = 32
schedule = { learning_rate = 5e-3, warmup_steps = 20 }
"#;

/// The rest of the small run file, except the plugins.
const SMALL: &str = r#"
[prompts]
train = "train.jsonl"
eval = "eval.jsonl"

[sampling]
max_new_tokens = 32
temperature = 1.15

[game]
group = 4
bundles_per_step = 2
advantage = { scale = "none" }

[train]
steps = 6
schedule = { learning_rate = 3e-4, warmup_steps = 10 }
loss = { beta = 0.02 }

[eval]
bundles = 2
group = 2
"#;

/// A folder with the run file `run.toml` and the question files of a run of six steps, with the quickstart's plugins as
/// components.
pub(crate) struct Small {
    folder: PathBuf,
    /// Removes the folder of a scratch run at the end of its test.
    _scratch: Option<tempfile::TempDir>,
}

impl Small {
    /// A run of the random policy after 20 supervised steps.
    pub(crate) fn new() -> Self {
        Self::scratch(UNTAUGHT)
    }

    /// A run without a warm start, of a policy that gives answers.
    pub(crate) fn taught() -> Self {
        Self::scratch(&format!("\n[model]\npath = {:?}\n", taught_model()))
    }

    fn scratch(model: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let small = Self::at(scratch.path().into(), model);
        Self { _scratch: Some(scratch), ..small }
    }

    fn at(folder: PathBuf, model: &str) -> Self {
        for name in ["train.jsonl", "eval.jsonl", "worked.jsonl"] {
            fs::copy(root().join("examples/quickstart").join(name), folder.join(name)).unwrap();
        }
        let small = Self { folder, _scratch: None };
        let plugins = [
            plugin_table("arithmetic", &component("arithmetic"), "config = { marker = \":\" }"),
            plugin_table("entropy", &component("entropy"), "weight = 0.03"),
            plugin_table("coherence", &component("coherence"), "weight = 0.6"),
        ];
        small.write("run.toml", &format!("output = \"out\"\n{model}{SMALL}{}", plugins.concat()));
        small
    }

    /// Copies the folder and everything in it.
    pub(crate) fn copy(&self) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        copy(self.path(), scratch.path());
        Self { folder: scratch.path().into(), _scratch: Some(scratch) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Adds lines to the end of the run file.
    pub(crate) fn append(&self, text: &str) {
        self.write("run.toml", &(self.read("run.toml") + text));
    }

    /// Returns the command that trains into the folder `output`.
    pub(crate) fn train(&self, output: &str) -> Command {
        self.command(&["train", "run.toml", "--output", output])
    }

    /// Returns the command that resumes the run in `folder`.
    pub(crate) fn resume(&self, folder: &str) -> Command {
        self.command(&["train", "run.toml", "--resume", folder])
    }

    /// Returns a command of the binary that runs in the folder.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = alft(self.path());
        command.args(args);
        command
    }

    /// Returns the objects of a JSON-lines file.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Returns a run's lines of metrics, without the seconds.
    pub(crate) fn metrics(&self, output: &str) -> Vec<Value> {
        let mut lines = self.lines(&format!("{output}/metrics.jsonl"));
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("time")));
        lines
    }

    /// Returns a run's summary, without the seconds.
    pub(crate) fn summary(&self, output: &str) -> Value {
        let mut summary: Value = serde_json::from_str(&self.read(&format!("{output}/summary.json"))).unwrap();
        ["seconds", "plugin_seconds"].iter().for_each(|key| drop(summary.as_object_mut().unwrap().remove(*key)));
        summary
    }
}

/// Copies everything in a folder into another.
pub(crate) fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            fs::create_dir(&place).unwrap();
            copy(&entry.path(), &place);
        } else {
            fs::copy(entry.path(), place).unwrap();
        }
    }
}
