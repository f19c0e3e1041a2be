//! The run file: what to train, on what, against which plugins. Reading it finds every mistake that can be found
//! without opening anything else.

use std::path::{Path, PathBuf};

use alft_game::estimator::SurprisalEstimator;
use alft_game::{AdvantageConfig, Combine, TargetConfig};
use alft_plugin_host::Limits;
use alft_policy::{AdamWConfig, DevicePreference, GrpoConfig, KlPenalty, LoraConfig, SampleConfig, Schedule};
use serde::{Deserialize, Serialize};

use crate::entry::PluginEntry;
use crate::error::{Error, Result};
use crate::play::Rules;
use crate::toml_source::Source;

/// A run file. Paths are relative to the file they stand in; `output` is relative to the current folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunFile {
    /// Where every random number comes from.
    #[serde(default)]
    pub(crate) seed: u64,
    /// The run's folder. A number is appended when it exists.
    pub(crate) output: PathBuf,
    pub(crate) model: Model,
    pub(crate) prompts: Prompts,
    #[serde(default)]
    pub(crate) sampling: SampleConfig,
    #[serde(default)]
    pub(crate) game: Game,
    /// The target player.
    #[serde(default)]
    pub(crate) target: TargetConfig,
    pub(crate) train: Train,
    #[serde(default)]
    pub(crate) eval: Eval,
    /// What one call of a plugin may use.
    #[serde(default)]
    pub(crate) limits: Limits,
    pub(crate) warm_start: Option<WarmStart>,
    #[serde(rename = "plugin", default)]
    pub(crate) plugins: Vec<PluginEntry>,
}

/// The policy: `embedded` or `path`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Model {
    /// A model that comes with alft.
    pub(crate) embedded: Option<Embedded>,
    /// A folder in Hugging Face's format, or a GGUF file.
    pub(crate) path: Option<PathBuf>,
    #[serde(default)]
    pub(crate) device: DevicePreference,
    /// Train low-rank adapters in place of all weights.
    pub(crate) lora: Option<LoraConfig>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Embedded {
    /// Characters, about 150 thousand weights, random from the seed.
    Tiny,
}

/// The questions.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prompts {
    /// JSON lines to train on.
    pub(crate) train: PathBuf,
    /// JSON lines kept out of training, for the summary's before and after.
    pub(crate) eval: Option<PathBuf>,
    /// What the policy reads; `{prompt}` is the question.
    #[serde(default = "bare")]
    pub(crate) template: String,
}

fn bare() -> String {
    "{prompt}".into()
}

/// The game that is played each step.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Game {
    /// K: completions sampled for each prompt.
    pub(crate) group: usize,
    /// Bundles of phrasings a step.
    pub(crate) bundles_per_step: usize,
    pub(crate) estimator: SurprisalEstimator,
    /// Samples of the reference policy for each prompt, where an objective compares with it.
    pub(crate) reference_samples: usize,
    /// From rewards to advantages.
    pub(crate) advantage: AdvantageConfig,
}

impl Default for Game {
    fn default() -> Self {
        Self {
            group: 8,
            bundles_per_step: 4,
            estimator: SurprisalEstimator::default(),
            reference_samples: 64,
            advantage: AdvantageConfig::default(),
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Train {
    pub(crate) steps: u64,
    #[serde(default)]
    pub(crate) schedule: Schedule,
    #[serde(default)]
    pub(crate) adamw: AdamWConfig,
    #[serde(default)]
    pub(crate) loss: GrpoConfig,
    /// Tokens (prompts and completions) computed at once: bounds the memory.
    #[serde(default = "token_budget")]
    pub(crate) token_budget: usize,
    /// Save the state for `--resume` every so many steps.
    #[serde(default = "one")]
    pub(crate) save_every: u64,
    /// Export a model folder every so many steps; 0 exports at the end alone.
    #[serde(default)]
    pub(crate) checkpoint_every: u64,
}

fn token_budget() -> usize {
    8192
}

fn one() -> u64 {
    1
}

/// The measurement before and after training.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Eval {
    /// Bundles taken from the file; all if it has fewer.
    pub(crate) bundles: usize,
    /// Completions sampled for each prompt.
    pub(crate) group: usize,
}

impl Default for Eval {
    fn default() -> Self {
        Self { bundles: 100, group: 8 }
    }
}

/// Supervised training before the game.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WarmStart {
    /// JSON lines with `prompt` and `completion`.
    pub(crate) data: PathBuf,
    pub(crate) steps: u64,
    pub(crate) batch: usize,
    #[serde(default)]
    pub(crate) schedule: Schedule,
    #[serde(default)]
    pub(crate) adamw: AdamWConfig,
}

/// A slower target would not notice a single sample.
const MIN_TARGET_RATE: f64 = 0.001;

impl RunFile {
    /// The rules of the step that comes after `step`.
    pub(crate) fn rules(&self, step: u64) -> Rules<'_> {
        Rules { step, estimator: &self.game.estimator, target: self.target, advantage: self.game.advantage }
    }

    /// Reads the run file with `overrides` (`key.path=value`) applied, and checks it.
    pub(crate) fn read(path: &Path, overrides: &[String]) -> Result<Self> {
        Self::parse(path, Self::text(path)?, overrides)
    }

    pub(crate) fn text(path: &Path) -> Result<String> {
        std::fs::read_to_string(path).map_err(Error::io("read the run file", path))
    }

    /// As [`RunFile::read`], of a text that was read from `path`.
    pub(crate) fn parse(path: &Path, text: String, overrides: &[String]) -> Result<Self> {
        let mut source = Source { name: path.display().to_string(), text };
        if !overrides.is_empty() {
            source = source.with_overrides(overrides)?;
        }
        let mut run: Self = toml::from_str(&source.text).map_err(|error| source.toml_error(&error))?;
        run.anchor(path.parent().unwrap_or(Path::new("")));
        run.check().map_err(|(key, message)| source.error(key, message))?;
        Ok(run)
    }

    /// Makes the paths in it absolute.
    fn anchor(&mut self, folder: &Path) {
        // Absolute: the copy in the run's folder must mean the same files.
        let anchor = |path: &mut PathBuf| {
            let joined = folder.join(&*path);
            *path = std::path::absolute(&joined).unwrap_or(joined);
        };
        self.model.path.iter_mut().for_each(anchor);
        anchor(&mut self.prompts.train);
        self.prompts.eval.iter_mut().for_each(anchor);
        self.warm_start.iter_mut().for_each(|warm| anchor(&mut warm.data));
        for plugin in &mut self.plugins {
            plugin.path.iter_mut().for_each(anchor);
            plugin.source.iter_mut().for_each(anchor);
        }
    }

    /// The first setting that cannot work: the key to point at, and why.
    fn check(&self) -> std::result::Result<(), (&'static str, String)> {
        if self.model.embedded.is_some() == self.model.path.is_some() {
            return Err(("model", "[model] needs either `embedded = \"tiny\"` or `path`, and not both".into()));
        }
        if self.game.group < 2 {
            let group = self.game.group;
            let why = "an answer is judged against the others of its group: it takes 2 or more";
            return Err(("group", format!("group = {group}: {why}")));
        }
        if self.sampling.temperature == 0.0 {
            let why = "greedy samples are all the same, and there is nothing to learn from";
            return Err(("temperature", format!("sampling.temperature = 0: {why}")));
        }
        let AdvantageConfig { combine, scale } = self.game.advantage;
        if self.train.loss.kl == KlPenalty::Reward && combine == Combine::NormalizeThenSum {
            let why = "normalised by itself the KL term is no longer a price; take kl = \"loss\" or sum_then_normalize";
            return Err(("kl", format!("train.loss.kl = \"reward\" with normalize_then_sum: {why}")));
        }
        if !self.prompts.template.contains("{prompt}") {
            return Err((
                "template",
                "the template does not contain {prompt}, so no question would reach the policy".into(),
            ));
        }
        if !(MIN_TARGET_RATE..=1.0).contains(&self.target.rate) {
            let rate = self.target.rate;
            return Err(("rate", format!("target.rate = {rate}: it takes {MIN_TARGET_RATE} to 1")));
        }
        let positive = [
            ("bundles_per_step", self.game.bundles_per_step as u64),
            ("reference_samples", self.game.reference_samples as u64),
            ("token_budget", self.train.token_budget as u64),
            ("save_every", self.train.save_every),
            ("bundles", self.eval.bundles as u64),
            ("group", self.eval.group as u64),
            ("batch", self.warm_start.as_ref().map_or(1, |warm| warm.batch as u64)),
        ];
        if let Some((key, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return Err((key, format!("{key} = 0: it takes 1 or more")));
        }
        let settings = [
            ("sampling", self.sampling.check()),
            ("loss", self.train.loss.check()),
            ("schedule", self.train.schedule.check()),
            ("adamw", self.train.adamw.check()),
            ("schedule", self.warm_start.as_ref().map_or(Ok(()), |warm| warm.schedule.check())),
            ("adamw", self.warm_start.as_ref().map_or(Ok(()), |warm| warm.adamw.check())),
        ];
        for (key, checked) in settings {
            checked.map_err(|error| (key, error.to_string()))?;
        }
        self.limits.check()?;
        if self.plugins.is_empty() {
            return Err((
                "plugin",
                "no [[plugin]]: a run needs one that reads answers, and one that prices them".into(),
            ));
        }
        for (at, plugin) in self.plugins.iter().enumerate() {
            let name = &plugin.name;
            if self.plugins[..at].iter().any(|other| other.name == *name) {
                return Err(("name", format!("two plugins are named \"{name}\"; give each a name of its own")));
            }
            let checked = plugin.check(&self.limits, self.game.group.min(self.eval.group), scale);
            checked.map_err(|(key, why)| (key, format!("plugin \"{name}\": {why}")))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = r#"
output = "runs/x"
[model]
embedded = "tiny"
[prompts]
train = "train.jsonl"
[train]
steps = 3
[[plugin]]
name = "a"
path = "a.wasm"
"#;

    fn read(text: &str, overrides: &[&str]) -> Result<RunFile> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        RunFile::read(&path, &overrides.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>())
    }

    fn refused(text: &str, overrides: &[&str]) -> (String, String) {
        match read(text, overrides).unwrap_err() {
            Error::RunFile { message, help, .. } => (message, help.unwrap_or_default()),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn overrides_reach_into_tables_and_plugins_by_name() {
        let overrides = ["train.steps=9", "plugin.a.weight=0.5", "sampling.temperature=0.7", "output=runs/y z"];
        let run = read(SMALL, &overrides).unwrap();
        assert_eq!((run.train.steps, run.plugins[0].weight.at(0), run.sampling.temperature), (9, 0.5, 0.7));
        assert_eq!(run.output, Path::new("runs/y z"));
        assert!(run.prompts.train.is_absolute(), "anchored in the run file's folder");
    }

    #[test]
    fn unknown_keys_come_with_a_suggestion() {
        let (message, help) = refused(&SMALL.replace("steps", "stpes"), &[]);
        assert_eq!((message.as_str(), help.as_str()), ("unknown field `stpes`", "did you mean `steps`?"));
        let (message, help) = refused(SMALL, &["plugin.a.wieght=1"]);
        assert_eq!((message.as_str(), help.as_str()), ("unknown field `wieght`", "did you mean `weight`?"));
        assert!(refused(SMALL, &["plugin.b.weight=1"]).0.contains("no entry \"b\""));
        assert!(refused(SMALL, &["steps"]).0.contains("write key=value"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (set, what) in [
            ("game.group=1", "2 or more"),
            ("model.path=x", "not both"),
            ("prompts.template=hello", "{prompt}"),
            ("train.save_every=0", "1 or more"),
            ("plugin.a.crate=x", "not both"),
            ("plugin.a.weight=-1", "0 or more"),
            ("plugin.a.weight={from=0,to=1,ovr=3}", "unknown field `ovr`"),
            ("plugin.a.max_failure_rate=2", "0 to 1"),
            ("plugin.a.on_error={score=nan}", "no number"),
            ("plugin.a.on_error=skip", "unknown variant `skip`"),
            ("train.loss.beta=-1", "beta"),
            ("sampling.top_p=0", "top_p"),
            ("target.rate=0", "0.001 to 1"),
            ("sampling.temperature=0", "nothing to learn"),
            ("plugin.a.group_objective={kind=\"max-rl\"}", "undoes it"),
            ("plugin.a.group_objective={kind=\"max-at-k\",k=9}", "1 to 8"),
            ("game.reference_samples=0", "1 or more"),
            ("game.estimator=leave-one-out", "always"),
        ] {
            let (message, _) = refused(SMALL, &[set]);
            assert!(message.contains(what), "{set}: {message}");
        }
    }
}
