//! A scratch folder with a run of a few steps: the tiny policy, hardly taught, and components that are built once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use alft_build::Form;
use alft_plugin_host::Worker;
use alft_runtime::config::RunFile;
use alft_runtime::{PluginOpener, PluginSource, Run, RunEvent};
use serde_json::Value;
use toml::Table;

/// A run of six steps: its files, and the events of the runs that were started here.
pub(crate) struct Scratch {
    folder: tempfile::TempDir,
    events: Arc<Mutex<Vec<String>>>,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let scratch = Self { folder: tempfile::tempdir().unwrap(), events: Arc::default() };
        for name in ["train.jsonl", "eval.jsonl", "worked.jsonl"] {
            std::fs::copy(root().join("examples/quickstart").join(name), scratch.path().join(name)).unwrap();
        }
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The run's configuration, edited.
    pub(crate) fn config(&self, edit: impl FnOnce(&mut Table)) -> RunFile {
        let mut table: Table = BASE.parse().unwrap();
        for plugin in table["plugin"].as_array_mut().unwrap() {
            let plugin = plugin.as_table_mut().unwrap();
            let path = component(plugin["name"].as_str().unwrap());
            plugin.insert("path".into(), path.to_str().unwrap().into());
        }
        edit(&mut table);
        let text = toml::to_string(&table).unwrap();
        RunFile::parse(&self.path().join("run.toml"), &text, &[]).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Starts a run in the folder `output`.
    pub(crate) fn start(&self, output: &str, mut config: RunFile) -> Run {
        config.output = self.path().join(output);
        Run::start(config, source(self.path()), self.observer()).unwrap()
    }

    /// Resumes the run in the folder `output`.
    pub(crate) fn resume(&self, output: &str, mut config: RunFile) -> Run {
        config.output = self.path().join(output);
        Run::resume(&self.path().join(output), config, source(self.path()), self.observer()).unwrap()
    }

    /// An observer that keeps the events that tests ask for.
    pub(crate) fn observer(&self) -> alft_runtime::Observer {
        let events = Arc::clone(&self.events);
        Box::new(move |event| {
            let text = match event {
                RunEvent::ConfigChanged { step, changes, replayed } => {
                    format!("{step} {replayed} {}", changes.join("; "))
                }
                RunEvent::ConfigRefused(error) => format!("refused: {error}"),
                RunEvent::PluginFailed(message) => (*message).to_owned(),
                _ => return,
            };
            events.lock().unwrap().push(text);
        })
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.events.lock().unwrap().clone()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn lines(&self, name: &str) -> Vec<Value> {
        self.read(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The game's lines of metrics, without the seconds.
    pub(crate) fn metrics(&self, output: &str) -> Vec<Value> {
        let mut lines = self.lines(&format!("{output}/metrics.jsonl"));
        lines.retain(|line| line["phase"] == "game");
        lines.iter_mut().for_each(|line| drop(line.as_object_mut().unwrap().remove("time")));
        lines
    }

    /// Asserts that two runs left the same records and the same model.
    pub(crate) fn assert_same_runs(&self, a: &str, b: &str) {
        assert_eq!(self.metrics(a), self.metrics(b));
        for name in ["samples.jsonl", "changes.jsonl", "ledger", "model/model.safetensors"] {
            let bytes = |run: &str| std::fs::read(self.path().join(run).join(name)).unwrap();
            assert!(bytes(a) == bytes(b), "{name} of {a} and {b} differ");
        }
        let summary = |run: &str| {
            let mut summary: Value = serde_json::from_str(&self.read(&format!("{run}/summary.json"))).unwrap();
            ["seconds", "plugin_seconds"].iter().for_each(|key| drop(summary.as_object_mut().unwrap().remove(*key)));
            summary
        };
        assert_eq!(summary(a), summary(b));
    }
}

const BASE: &str = r#"
output = "run"
model = { embedded = "tiny" }
prompts = { train = "train.jsonl", eval = "eval.jsonl" }
sampling = { max_new_tokens = 32 }
game = { group = 4, bundles_per_step = 2 }
train = { steps = 6, loss = { beta = 0.02 } }
eval = { bundles = 2, group = 2 }
warm_start = { data = "worked.jsonl", steps = 20, batch = 16 }

[[plugin]]
name = "arithmetic"
config = { marker = ":" }

[[plugin]]
name = "entropy"
weight = 0.03

[[plugin]]
name = "coherence"
weight = 0.6
"#;

/// The project's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn source(lock_dir: &Path) -> PluginSource {
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft").into(), arguments: vec!["plugin-worker".into()] };
    PluginSource::RunFile(PluginOpener { worker, lock_dir: lock_dir.into() })
}

/// A plugin's component, built once for all tests.
pub(crate) fn component(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut all = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let build = || {
        let plugin = root().join("plugins").join(name);
        alft_build::build(&plugin, Form::Component, &|_| ()).unwrap_or_else(|error| panic!("{error}"))
    };
    all.entry(name.into()).or_insert_with(build).clone()
}

/// Makes steps until `count` steps of the game are done, or all.
pub(crate) fn run_to(run: &mut Run, count: u64) {
    while run.steps_done() < count {
        if run.step().unwrap().is_none() {
            return;
        }
    }
}

/// A plugin's table.
pub(crate) fn plugin<'a>(run: &'a mut Table, name: &str) -> &'a mut Table {
    let plugins = run["plugin"].as_array_mut().unwrap().iter_mut().map(|plugin| plugin.as_table_mut().unwrap());
    plugins.into_iter().find(|plugin| plugin["name"].as_str() == Some(name)).unwrap()
}

/// Adds a plugin's table.
pub(crate) fn add(run: &mut Table, text: &str) {
    run["plugin"].as_array_mut().unwrap().push(text.parse::<Table>().unwrap().into());
}

/// Copies a folder and everything in it.
pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &place);
        } else {
            std::fs::copy(entry.path(), place).unwrap();
        }
    }
}
