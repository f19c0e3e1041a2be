//! Building and opening plugins, and making bundles.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use alft_build::Form;
use alft_plugin_host::{Engine, Error, Limits, NativeTrust, Plugin, Source, Worker};
use alft_sdk::bundle::{Bundle, Prompt, Samples};
use alft_sdk::estimate::{Estimator, Harmonic, PlugIn};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub(crate) const FORMS: [Form; 2] = [Form::Component, Form::Native];

/// The reference plugin `name`, built.
pub(crate) fn built(name: &str, form: Form) -> PathBuf {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins").join(name);
    alft_build::build(&dir, form, &|line| eprintln!("{line}")).unwrap_or_else(|error| panic!("{error}"))
}

pub(crate) fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let worker = Worker { program: env!("CARGO_BIN_EXE_alft-plugin-worker").into(), arguments: Vec::new() };
    ENGINE.get_or_init(|| Engine::new(&Limits::default(), worker).unwrap())
}

/// Opens whatever is there; a library within this process.
pub(crate) fn open_file(path: &Path, config: &str, limits: Limits) -> Result<Plugin, Error> {
    Plugin::open(&Source { limits, ..source(path, NativeTrust::InProcess, config) }, engine())
}

/// The file as it is now, pinned.
pub(crate) fn source(path: &Path, native: NativeTrust, config: &str) -> Source {
    let pin = std::fs::read(path).ok().map(|bytes| blake3::hash(&bytes).to_hex().to_string());
    Source { path: path.into(), pin, native, config: config.into(), limits: Limits::default() }
}

pub(crate) fn open(name: &str, form: Form, config: &str) -> Plugin {
    open_file(&built(name, form), config, Limits::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Bundles of one to four phrasings, two to sixteen samples each, some of them unreadable.
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
            // What an objective sees of the reference is the host's to say: any two numbers, told apart, will do.
            (answer.reference_probability, answer.pooled_reference_probability) =
                (rng.random_range(0.0..1.0), rng.random_range(0.0..1.0));
        }
        bundle
    };
    (0..count).map(bundle).collect()
}
