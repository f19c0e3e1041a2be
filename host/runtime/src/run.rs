//! [`Run`]: a training run that is started or resumed, stepped, reconfigured between steps, and finished.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Instant;

use alft_plugin_host::Worker;
use alft_plugin_host::lock::Lock;
use alft_policy::{Device, OptimiserConfig, Policy, Sequence, Trainer, Tuning, device, doctor};
use alft_sdk::roles::Role;

use crate::checkpoint::{TrainerPhase, TrainerState};
use crate::config::{ConfigFingerprint, Embedded, Model, QuestionOrder, RunFile, differences};
use crate::data::{Question, SftExample, read_examples, read_questions};
use crate::error::{Error, Result, chain};
use crate::event::{Observer, Phase, RunEvent};
use crate::exports::{self, evaluate, prune};
use crate::memory::{sample_memory, update_memory};
use crate::plugins::{ActiveConfig, ChangeLog, ConfigChange, PinSource, PluginError, PluginSet};
use crate::record::{GameLine, RunDir, RunLogs, Summary, UsageLine, WarmStartLine};
use crate::session::{RunData, Session};
use crate::step::{game_step, warm_start_step};
use crate::template::PromptTemplate;

/// Supervised steps between two saves of the state.
const WARM_START_SAVE: u64 = 100;

/// A training run.
///
/// Every random choice is a function of the seed and the step, and [`Run::step`] saves the state that the next step needs.
/// So a run that is resumed gives the same as one left alone.
pub struct Run {
    session: Session,
    /// `None` where the plugins are linked in.
    opener: Option<PluginOpener>,
    dir: RunDir,
    changes: ChangeLog,
    /// The run file that a resumed run follows once the record of its changes is at its end.
    deferred: Option<RunFile>,
    /// Steps of the game that the saved state counts.
    saved_step: u64,
    begun: Instant,
    /// Keeps other processes out of the run's folder.
    _lock: File,
}

/// The source of a run's plugins.
#[derive(Debug)]
pub enum PluginSource {
    /// The `[[plugin]]` tables of the run file.
    RunFile(PluginOpener),
    /// Plugins that are linked into this program. The run file's tables have no part.
    Linked(PluginSet),
}

/// The means to open the plugins of a run file.
#[derive(Debug)]
pub struct PluginOpener {
    /// The program that compiles components and runs native libraries in child processes.
    pub worker: Worker,
    /// The folder in which `alft.lock` is looked for: that of the run file.
    pub lock_dir: PathBuf,
}

/// The record of a step.
#[derive(Debug, Clone)]
pub enum StepLine {
    /// A supervised step.
    WarmStart(WarmStartLine),
    /// A step of the game.
    Game(Box<GameLine>),
}

impl Run {
    /// Starts a new run in a new folder: reads and checks everything that the run needs, and saves a first state, so that
    /// from here on there is something to resume.
    ///
    /// # Errors
    /// Anything that is missing or wrong, before anything long begins.
    pub fn start(config: RunFile, source: PluginSource, observer: Observer) -> Result<Self> {
        let parts = Parts::open(config, source, observer)?;
        let dir = RunDir::create(&parts.config.output)?;
        let lock = dir.lock()?;
        let state = TrainerState::new(parts.fingerprint.clone(), ActiveConfig::new(&parts.config, &parts.plugins));
        let mut run = parts.into_run(dir, lock, state)?;
        run.session.plugins.keep_files(&run.dir)?;
        run.write_run_file()?;
        run.save()?;
        run.announce();
        Ok(run)
    }

    /// Goes on with the run in `dir` from its last saved state. `config` must be the run's own, but for its plugins, limits and
    /// learning rate: those are followed once the changes on record were made again.
    ///
    /// # Errors
    /// As [`Run::start`]; there is no saved state, another process works on the run, or the configuration is another one.
    pub fn resume(dir: &Path, config: RunFile, source: PluginSource, observer: Observer) -> Result<Self> {
        let dir = RunDir { path: dir.to_path_buf() };
        TrainerState::check_saved(&dir)?;
        let mut parts = Parts::open(config, source, observer)?;
        let lock = dir.lock()?;
        dir.sweep();
        let state = TrainerState::restore(&mut parts.trainer, &dir, &parts.fingerprint, &parts.config)?;
        let mut run = parts.into_run(dir, lock, state)?;
        // A change at the saved step may have been recorded after the state was saved.
        while let Some(change) = run.changes.due(run.session.state.step) {
            run.session.state.adopt(change);
        }
        if run.changes.has_pending() {
            run.deferred = Some(run.session.config.clone());
            run.activate_recorded()?;
        } else {
            run.session.plugins.keep_files(&run.dir)?;
            run.adopt(ActiveConfig::new(&run.session.config, &run.session.plugins))?;
        }
        run.prune()?;
        run.write_run_file()?;
        run.announce();
        Ok(run)
    }

    /// Makes the next step: of the warm start, or of the game, which begins with an evaluation. `None` once all steps are
    /// made.
    ///
    /// # Errors
    /// The policy or a record fails, or a plugin's failures end the run. The run can be resumed from its last saved state.
    pub fn step(&mut self) -> Result<Option<StepLine>> {
        if let TrainerPhase::WarmStart(done) = self.session.state.phase {
            let warm_start =
                self.session.config.warm_start.as_ref().map(|warm_start| (warm_start.steps, warm_start.batch));
            match warm_start {
                Some((steps, batch)) if done < steps => {
                    return Ok(Some(StepLine::WarmStart(self.warm_start_step(done, steps, batch)?)));
                }
                _ => self.begin_game()?,
            }
        }
        if self.session.state.step >= self.session.config.train.steps {
            return Ok(None);
        }
        self.apply_pending_changes()?;
        let line = game_step(&mut self.session).map_err(|error| self.with_remedy(error))?;
        (self.session.observer)(&RunEvent::GameStep(&line));
        self.evaluate_and_save()?;
        Ok(Some(StepLine::Game(Box::new(line))))
    }

    /// Goes on with a new configuration from the next step: other plugins, weights, roles and limits, and another learning
    /// rate. The change is checked first, its plugins are opened, and the change is on record before it is used. Returns the
    /// changes in words; none if nothing changed, or if the run has recorded changes to make again before it follows new
    /// ones.
    ///
    /// # Errors
    /// A plugin cannot be opened, or a setting changed that is fixed: then the run keeps what it has.
    pub fn apply(&mut self, config: RunFile) -> Result<Vec<String>> {
        let keys = fixed_settings_that_differ(&self.session.config, &config);
        if !keys.is_empty() {
            return Err(Error::FixedSettings { keys });
        }
        if self.changes.has_pending() {
            self.deferred = Some(config);
            return Ok(Vec::new());
        }
        let plugins = match &self.opener {
            Some(opener) => {
                let plugins = opener.open(&config, &mut self.session.observer)?;
                check_order(&config, &plugins)?;
                plugins.keep_files(&self.dir)?;
                Some(plugins)
            }
            None if tables_differ(&self.session.config, &config) => return Err(Error::LinkedPlugins),
            None => None,
        };
        let active = ActiveConfig::new(&config, plugins.as_ref().unwrap_or(&self.session.plugins));
        let changes = self.adopt(active)?;
        if let Some(plugins) = plugins {
            self.session.plugins = plugins;
        }
        self.session.config = config;
        self.write_run_file()?;
        Ok(changes)
    }

    /// Ends the run: evaluates the policy, exports the model and writes the summary.
    ///
    /// # Errors
    /// The policy or a record fails.
    pub fn finish(mut self) -> Result<Summary> {
        (self.session.observer)(&RunEvent::PhaseFinished);
        let after = match self.session.state.evaluation {
            Some((step, averages)) if step == self.session.state.step => Some(averages),
            _ => evaluate(&mut self.session, &self.dir, Phase::EvaluationAfter)?,
        };
        if self.session.config.eval.every > 0 {
            self.save()?;
            self.prune()?;
        }
        self.session.logs.sync()?;
        let policy = self.session.trainer.policy();
        policy.export(&self.dir.model(), self.session.config.export)?;
        let Session { state, config, .. } = &self.session;
        let base = config.model.hub.as_ref().map(Path::new).or(config.model.path.as_deref()).unwrap_or(Path::new(""));
        policy.save_adapter(base, &self.dir.adapter())?;
        let totals = || state.totals.iter().map(|(name, totals)| (name.clone(), totals));
        let failed = totals().filter(|(_, totals)| !totals.failures.is_empty());
        let summary = Summary {
            steps: state.step,
            seed: config.seed,
            before: state.before,
            after,
            best: state.best,
            failures: failed.map(|(name, totals)| (name, totals.failures.clone())).collect(),
            usage: totals().map(|(name, totals)| (name, UsageLine::from(totals))).collect(),
            multipliers: state.targets.multipliers.clone(),
            seconds: self.begun.elapsed().as_secs_f64(),
            plugin_seconds: totals().map(|(name, totals)| (name, totals.seconds)).collect(),
        };
        let json = serde_json::to_string_pretty(&summary).expect("a summary is plain data");
        self.dir.write("summary.json", json.as_bytes())?;
        Ok(summary)
    }

    /// The configuration in force.
    pub fn config(&self) -> &RunFile {
        &self.session.config
    }

    /// The run's folder.
    pub fn dir(&self) -> &RunDir {
        &self.dir
    }

    /// The policy as it is now.
    pub fn policy(&self) -> &Policy {
        self.session.trainer.policy()
    }

    /// Steps of the game that are done.
    pub fn steps_done(&self) -> u64 {
        self.session.state.step
    }

    fn warm_start_step(&mut self, done: u64, steps: u64, batch: usize) -> Result<WarmStartLine> {
        let line = warm_start_step(&mut self.session, batch, done)?;
        (self.session.observer)(&RunEvent::WarmStartStep(&line));
        self.session.state.phase = TrainerPhase::WarmStart(done + 1);
        if (done + 1).is_multiple_of(WARM_START_SAVE) {
            self.save()?;
        }
        if done + 1 == steps {
            (self.session.observer)(&RunEvent::PhaseFinished);
        }
        Ok(line)
    }

    /// Takes the policy as it is for the reference, and evaluates it.
    fn begin_game(&mut self) -> Result<()> {
        let Session { config, trainer, state, .. } = &mut self.session;
        let schedule = state.active.schedule.clone();
        trainer.begin_phase(OptimiserConfig { schedule, ..config.game_optimiser() })?;
        trainer.freeze_reference()?;
        state.watch.begin_phase();
        self.session.state.before = evaluate(&mut self.session, &self.dir, Phase::EvaluationBefore)?;
        self.session.state.phase = TrainerPhase::Game;
        self.save()?;
        self.announce();
        Ok(())
    }

    /// Makes the evaluation, the export and the save that are due after a step. The export comes before the state: a run
    /// that is killed in between makes the step and its export once more.
    fn evaluate_and_save(&mut self) -> Result<()> {
        let due = |step: u64, every: u64| every > 0 && step.is_multiple_of(every);
        let step = self.session.state.step;
        if due(step, self.session.config.eval.every) {
            (self.session.observer)(&RunEvent::PhaseFinished);
            evaluate(&mut self.session, &self.dir, Phase::Evaluation)?;
            self.announce();
        }
        let Session { config, state, trainer, .. } = &self.session;
        let is_best = state.best.is_some_and(|best| best.step == step);
        let export = due(step, config.train.checkpoint_every);
        if export && !is_best {
            trainer.policy().export(&self.dir.checkpoint(step), config.export)?;
        }
        // A model that is the best or that others give way to must be known to the state.
        if export || is_best || due(step, config.train.save_every) || step == config.train.steps {
            self.save()?;
            self.prune()?;
        }
        Ok(())
    }

    /// Removes exported models that are not to be kept.
    fn prune(&self) -> Result<()> {
        let Session { config, state, .. } = &self.session;
        prune(&self.dir, &config.train, state.best, &state.superseded, state.step)
    }

    /// Adds to an update that is not finite the remedy that this run can take.
    fn with_remedy(&self, error: Error) -> Error {
        let Error::Model(source @ alft_policy::Error::NonFinite { .. }) = error else { return error };
        let Session { config, state, .. } = &self.session;
        // A resumed run makes the recorded changes again before it follows its run file.
        let follows = !self.changes.has_pending() && state.active_since <= self.saved_step;
        let remedy = if follows && (self.saved_step < state.step || config.train.loss.updates_per_batch > 1) {
            let next = self.saved_step + 1;
            format!("lower train.schedule.learning_rate in the run file and resume: the run goes on from step {next}")
        } else {
            let model = match self.dir.exported().unwrap_or_default().pop() {
                Some((_, model)) => format!("from a model exported earlier, such as model.path = {model:?}"),
                None => "and set train.checkpoint_every to have models to go back to".into(),
            };
            let reason =
                "the saved state has the weights that led there, so start a new run with a lower learning rate";
            format!("{reason}, {model}")
        };
        Error::NotFinite { step: state.step + 1, remedy, source: source.into() }
    }

    /// Makes the recorded changes that are due before the next step again, and then the change that the run file of a
    /// resumed run asks for.
    fn apply_pending_changes(&mut self) -> Result<()> {
        while let Some(change) = self.changes.due(self.session.state.step) {
            let Session { state, observer, .. } = &mut self.session;
            observer(&RunEvent::ConfigChanged { step: state.step + 1, changes: &change.changes, replayed: true });
            state.adopt(change);
            self.activate_recorded()?;
        }
        if !self.changes.has_pending()
            && let Some(config) = self.deferred.take()
            && let Err(error) = self.apply(config)
        {
            (self.session.observer)(&RunEvent::ConfigRefused(&error));
        }
        Ok(())
    }

    /// Goes on with what the state has in force: opens its plugins, from the files that the run's folder kept.
    fn activate_recorded(&mut self) -> Result<()> {
        let Session { config, plugins, state, observer, .. } = &mut self.session;
        config.plugins.clone_from(&state.active.plugins);
        config.limits.clone_from(&state.active.limits);
        config.train.schedule.clone_from(&state.active.schedule);
        if let Some(opener) = &self.opener {
            *plugins = opener.open_recorded(&state.active, &self.dir, observer)?;
        }
        self.follow_schedule()?;
        self.write_run_file()
    }

    /// Goes on at the learning rate in force. Before the game begins it is that of the warm start.
    fn follow_schedule(&mut self) -> Result<()> {
        let Session { state, trainer, .. } = &mut self.session;
        if state.phase == TrainerPhase::Game {
            trainer.set_schedule(state.active.schedule.clone())?;
        }
        Ok(())
    }

    /// Records a change and adopts it, if `active` is one.
    fn adopt(&mut self, active: ActiveConfig) -> Result<Vec<String>> {
        let Session { state, observer, .. } = &mut self.session;
        let changes = state.active.changes(&active);
        if !changes.is_empty() {
            let change = ConfigChange { step: state.step, changes: changes.clone(), active };
            self.changes.record(&change)?;
            observer(&RunEvent::ConfigChanged { step: state.step + 1, changes: &changes, replayed: false });
            state.adopt(change);
        }
        self.follow_schedule()?;
        Ok(changes)
    }

    /// Puts the records on disk, and then the state that counts them.
    fn save(&mut self) -> Result<()> {
        let Session { state, trainer, logs, questions, .. } = &mut self.session;
        let lengths = logs.sync()?;
        state.save(trainer, &self.dir, lengths, questions)?;
        self.saved_step = state.step;
        Ok(())
    }

    fn write_run_file(&self) -> Result<()> {
        let text = toml::to_string(&self.session.config).expect("a run file prints");
        self.dir.write("run.toml", text.as_bytes())
    }

    /// Tells the observer of the phase that comes next.
    fn announce(&mut self) {
        let Session { config, state, observer, .. } = &mut self.session;
        let (phase, done, total) = match state.phase {
            TrainerPhase::WarmStart(done) => {
                let Some(warm_start) = &config.warm_start else { return };
                (Phase::WarmStart, done, warm_start.steps)
            }
            TrainerPhase::Game => (Phase::Game, state.step, config.train.steps),
        };
        observer(&RunEvent::PhaseStarted { phase, done, total });
    }
}

/// Returns true if two configurations differ in the tables of plugins or in the limits.
fn tables_differ(a: &RunFile, b: &RunFile) -> bool {
    let tables = |run: &RunFile| serde_json::to_value((&run.plugins, &run.limits)).expect("tables print");
    tables(a) != tables(b)
}

/// Refuses an order of the questions that goes by a verifier's scores where there is no verifier.
fn check_order(config: &RunFile, plugins: &PluginSet) -> Result<()> {
    if config.game.questions == QuestionOrder::Adaptive && plugins.with_role(Role::Verifier).next().is_none() {
        let names: Vec<&str> = plugins.iter().map(|plugin| plugin.name.as_str()).collect();
        return Err(Error::Plugin { name: names.join("\", \""), source: PluginError::NoVerifier.into() });
    }
    Ok(())
}

/// The keys, except plugins, limits and the learning rate, in which two configurations differ.
fn fixed_settings_that_differ(a: &RunFile, b: &RunFile) -> Vec<String> {
    let fixed = |config: &RunFile| {
        let mut settings = serde_json::to_value(config).expect("a run file prints");
        let table = settings.as_object_mut().expect("a run file is a table");
        ["plugin", "limits"].iter().for_each(|key| drop(table.remove(*key)));
        drop(table["train"].as_object_mut().and_then(|train| train.remove("schedule")));
        settings
    };
    differences(&fixed(a), &fixed(b), "").into_iter().map(|(key, ..)| key).collect()
}

/// Checks the device's kernels, if that was not done before, and returns its description with what came out.
fn describe_checked(device: &Device) -> String {
    let name = device::describe(device);
    let distrusted = doctor::trust(device, alft_plugin_host::cache_folder("gpu").ok().as_deref());
    match distrusted.as_slice() {
        [] => name,
        kernels => format!(
            "{name}; slower operations stand in for the kernels {}, which compute wrongly on this card (see `alft doctor --gpu`)",
            kernels.join(", ")
        ),
    }
}

/// Everything of a run that is read before its folder is touched.
struct Parts {
    config: RunFile,
    plugins: PluginSet,
    opener: Option<PluginOpener>,
    data: RunData,
    trainer: Trainer,
    fingerprint: ConfigFingerprint,
    observer: Observer,
    begun: Instant,
}

impl Parts {
    fn open(config: RunFile, source: PluginSource, mut observer: Observer) -> Result<Self> {
        let begun = Instant::now();
        let device = config.model.device.open()?;
        observer(&RunEvent::Device(&describe_checked(&device)));
        let train = read_questions(&config.prompts.train)?;
        let eval = config.prompts.eval.as_deref().map(read_questions).transpose()?.unwrap_or_default();
        let warm_start = config.warm_start.as_ref();
        let examples = warm_start.map(|warm_start| read_examples(&warm_start.data)).transpose()?.unwrap_or_default();
        prepare_estimator(&config, &train, &eval)?;
        let (plugins, opener) = match source {
            PluginSource::RunFile(opener) => (opener.open(&config, &mut observer)?, Some(opener)),
            PluginSource::Linked(plugins) => (plugins, None),
        };
        check_order(&config, &plugins)?;
        let fetched = match config.model.hub()? {
            Some(model) => Some(model.fetch(&mut |download| observer(&RunEvent::Download(download)))?),
            None => None,
        };
        let policy = match (&config.model.embedded, fetched.as_ref().or(config.model.path.as_ref())) {
            (Some(Embedded::Tiny), _) => Policy::tiny(config.seed, &device)?.quantised(config.model.quantisation)?,
            (None, Some(path)) => Policy::open_quantised(path, &device, config.model.quantisation)?,
            (None, None) => unreachable!("the run file was checked"),
        };
        let policy = policy.in_precision(config.model.dtype)?;
        exports::check(&policy, config.export)?;
        let template = PromptTemplate::open(&config.prompts, &policy)?;
        let longest_prompt = check_questions(&policy, &config, &template, &train, &eval)?;
        let tuning = match (&config.model.lora, &config.model.adapter) {
            (Some(lora), _) => Tuning::Lora(lora.clone()),
            (None, Some(folder)) => Tuning::Adapter(folder.clone()),
            (None, None) => Tuning::Full,
        };
        let lora = tuning.lora()?;
        let memory = sample_memory(&policy, &config, &plugins, (&train, &eval), longest_prompt, lora.as_ref())?;
        if let Some(memory) = memory {
            observer(&RunEvent::SampleMemory(&memory));
        }
        let encode = |example: &SftExample| -> Result<Sequence> {
            Ok(policy.completed(template.encode(&[], &example.prompt)?, &example.completion)?)
        };
        let examples = examples.iter().map(encode).collect::<Result<_, _>>()?;
        let trainer = Trainer::new(policy, &tuning, config.first_optimiser(), config.train.token_budget, config.seed)?
            .with_activation_checkpointing(config.train.activation_checkpointing);
        if let Some(memory) = update_memory(&trainer, &config, &train, longest_prompt) {
            observer(&RunEvent::UpdateMemory(&memory));
        }
        let model = Model { path: fetched.or_else(|| config.model.path.clone()), ..config.model.clone() };
        let mut fingerprint = ConfigFingerprint::new(&RunFile { model, ..config.clone() })?;
        if let Some(source) = template.chat_source() {
            fingerprint = fingerprint.with_text("prompts.template", source);
        }
        let data = RunData { template, train, eval, examples };
        Ok(Self { config, plugins, opener, data, trainer, fingerprint, observer, begun })
    }

    fn into_run(mut self, dir: RunDir, lock: File, mut state: TrainerState) -> Result<Run> {
        (self.observer)(&RunEvent::RunDir(&dir.path));
        let logs = RunLogs::open(&dir, state.lengths())?;
        let questions = state.open_questions(&dir)?;
        Ok(Run {
            saved_step: state.step,
            changes: ChangeLog::open(&dir, state.changes)?,
            session: Session {
                config: self.config,
                plugins: self.plugins,
                data: self.data,
                trainer: self.trainer,
                state,
                logs,
                questions,
                observer: self.observer,
            },
            opener: self.opener,
            dir,
            deferred: None,
            begun: self.begun,
            _lock: lock,
        })
    }
}

impl PluginOpener {
    fn open(&self, config: &RunFile, observer: &mut Observer) -> Result<PluginSet> {
        let lock = Lock::find(&self.lock_dir)?;
        let pins = PinSource::Lock(lock.as_ref(), &self.lock_dir);
        let RunFile { plugins, limits, .. } = config;
        PluginSet::open(plugins, limits, pins, &self.worker, &mut |event| observer(&RunEvent::Plugin(event)))
    }

    /// Opens the plugins that a run had in force, from the files that its folder kept.
    fn open_recorded(&self, active: &ActiveConfig, dir: &RunDir, observer: &mut Observer) -> Result<PluginSet> {
        let ActiveConfig { plugins, limits, hashes, .. } = active;
        let pins = PinSource::Record(hashes, dir);
        PluginSet::open(plugins, limits, pins, &self.worker, &mut |event| observer(&RunEvent::Plugin(event)))
    }
}

/// Makes the estimator's tables for the sample sizes that the run will look up: of single groups, and of all groups of a
/// question together.
fn prepare_estimator(config: &RunFile, train: &[Question], eval: &[Question]) -> Result<()> {
    let sizes = |questions: &[Question], group: usize| -> BTreeSet<u32> {
        questions.iter().flat_map(|question| [group as u32, (group * question.prompts.len()) as u32]).collect()
    };
    let all = sizes(train, config.game.group).into_iter().chain(sizes(eval, config.eval.group));
    Ok(config.game.estimator.prepare(all)?)
}

/// Finds a question that the policy cannot encode, or that leaves no room for an answer, now rather than at its step.
/// Returns the number of tokens of the longest.
fn check_questions(
    policy: &Policy,
    config: &RunFile,
    template: &PromptTemplate,
    train: &[Question],
    eval: &[Question],
) -> Result<usize> {
    let mut longest = 0;
    let eval_path = config.prompts.eval.as_ref().unwrap_or(&config.prompts.train);
    let files = [(&config.prompts.train, train), (eval_path, eval)];
    let context = policy.config().context_length;
    for (path, question) in files.into_iter().flat_map(|(path, questions)| std::iter::repeat(path).zip(questions)) {
        for (history, prompt) in question.phrasings() {
            let wrong = |reason: String| Error::Data { path: path.clone(), reason };
            let tokens = template
                .encode(history, &prompt.text)
                .map_err(|error| wrong(format!("the policy cannot read question {}: {}", prompt.id, chain(&error))))?;
            if tokens.len() + config.sampling.max_new_tokens > context {
                return Err(wrong(format!(
                    "question {} has {} tokens and leaves no room for {} more in the policy's context of {context}; \
                     shorten it, or lower sampling.max_new_tokens",
                    prompt.id,
                    tokens.len(),
                    config.sampling.max_new_tokens,
                )));
            }
            longest = longest.max(tokens.len());
        }
    }
    Ok(longest)
}
