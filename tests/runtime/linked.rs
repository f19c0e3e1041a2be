//! A run whose only plugin is linked into this program, of the untaught policy: steps cost a few milliseconds.

use alft_runtime::config::RunFile;
use alft_runtime::plugins::{PluginSet, RunPlugin};
use alft_runtime::record::Summary;
use alft_runtime::{PluginSource, Run};
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, Verifier, linked, manifest};
use toml::Table;

use crate::support::{Scratch, run_to};

/// Reads a completion's first character. Every answer to a question whose gold answer is `right` is right, none to one whose
/// gold answer is `wrong`, and to any other question each second character is.
#[derive(serde::Deserialize)]
struct FirstCharacter {}

impl Plugin for FirstCharacter {
    fn manifest(&self) -> Manifest {
        manifest!("Reads one character.")
    }
}

impl Reader for FirstCharacter {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        Ok(completion.chars().next().map(String::from))
    }
}

impl Verifier for FirstCharacter {
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64> {
        let right = match prompt.gold.as_deref() {
            Some("right") => true,
            Some("wrong") => false,
            _ => answer.bytes().all(|byte| byte % 2 == 0),
        };
        Ok(f64::from(u8::from(right)))
    }
}

/// Four questions of each kind, whose ids begin with it, and one of them for the evaluation.
const KINDS: [&str; 3] = ["right", "wrong", "mixed"];

pub(crate) fn source() -> PluginSource {
    let plugin = linked!(FirstCharacter: Reader + Verifier)("{}").unwrap();
    PluginSource::Linked(PluginSet::new(vec![RunPlugin::linked("first", 1.0, plugin)]).unwrap())
}

/// The run file of eight steps, edited, in a scratch folder with its questions.
pub(crate) fn config(scratch: &Scratch, output: &str, keys: &str) -> RunFile {
    let line = |kind: &str, number: usize| {
        format!("{{\"id\": \"{kind}{number}\", \"prompt\": \"{kind} {number}\", \"gold\": \"{kind}\"}}\n")
    };
    let train: String = (0..4).flat_map(|number| KINDS.map(|kind| line(kind, number))).collect();
    std::fs::write(scratch.path().join("kinds.jsonl"), train).unwrap();
    std::fs::write(scratch.path().join("one.jsonl"), line("mixed", 9)).unwrap();
    let mut table: Table = BASE.parse().unwrap();
    for (name, value) in keys.parse::<Table>().unwrap() {
        match (table.get_mut(&name), value) {
            (Some(toml::Value::Table(own)), toml::Value::Table(value)) => own.extend(value),
            (_, value) => drop(table.insert(name, value)),
        }
    }
    table.insert("output".into(), scratch.path().join(output).to_str().unwrap().into());
    let text = toml::to_string(&table).unwrap();
    RunFile::parse(&scratch.path().join("run.toml"), &text, &[]).unwrap_or_else(|error| panic!("{error}"))
}

const BASE: &str = r#"
output = "run"
model = { embedded = "tiny" }
prompts = { train = "kinds.jsonl", eval = "one.jsonl" }
sampling = { max_new_tokens = 2 }
game = { group = 4, bundles_per_step = 3 }
train = { steps = 8, schedule = { learning_rate = 1e-3 }, loss = { beta = 0.0 } }
eval = { bundles = 1, group = 4 }
"#;

pub(crate) fn start(scratch: &Scratch, output: &str, keys: &str) -> Run {
    Run::start(config(scratch, output, keys), source(), scratch.observer()).unwrap()
}

pub(crate) fn resume(scratch: &Scratch, output: &str, keys: &str) -> Run {
    let config = config(scratch, output, keys);
    Run::resume(&scratch.path().join(output), config, source(), scratch.observer()).unwrap()
}

/// Makes all steps of a run.
pub(crate) fn finish(mut run: Run) -> Summary {
    run_to(&mut run, u64::MAX);
    run.finish().unwrap()
}

/// Makes a run alone, and again with a stop after every second step, and asserts that they are the same.
pub(crate) fn assert_stopped_equals_alone(scratch: &Scratch, keys: &str) {
    finish(start(scratch, "alone", keys));
    let mut run = start(scratch, "stopped", keys);
    for stop in [0, 2, 4, 6] {
        run_to(&mut run, stop);
        drop(run);
        run = resume(scratch, "stopped", keys);
    }
    finish(run);
    scratch.assert_same_runs("stopped", "alone");
}
