//! Building and opening plugins, calling them in one role, and random bundles.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use alft_build::Form;
use alft_plugin_host::{BatchResult, Engine, Error, Limits, NativeTrust, Plugin, Source, Worker, source};
use alft_sdk::bundle::{Bundle, Prompt, Valuation};
use alft_sdk::call::{Item, PromptTexts};
use alft_sdk::estimate::{Estimator, Harmonic, PlugIn};
use alft_sdk::roles::Batch;
use alft_sdk::samples::Samples;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const FORMS: [Form; 2] = [Form::Component, Form::Native];

/// Returns the file of a reference plugin, which is built if need be.
pub(crate) fn built(name: &str, form: Form) -> PathBuf {
    built_project(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(name), form)
}

/// Builds a project once for all tests. Asking the compiler whether a project is up to date takes longer than most tests.
pub(crate) fn built_project(folder: &Path, form: Form) -> PathBuf {
    type Built = Arc<OnceLock<PathBuf>>;
    static BUILT: Mutex<BTreeMap<(PathBuf, String), Built>> = Mutex::new(BTreeMap::new());
    let built = Built::clone(BUILT.lock().unwrap().entry((folder.into(), form.to_string())).or_default());
    let build = || alft_build::build(folder, form, &|line| eprintln!("{line}")).unwrap_or_else(|e| panic!("{e}"));
    built.get_or_init(build).clone()
}

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft-plugin-worker").into(), arguments: Vec::new() };
    ENGINE.get_or_init(|| Engine::new(&Limits::default(), worker).unwrap())
}

/// Opens a file; a library runs in this process.
pub(crate) fn open_file(path: &Path, config: &str, limits: Limits) -> Result<Plugin, Error> {
    Plugin::open(&Source { limits, ..source(path, NativeTrust::InProcess, config) }, engine())
}

/// Opens a file of these bytes.
pub(crate) fn open_bytes(bytes: &[u8], limits: Limits) -> Result<Plugin, Error> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    open_file(file.path(), "{}", limits)
}

/// Returns the source of a file, pinned to its present bytes.
pub(crate) fn source(path: &Path, native: NativeTrust, config: &str) -> Source {
    let pin = source::hash_file(path, &Limits::default()).ok();
    Source { path: path.into(), pin, native, config: config.into(), limits: Limits::default() }
}

pub(crate) fn open(name: &str, form: Form, config: &str) -> Plugin {
    open_file(&built(name, form), config, Limits::default()).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

/// Returns the messages of an error and of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Returns the texts of one prompt.
pub(crate) fn entry(gold: Option<&str>, texts: &[&str]) -> PromptTexts {
    let prompt = Prompt { id: "q".into(), gold: gold.map(Into::into), ..Prompt::default() };
    PromptTexts { prompt, texts: texts.iter().map(|text| (*text).to_owned()).collect() }
}

/// Calls a plugin as a reader.
pub(crate) fn read(plugin: &Plugin, batch: &[PromptTexts]) -> BatchResult<Option<String>> {
    plugin.call(&Batch::Reader(batch.into())).map(|item| match item {
        Item::Key(key) => key,
        other => panic!("a reader returned {other:?}"),
    })
}

/// Calls a plugin as a grader.
pub(crate) fn grade(plugin: &Plugin, batch: &[PromptTexts]) -> BatchResult<f64> {
    plugin.call(&Batch::Grader(batch.into())).map(into_score)
}

/// Calls a plugin as a verifier.
pub(crate) fn score(plugin: &Plugin, batch: &[PromptTexts]) -> BatchResult<f64> {
    plugin.call(&Batch::Verifier(batch.into())).map(into_score)
}

fn into_score(item: Item) -> f64 {
    match item {
        Item::Score(score) => score,
        other => panic!("a grader or verifier returned {other:?}"),
    }
}

/// Calls a plugin as an objective.
pub(crate) fn evaluate(plugin: &Plugin, batch: &[Bundle]) -> BatchResult<Valuation> {
    plugin.call(&Batch::Objective(batch.into())).map(|item| match item {
        Item::Valuation(valuation) => valuation,
        other => panic!("an objective returned {other:?}"),
    })
}

/// Returns utility, rewards and violation as bits: `==` on floats takes -0.0 and 0.0 for equal.
pub(crate) fn bits(valuation: &Valuation) -> Vec<u64> {
    let rewards = valuation.rewards.iter().flatten().copied();
    rewards.chain([valuation.utility]).chain(valuation.violation).map(f64::to_bits).collect()
}

/// Returns bundles of one to four phrasings with two to sixteen samples each, some of them unreadable.
pub(crate) fn random_bundles(count: usize, seed: u64) -> Vec<Bundle> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let bundle = |at: usize| {
        let prompts: Vec<Prompt> = (0..rng.random_range(1..5))
            .map(|i| Prompt {
                id: format!("{at}/{i}"),
                text: "Grüße, 世界?".into(),
                gold: (i % 2 == 0).then(|| "7".into()),
                metadata: "{}".into(),
            })
            .collect();
        let keys: Vec<Vec<Option<String>>> = prompts
            .iter()
            .map(|_| {
                let size = rng.random_range(2..17);
                (0..size).map(|_| rng.random_bool(0.9).then(|| rng.random_range(0..6).to_string())).collect()
            })
            .collect();
        let samples: Vec<Samples<'_>> =
            prompts.iter().zip(&keys).map(|(prompt, keys)| Samples { prompt, keys }).collect();
        let estimator: &dyn Estimator = if rng.random_bool(0.5) { &PlugIn } else { &Harmonic };
        let mut bundle = Bundle::sampled(&at.to_string(), &samples, estimator);
        for answer in bundle.groups.iter_mut().flat_map(|group| &mut group.answers) {
            // Any two numbers will do, as long as they differ.
            (answer.reference_probability, answer.pooled_reference_probability) =
                (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0));
        }
        bundle
    };
    (0..count).map(bundle).collect()
}

/// Returns the configuration with which the plugin `misbehave` has a fault on texts that contain `on`.
pub(crate) fn misbehaving(fault: &str, on: &str) -> String {
    format!(r#"{{"fault": "{fault}", "on": "{on}"}}"#)
}
