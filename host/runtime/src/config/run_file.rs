//! The run file: what to train, on which questions, against which plugins. Reading it finds every mistake that can be
//! found without opening anything else.

use std::path::{Path, PathBuf};

use alft_game::{AdvantageConfig, Combine, Scale, TargetConfig};
use alft_plugin_host::Limits;
use alft_policy::{Export, GrpoConfig, KlPenalty, LoraConfig, OptimiserConfig, SampleConfig, Schedule};
use alft_text::Foreign;
use serde::{Deserialize, Serialize};

use super::eval::Eval;
use super::game::Game;
use super::model::Model;
use super::paths::make_absolute;
use super::plugin::PluginEntry;
use super::prompts::Prompts;
use super::serve::Serve;
use super::source::{InvalidSetting, RunFileError, Source};
use super::train::Train;
use super::warm_start::WarmStart;

/// A run file. Paths are relative to the file that they stand in; `output` is relative to the current folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunFile {
    /// The seed of every random number.
    #[serde(default)]
    pub seed: u64,
    /// The run's folder. A number is appended if the folder exists.
    pub output: PathBuf,
    /// The policy.
    pub model: Model,
    /// The questions.
    pub prompts: Prompts,
    /// The sampling of completions.
    #[serde(default)]
    pub sampling: SampleConfig,
    /// The game of each step.
    #[serde(default)]
    pub game: Game,
    /// The target player.
    #[serde(default)]
    pub target: TargetConfig,
    /// The training of the policy.
    pub train: Train,
    /// The evaluation before, after and while training.
    #[serde(default)]
    pub eval: Eval,
    /// The formats of exported models.
    #[serde(default)]
    pub export: Export,
    /// The limits of one call of a plugin.
    #[serde(default)]
    pub limits: Limits,
    /// Supervised training before the game.
    pub warm_start: Option<WarmStart>,
    /// The service of the same plugins, for `alft serve`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serve: Option<Serve>,
    /// The plugins, in the order in which they are asked.
    #[serde(rename = "plugin", default)]
    pub plugins: Vec<PluginEntry>,
}

/// The largest number of samples of a group, and of questions or examples of a batch.
pub(super) const LARGEST_BATCH: u64 = 1 << 16;

/// The slowest rate of a target that remembers: at a lower one a single sample would not move the target.
const MIN_TARGET_RATE: f64 = 0.001;

impl RunFile {
    /// Reads the text of a run file, with `overrides` (`key.path=value`) applied, and checks it. `path` names the text
    /// in errors, and its folder is where the paths in the text begin.
    ///
    /// # Errors
    /// The first mistake, with its key, its place in the text and the remedy.
    pub fn parse(path: &Path, text: &str, overrides: &[String]) -> Result<Self, RunFileError> {
        let source = Source::new(path, text, overrides)?;
        let mut run: Self = toml::from_str(&source.text).map_err(|error| source.toml_error(&error))?;
        run.make_paths_absolute(path.parent().unwrap_or(Path::new("")));
        run.check().map_err(|invalid| source.setting_error(&invalid))?;
        Ok(run)
    }

    /// The learning rate over the steps of the game.
    pub(crate) fn game_schedule(&self) -> Schedule {
        self.train.schedule.over(self.train.steps)
    }

    /// The optimiser of the game.
    pub(crate) fn game_optimiser(&self) -> OptimiserConfig {
        OptimiserConfig { schedule: self.game_schedule(), adamw: self.train.adamw.clone() }
    }

    /// The optimiser of the run's first phase: the warm start's, or the game's where there is none.
    pub(crate) fn first_optimiser(&self) -> OptimiserConfig {
        let Some(warm_start) = &self.warm_start else { return self.game_optimiser() };
        OptimiserConfig { schedule: warm_start.schedule.over(warm_start.steps), adamw: warm_start.adamw.clone() }
    }

    /// The loss of the game, at the temperature and length of its samples.
    pub(crate) fn loss(&self) -> GrpoConfig {
        GrpoConfig {
            max_completion_tokens: self.sampling.max_new_tokens,
            temperature: self.sampling.temperature,
            ..self.train.loss.clone()
        }
    }

    fn make_paths_absolute(&mut self, folder: &Path) {
        let absolute = |path: &mut PathBuf| make_absolute(path, folder);
        self.model.path.iter_mut().chain(&mut self.model.adapter).for_each(absolute);
        absolute(&mut self.prompts.train);
        self.prompts.eval.iter_mut().for_each(absolute);
        self.warm_start.iter_mut().for_each(|warm_start| absolute(&mut warm_start.data));
        self.plugins.iter_mut().for_each(|plugin| plugin.make_paths_absolute(folder));
    }

    /// Finds a setting of evaluations and exports that lacks another one.
    fn check_exports(&self) -> Result<(), InvalidSetting> {
        let Train { keep, best, checkpoint_every, .. } = self.train;
        let needs = [
            (
                "eval.every",
                self.eval.every > 0 && self.prompts.eval.is_none(),
                "`prompts.eval`, the questions kept out",
            ),
            ("train.best", best.is_some() && self.eval.every == 0, "`eval.every`, the steps between two evaluations"),
            ("train.keep", keep.is_some() && checkpoint_every == 0, "`train.checkpoint_every`, or nothing is exported"),
        ];
        match needs.into_iter().find(|(_, lacks, _)| *lacks) {
            Some((key, _, needed)) => Err(InvalidSetting::new(key, format!("needs {needed}"))),
            None => Ok(()),
        }
    }

    /// Finds the first setting that cannot work.
    fn check(&self) -> Result<(), InvalidSetting> {
        let wrong = |key: &str, reason: String| Err(InvalidSetting::new(key, reason));
        self.model.check()?;
        if self.game.dynamic_sampling.is_some() && self.game.advantage.scale == Scale::Batch {
            let reason =
                "cannot be \"batch\" with dynamic_sampling, which draws a step's groups in rounds; take \"group\"";
            return wrong("game.advantage.scale", reason.into());
        }
        if self.game.group < 2 {
            let reason = "must be at least 2, for an answer is judged against the others of its group";
            return wrong("game.group", format!("{reason}, not {}", self.game.group));
        }
        if self.sampling.temperature == 0.0 {
            let reason = "must be above 0: greedy samples are all the same, and there is nothing to learn from";
            return wrong("sampling.temperature", reason.into());
        }
        let AdvantageConfig { combine, scale, .. } = self.game.advantage;
        if self.train.loss.kl == KlPenalty::Reward && combine == Combine::NormalizeThenSum {
            let reason = "cannot be \"reward\" with normalize_then_sum: normalised by itself the KL term is no longer a \
                          price; set it to \"k3-ratio\", or game.advantage.combine to \"sum_then_normalize\"";
            return wrong("train.loss.kl", reason.into());
        }
        self.prompts.check()?;
        check_target(&self.target)?;
        let at_least_one = [
            ("train.token_budget", self.train.token_budget as u64),
            ("train.save_every", self.train.save_every),
            ("eval.bundles", self.eval.bundles as u64),
            ("train.keep", self.train.keep.map_or(1, |keep| keep as u64)),
            ("game.dynamic_sampling.max_rounds", self.game.dynamic_sampling.map_or(1, |set| set.max_rounds as u64)),
        ];
        // Everything of a batch is in memory at once.
        let of_batches = [
            ("game.group", self.game.group),
            ("game.bundles_per_step", self.game.bundles_per_step),
            ("game.reference_samples", self.game.reference_samples),
            ("eval.group", self.eval.group),
            ("warm_start.batch", self.warm_start.as_ref().map_or(1, |warm_start| warm_start.batch)),
        ];
        let counts = of_batches.map(|(key, value)| (key, value as u64));
        if let Some((key, _)) = at_least_one.iter().chain(&counts).find(|(_, value)| *value == 0) {
            return wrong(key, "must be at least 1".into());
        }
        if let Some((key, value)) = counts.iter().find(|(_, value)| *value > LARGEST_BATCH) {
            return wrong(key, format!("must be at most {LARGEST_BATCH}, not {value}"));
        }
        self.check_exports()?;
        let warm_start = self.warm_start.as_ref();
        let tables = [
            ("model", self.model.hub().map(drop)),
            ("model", self.model.lora.as_ref().map_or(Ok(()), LoraConfig::check)),
            ("sampling", self.sampling.check()),
            ("train.loss", self.train.loss.check()),
            ("train.schedule", self.game_schedule().check()),
            ("train.adamw", self.train.adamw.check()),
            ("warm_start.schedule", self.first_optimiser().schedule.check()),
            ("warm_start.adamw", warm_start.map_or(Ok(()), |warm_start| warm_start.adamw.check())),
        ];
        for (table, checked) in tables {
            match checked {
                Err(alft_policy::Error::Setting { name, reason }) => return wrong(&format!("{table}.{name}"), reason),
                Err(error) => return wrong(table, error.to_string()),
                Ok(()) => {}
            }
        }
        self.limits.check().map_err(|invalid| InvalidSetting::limit("limits", &invalid))?;
        check_plugins(&self.plugins, &self.limits, self.game.group.min(self.eval.group), scale)
    }
}

pub(super) fn check_target(target: &TargetConfig) -> Result<(), InvalidSetting> {
    if (MIN_TARGET_RATE..=1.0).contains(&target.rate) {
        return Ok(());
    }
    Err(InvalidSetting::new("target.rate", format!("must be from {MIN_TARGET_RATE} to 1, not {:?}", target.rate)))
}

/// Finds the first setting of the plugins' tables that cannot work. `group` is the smallest group size of the run.
pub(super) fn check_plugins(
    plugins: &[PluginEntry],
    limits: &Limits,
    group: usize,
    scale: Scale,
) -> Result<(), InvalidSetting> {
    for (place, plugin) in plugins.iter().enumerate() {
        let name = &plugin.name;
        if plugins[..place].iter().any(|other| other.name == *name) {
            let reason =
                format!("\"{name}\" stands for two plugins; give each another name", name = Foreign::new(&name));
            return Err(InvalidSetting::new(format!("plugin.{name}.name"), reason));
        }
        plugin.check(limits, group, scale)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alft_game::Baseline;
    use alft_policy::{Aggregation, ExportType, GgufType, PolicyLoss};

    use super::*;

    const SMALL: &str = r#"
output = "runs/x"
[model]
embedded = "tiny"
[prompts]
train = "train.jsonl"
[game]
group = 8
[train]
steps = 3
[eval]
group = 8
[[plugin]]
name = "a"
path = "a.wasm"
"#;

    fn parse(text: &str, overrides: &[&str]) -> Result<RunFile, RunFileError> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        RunFile::parse(Path::new("some/run.toml"), text, &overrides)
    }

    fn refused(text: &str, overrides: &[&str]) -> RunFileError {
        parse(text, overrides).unwrap_err()
    }

    #[test]
    fn overrides_reach_into_tables_and_plugins_by_name() {
        let overrides = ["train.steps=9", "plugin.a.weight=0.5", "sampling.temperature=0.7", "output=runs/y z"];
        let run = parse(SMALL, &overrides).unwrap();
        assert_eq!((run.train.steps, run.plugins[0].weight.at(0), run.sampling.temperature), (9, 0.5, 0.7));
        assert_eq!(run.output, Path::new("runs/y z"));
        assert!(run.prompts.train.is_absolute(), "paths begin in the run file's folder");
        let export = parse(SMALL, &["export.dtype=bf16", "export.gguf=q8_0"]).unwrap().export;
        assert_eq!(export, Export { dtype: ExportType::Bf16, gguf: Some(GgufType::Q8_0) });
    }

    #[test]
    fn losses_advantages_and_adapters_have_the_names_of_the_field() {
        let overrides = [
            "train.loss={policy_loss=\"reinforce\",aggregation=\"sum\",kl=\"k2\",entropy_coef=0.01,mask_truncated=true}",
            "game.advantage={baseline=\"leave-one-out\",scale=\"batch\"}",
            "model.lora={dropout=0.1,modules_to_save=[\"lm_head\"]}",
        ];
        let run = parse(SMALL, &overrides).unwrap();
        let loss = GrpoConfig {
            policy_loss: PolicyLoss::Reinforce,
            aggregation: Aggregation::Sum,
            kl: KlPenalty::K2,
            entropy_coef: 0.01,
            mask_truncated: true,
            ..GrpoConfig::default()
        };
        assert_eq!(run.train.loss, loss);
        let AdvantageConfig { baseline, scale, .. } = run.game.advantage;
        assert_eq!((baseline, scale), (Baseline::LeaveOneOut, Scale::Batch));
        assert_eq!(run.model.lora.unwrap().modules_to_save, ["lm_head"]);
        // A run's own copy of its file means the same.
        let again = parse(&toml::to_string(&parse(SMALL, &overrides).unwrap()).unwrap(), &[]).unwrap();
        assert_eq!(again.train.loss, loss);
    }

    #[test]
    fn a_plugin_in_a_registry_is_no_path_and_may_need_a_signer() {
        let with = |path: &str, keys: &str| SMALL.replace("path = \"a.wasm\"", &format!("path = \"{path}\"\n{keys}"));
        let tag = "oci://ghcr.io/someone/math:1.2.0";
        for keys in [
            "",
            "signed_by = \"math.pub\"",
            "signed_by = { key = \"math.pub\", transparency_log = false }",
            "signed_by = { identity = \"me@x.org\", issuer = \"https://x.org\" }",
        ] {
            let run = parse(&with(tag, keys), &[]).unwrap();
            let again = parse(&toml::to_string(&run).unwrap(), &[]).unwrap();
            for run in [&run, &again] {
                assert_eq!(run.plugins[0].path.as_deref(), Some(Path::new(tag)));
                assert_eq!(run.plugins[0].reference().unwrap().unwrap().to_string(), tag);
                assert_eq!(run.plugins[0].signed_by, again.plugins[0].signed_by);
            }
            assert_eq!(run.plugins[0].signed_by.is_some(), !keys.is_empty());
        }
        let key = parse(&with(tag, "signed_by = \"math.pub\""), &[]).unwrap().plugins.remove(0).signed_by;
        assert!(matches!(key, Some(alft_registry::SignedBy::Key(path)) if path.is_absolute()));
        let error = refused(&with("oci://ghcr.io/math", ""), &[]);
        assert!(
            error.message.contains("plugin.a.path") && error.message.contains("neither a tag nor"),
            "{}",
            error.message
        );
        let error = refused(&with("a.wasm", "signed_by = \"math.pub\""), &[]);
        assert!(error.message.contains("plugin.a.signed_by"), "{}", error.message);
    }

    #[test]
    fn unknown_keys_come_with_a_suggestion() {
        let error = refused(&SMALL.replace("steps", "stpes"), &[]);
        assert_eq!(
            (error.message.as_str(), error.help.as_deref()),
            ("unknown field `stpes`", Some("did you mean `steps`?"))
        );
        let error = refused(SMALL, &["plugin.a.wieght=1"]);
        assert_eq!(
            (error.message.as_str(), error.help.as_deref()),
            ("unknown field `wieght`", Some("did you mean `weight`?"))
        );
        for key in ["train.schedule.total_steps=9", "warm_start={data=\"w\",steps=1,batch=1,schedule={total_steps=9}}"]
        {
            let error = refused(SMALL, &[key]);
            assert_eq!(error.message, "unknown field `total_steps`");
            let help = error.help.unwrap();
            assert!(help.contains("leave it out") && help.contains("`train.steps` or `warm_start.steps`"), "{help}");
            assert!(error.text[error.span.unwrap()].starts_with("total_steps"));
        }
        assert!(refused(SMALL, &["plugin.b.weight=1"]).message.contains("no entry \"b\""));
        assert!(refused(SMALL, &["steps"]).message.contains("write key=value"));
    }

    #[test]
    fn an_error_marks_the_qualified_key() {
        let error = refused(&SMALL.replace("[eval]\ngroup = 8", "[eval]\ngroup = 0"), &[]);
        assert_eq!(error.message, "`eval.group` must be at least 1");
        let span = error.span.unwrap();
        assert_eq!(&error.text[span.clone()], "group = 0");
        assert!(error.text[..span.start].ends_with("[eval]\n"), "and not the line of [game]");
    }

    /// Every numeric key beside those of the plugins, and the hostile numbers that it may have all the same.
    const NUMBERS: [(&str, &[&str]); 48] = [
        ("seed", &["0", BIG]),
        ("model.lora.rank", &[]),
        ("model.lora.alpha", &["-1", TINY]),
        ("model.lora.dropout", &["0", TINY]),
        ("sampling.temperature", &[]),
        ("sampling.top_k", &["0", BIG]),
        ("sampling.top_p", &[TINY]),
        ("sampling.min_p", &["0", TINY]),
        ("sampling.repetition_penalty", &[]),
        // The context and the cache are those of the model.
        ("sampling.max_new_tokens", &[BIG]),
        ("sampling.max_batch", &[BIG]),
        ("sampling.cache_mib", &[BIG]),
        ("game.group", &[]),
        ("game.bundles_per_step", &[]),
        ("game.reference_samples", &[]),
        ("game.dynamic_sampling.max_rounds", &[BIG]),
        ("target.rate", &[]),
        ("train.steps", &["0", BIG]),
        ("train.token_budget", &[BIG]),
        ("train.save_every", &[BIG]),
        ("train.checkpoint_every", &["0", BIG]),
        ("train.keep", &[BIG]),
        ("train.schedule.learning_rate", &["0", TINY, BIG]),
        ("train.schedule.warmup_steps", &["0", BIG]),
        ("train.schedule.decay_steps", &[]),
        ("train.adamw.beta1", &["0", TINY]),
        ("train.adamw.beta2", &["0", TINY]),
        ("train.adamw.epsilon", &[BIG]),
        ("train.adamw.weight_decay", &["0", TINY, BIG]),
        ("train.adamw.max_grad_norm", &["0", TINY, BIG]),
        ("train.loss.clip_low", &["0", TINY, BIG]),
        ("train.loss.clip_high", &["0", TINY, BIG]),
        ("train.loss.delta", &[BIG]),
        ("train.loss.beta", &["0", TINY]),
        ("train.loss.entropy_coef", &["0", "-1", TINY]),
        ("train.loss.updates_per_batch", &[]),
        ("eval.bundles", &[BIG]),
        ("eval.group", &[]),
        ("eval.every", &["0", BIG]),
        ("warm_start.steps", &["0", BIG]),
        ("warm_start.batch", &[]),
        ("warm_start.schedule.learning_rate", &["0", TINY, BIG]),
        ("warm_start.schedule.warmup_steps", &["0", BIG]),
        ("warm_start.schedule.decay_steps", &[]),
        ("warm_start.adamw.beta1", &["0", TINY]),
        ("warm_start.adamw.epsilon", &[BIG]),
        ("warm_start.adamw.weight_decay", &["0", TINY, BIG]),
        ("warm_start.adamw.max_grad_norm", &["0", TINY, BIG]),
    ];
    const TINY: &str = "1e-300";
    const BIG: &str = "9223372036854775807";
    /// No integer that TOML promises.
    const HUGE: &str = "9223372036854775808";

    /// The run file with more tables, and with `number` as the value of `key`.
    fn with_number(key: &str, number: &str) -> String {
        let mut run: toml::Table = SMALL.parse().unwrap();
        let more = "prompts = { train = \"t\", eval = \"e\" }\neval = { every = 1 }\n\
                    warm_start = { data = \"w\", steps = 1, batch = 1 }\ntrain = { steps = 1, checkpoint_every = 1 }\n";
        run.extend(more.parse::<toml::Table>().unwrap());
        let (tables, last) = key.rsplit_once('.').map_or((None, key), |(tables, last)| (Some(tables), last));
        let empty = || toml::Value::Table(toml::Table::new());
        let tables = tables.iter().flat_map(|tables| tables.split('.'));
        let table =
            tables.fold(&mut run, |table, name| table.entry(name).or_insert_with(empty).as_table_mut().unwrap());
        table.insert(last.into(), "@".into());
        toml::to_string(&run).unwrap().replace("\"@\"", number)
    }

    #[test]
    fn a_number_out_of_range_is_refused_at_its_line_with_the_range() {
        let hostile = ["0", "-1", "nan", "-nan", "inf", "-inf", "1e308", "-1e308", "1e400", TINY, BIG, HUGE];
        let mut wrong = Vec::new();
        for (key, accepted) in NUMBERS {
            for number in hostile {
                let text = with_number(key, number);
                let fault = match RunFile::parse(Path::new("run.toml"), &text, &[]) {
                    Ok(run) if accepted.contains(&number) => toml::to_string(&run).err().map(|error| error.to_string()),
                    Ok(_) => Some("accepted".to_owned()),
                    Err(error) => {
                        let place = error.span.as_ref().map(|span| text[..span.start].matches('\n').count());
                        let line = place.and_then(|line| text.lines().nth(line)).unwrap_or_default();
                        let with_remedy = error.message.contains("must be") || error.help.is_some();
                        let right =
                            with_remedy && line.ends_with(&format!(" = {number}")) && !accepted.contains(&number);
                        (!right).then(|| format!("{line:?}: {} ({:?})", error.message, error.help))
                    }
                };
                wrong.extend(fault.map(|fault| format!("{key} = {number}: {fault}")));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    #[test]
    fn settings_that_cannot_work_are_refused() {
        for (set, expected) in [
            ("game.group=1", "`game.group` must be at least 2"),
            ("model.path=x", "not two"),
            ("prompts.template=hello", "`prompts.template` must contain {prompt}"),
            (
                "model={ embedded = \"tiny\", adapter = \"a\", lora = { rank = 2 } }",
                "`model.adapter` goes on from adapters",
            ),
            ("train.schedule.decay_steps=3", "`train.schedule.decay_steps` must be left out of a constant rate"),
            ("model.quantisation=q4_0", "`model.quantisation` keeps frozen weights in few bits, and without adapters"),
            ("model.quantisation=nf4", "unknown variant `nf4`"),
            ("model={ hub = \"SmolLM2\" }", "`model.hub` is \"SmolLM2\"; it must be a name such as"),
            ("model.revision=main", "`model.revision` is that of a model of a hub"),
            ("prompts.system=hello", "`prompts.system` needs `template = \"chat\"`"),
            ("train.save_every=0", "`train.save_every` must be at least 1"),
            ("export.gguf=q4_0", "unknown variant `q4_0`"),
            ("plugin.a.crate=x", "not both"),
            ("plugin.a.weight=-1", "`plugin.a.weight` must be 0 or more"),
            ("plugin.a.weight={from=0,to=1,ovr=3}", "unknown field `ovr`"),
            ("plugin.a.max_failure_rate=2", "from 0 to 1"),
            ("plugin.a.on_error={score=nan}", "finite score"),
            ("plugin.a.on_error={score=-1e308}", "finite score of at most 3.4028234663852886e38, not -1e308"),
            ("plugin.a.on_limit={score=nan}", "`plugin.a.on_limit` must have a finite score"),
            ("plugin.a.on_limit={scores=0}", "unknown field `scores`"),
            ("plugin.a.weight=1e308", "not 1e308"),
            ("plugin.a.config={deep=[1, -inf]}", "`plugin.a.config.deep.1` must be a finite number, not -inf"),
            ("plugin.a.multiplier_rate=1e308", "not 1e308"),
            ("plugin.a.on_error=skip", "unknown variant `skip`"),
            ("plugin.a.limits.stack=1", "`plugin.a.limits.stack`"),
            ("limits.stack=1", "`limits.stack`"),
            ("train.loss.beta=-1", "`train.loss.beta`"),
            ("train.loss.kl=loss", "unknown variant `loss`"),
            ("game.advantage.scale=std", "unknown variant `std`"),
            ("train.loss={policy_loss=\"sapo\",delta=3}", "`train.loss.delta`"),
            ("sampling.top_p=0", "`sampling.top_p`"),
            ("target.rate=0", "0.001 to 1"),
            ("sampling.temperature=0", "nothing to learn"),
            ("plugin.a.group_objective={kind=\"max-rl\"}", "undone"),
            ("plugin.a.group_objective={kind=\"max-at-k\",k=9}", "1 to 8"),
            ("game.reference_samples=0", "at least 1"),
            ("game.dynamic_sampling={max_rounds=0}", "at least 1"),
            ("game={dynamic_sampling={max_rounds=1},advantage={scale=\"batch\"}}", "in rounds"),
            ("game.questions=hard", "unknown variant `hard`"),
            ("train.keep=2", "`train.keep` needs `train.checkpoint_every`"),
            ("train.best={metric=\"accuracy\"}", "`train.best` needs `eval.every`"),
            ("eval.every=5", "`eval.every` needs `prompts.eval`"),
            ("game.estimator=leave-one-out", "always"),
        ] {
            let message = refused(SMALL, &[set]).message;
            assert!(message.contains(expected), "{set}: {message}");
        }
    }
}
