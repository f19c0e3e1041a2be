//! A scratch folder with a small run in it, and the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

/// The project's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The binary, to be run in `folder`.
pub(crate) fn alft(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_alft"));
    command.current_dir(folder);
    command
}

/// Standard error and output as text.
pub(crate) fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// A reference plugin, built as a component.
pub(crate) fn built(folder: &Path, name: &str) -> PathBuf {
    let output = succeed(alft(folder).args(["plugin", "build"]).arg(root().join("plugins").join(name)));
    String::from_utf8(output.stdout).unwrap().trim().into()
}

/// A scratch folder with a run of a few steps: the tiny policy, hardly taught, and the quickstart's plugins.
pub(crate) struct Small {
    folder: tempfile::TempDir,
}

impl Small {
    pub(crate) fn new() -> Self {
        let small = Self { folder: tempfile::tempdir().unwrap() };
        let quickstart = root().join("examples/quickstart");
        for name in ["train.jsonl", "eval.jsonl", "worked.jsonl"] {
            std::fs::copy(quickstart.join(name), small.path().join(name)).unwrap();
        }
        let run = std::fs::read_to_string(quickstart.join("run.toml")).unwrap();
        let plugins = root().join("plugins");
        small.write("run.toml", &run.replace("../../plugins", plugins.to_str().unwrap()));
        small
    }

    /// The same with components that are built already: a start is a matter of milliseconds.
    pub(crate) fn prebuilt() -> Self {
        let small = Self::new();
        let mut run: toml::Table = small.read("run.toml").parse().unwrap();
        for plugin in run["plugin"].as_array_mut().unwrap() {
            let plugin = plugin.as_table_mut().unwrap();
            ["crate", "form", "trust"].iter().for_each(|key| drop(plugin.remove(*key)));
            let path = component(plugin["name"].as_str().unwrap());
            plugin.insert("path".into(), path.to_str().unwrap().into());
        }
        small.write("run.toml", &toml::to_string(&run).unwrap());
        small
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// `alft train run.toml`, six steps, into `output`.
    pub(crate) fn train(&self, output: &str) -> Command {
        self.command("--output", output)
    }

    /// The same, going on with the run in `folder`.
    pub(crate) fn resume(&self, folder: &str) -> Command {
        self.command("--resume", folder)
    }

    fn command(&self, flag: &str, folder: &str) -> Command {
        let mut command = alft(self.path());
        command.args(["train", "run.toml", flag, folder]);
        for set in [
            "train.steps=6",
            "warm_start.steps=20",
            "game.bundles_per_step=2",
            "game.group=4",
            "eval.bundles=2",
            "eval.group=2",
            "sampling.max_new_tokens=32",
        ] {
            command.args(["--set", set]);
        }
        command
    }

    /// The lines of a run's metrics, less what depends on the machine's speed.
    pub(crate) fn metrics(&self, output: &str) -> Vec<Value> {
        let text = self.read(&format!("{output}/metrics.jsonl"));
        let line = |line: &str| -> Value {
            let mut line: Value = serde_json::from_str(line).unwrap();
            line.as_object_mut().unwrap().remove("time");
            line
        };
        text.lines().map(line).collect()
    }

    /// The whole lines of a file, which need not be there yet.
    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path().join(name)).unwrap_or_default();
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        whole.map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// A run's summary, less what depends on the machine's speed.
    pub(crate) fn summary(&self, output: &str) -> Value {
        let mut summary: Value = serde_json::from_str(&self.read(&format!("{output}/summary.json"))).unwrap();
        ["seconds", "plugin_seconds"].iter().for_each(|key| drop(summary.as_object_mut().unwrap().remove(*key)));
        summary
    }
}

/// The same, built once for all tests.
pub(crate) fn component(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut all = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    all.entry(name.into()).or_insert_with(|| built(&root(), name)).clone()
}

/// Runs to the end and insists on success.
pub(crate) fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    output
}

/// Runs to the end and insists on this exit code and these words.
pub(crate) fn fail(command: &mut Command, code: i32, words: &[&str]) {
    let output = command.output().unwrap();
    // Lines are wrapped to the terminal's width: compare without the wrapping.
    let said: String = said(&output).replace(['│', '×', '╰', '─', '▶'], " ");
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(code), "{command:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{command:?}: no \"{word}\" in: {said}");
    }
    // A plugin's panic may be told of; a thread of ours that panics gives its number.
    assert!(!said.contains(") panicked at"), "{said}");
}
