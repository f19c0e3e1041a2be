//! [`Run`]: a training run that is started or resumed, stepped, reconfigured between steps, and finished.

use std::fs::File;
use std::path::Path;
use std::time::Instant;

use alft_policy::{OptimiserConfig, Policy};

use crate::checkpoint::{TrainerPhase, TrainerState};
use crate::config::{PhaseSchedule, RunFile, differences};
use crate::error::{Error, Result};
use crate::event::{Observer, Phase, RunEvent};
use crate::exports::{evaluate, prune};
use crate::plugins::{ActiveConfig, ChangeLog, ConfigChange};
use crate::record::{GameLine, RunDir, RunLogs, Summary, UsageLine, WarmStartLine};
use crate::session::Session;
use crate::setup::{PluginOpener, PluginSource, Setup, check_order, name_kept_plugin, with_kept_plugins};
use crate::step::{game_step, warm_start_step};

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
    /// True after a step that failed, until the run went back to its saved state.
    failed: bool,
    begun: Instant,
    /// Keeps other processes out of the run's folder.
    _lock: File,
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
        let setup = Setup::open(config, source, observer)?;
        let dir = RunDir::create(&setup.config.output)?;
        let lock = dir.lock()?;
        let state = TrainerState::new(setup.fingerprint.clone(), ActiveConfig::new(&setup.config, &setup.plugins));
        let mut run = Self::new(setup, dir, lock, state)?;
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
    pub fn resume(dir: &Path, config: RunFile, source: PluginSource, mut observer: Observer) -> Result<Self> {
        let dir = RunDir { path: dir.to_path_buf() };
        let saved = TrainerState::saved_config(&dir)?;
        let lock = source.lock()?;
        let config = with_kept_plugins(config, &saved, lock.as_ref(), &dir, &mut observer)?;
        let mut setup = Setup::open(config, source, observer).map_err(|error| name_kept_plugin(error, &saved, &dir))?;
        let lock = dir.lock()?;
        dir.sweep();
        let state = TrainerState::restore(&mut setup.trainer, &dir, &setup.fingerprint, &setup.config)?;
        let mut run = Self::new(setup, dir, lock, state)?;
        run.go_on_from_saved()?;
        Ok(run)
    }

    /// Makes the next step: of the warm start, or of the game, which begins with an evaluation. `None` once all steps are
    /// made.
    ///
    /// # Errors
    /// The policy or a record fails, or a plugin's failures end the run. The run can be resumed from its last saved state. The
    /// next call of `step`, `apply` or `finish` goes back to that state too, so that the records hold every step once.
    pub fn step(&mut self) -> Result<Option<StepLine>> {
        self.go_back_if_failed()?;
        let made = self.next_step();
        self.failed = made.is_err();
        made
    }

    /// The run that a setup and a state make.
    fn new(setup: Setup, dir: RunDir, lock: File, mut state: TrainerState) -> Result<Self> {
        let Setup { config, plugins, opener, data, trainer, mut observer, begun, .. } = setup;
        observer(&RunEvent::RunDir(&dir.path));
        let logs = RunLogs::open(&dir, state.lengths())?;
        let questions = state.open_questions(&dir)?;
        Ok(Self {
            saved_step: state.step,
            failed: false,
            changes: ChangeLog::open(&dir, state.changes)?,
            session: Session { config, plugins, data, trainer, state, logs, questions, observer },
            opener,
            dir,
            deferred: None,
            begun,
            _lock: lock,
        })
    }

    /// Makes the next step from a state that the records agree with.
    fn next_step(&mut self) -> Result<Option<StepLine>> {
        if let TrainerPhase::WarmStart(done) = self.session.state.phase {
            let warm_start =
                self.session.config.warm_start.as_ref().map(|warm_start| (warm_start.steps, warm_start.batch));
            match warm_start {
                Some((steps, batch)) if done < steps => {
                    return Ok(Some(StepLine::WarmStart(self.warm_start_step(done, steps, batch)?)));
                }
                _ => self.begin_game().map_err(|error| self.with_remedy(error))?,
            }
        }
        if self.session.state.step >= self.session.config.train.steps {
            return Ok(None);
        }
        self.apply_pending_changes()?;
        let line = game_step(&mut self.session).map_err(|error| self.with_remedy(error))?;
        (self.session.observer)(&RunEvent::GameStep(&line));
        self.evaluate_and_save().map_err(|error| self.with_remedy(error))?;
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
        self.go_back_if_failed()?;
        self.take_over(config)
    }

    fn take_over(&mut self, config: RunFile) -> Result<Vec<String>> {
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
        self.go_back_if_failed()?;
        // Those that were recorded after the last step: the evaluation was made under them.
        self.apply_pending_changes()?;
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
            trained_eval_questions: self.session.data.trained_eval_questions(),
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
        let line = warm_start_step(&mut self.session, batch, done)
            .map_err(|error| self.with_warm_start_remedy(error, done))?;
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

    /// Adds to an update of the warm start that is not finite the remedy.
    fn with_warm_start_remedy(&self, error: Error, done: u64) -> Error {
        let Error::Model(source @ alft_policy::Error::NonFinite { .. }) = error else { return error };
        let remedy = self.remedy_before_game(done);
        Error::NotFinite { phase: "warm start", step: done + 1, remedy, source: source.into() }
    }

    /// The remedy for numbers that are not finite after `done` steps of the warm start. A resumed run cannot change its warm
    /// start.
    fn remedy_before_game(&self, done: u64) -> String {
        match &self.session.config.warm_start {
            Some(warm_start) if done > 0 => {
                let (rate, norm) = (warm_start.schedule.learning_rate, warm_start.adamw.max_grad_norm);
                format!(
                    "start a new run with a lower warm_start.schedule.learning_rate (it is {rate:?}), more \
                     warm_start.schedule.warmup_steps, or a smaller warm_start.adamw.max_grad_norm (it is {norm:?}, and 0 does \
                     not clip)"
                )
            }
            _ => "no update came before it, so the cause is in the model or the data: start a new run from another model, with \
                  model.dtype = \"f32\", with smaller weights of plugins, or without the examples that are not like the others"
                .into(),
        }
    }

    /// Adds to an update, or to logits of samples, that are not finite the remedy that this run can take.
    fn with_remedy(&self, error: Error) -> Error {
        use alft_policy::Error::{NonFinite, NonFiniteLogits};
        let Error::Model(source @ (NonFinite { .. } | NonFiniteLogits { .. })) = error else { return error };
        let Session { config, state, .. } = &self.session;
        // A resumed run makes the recorded changes again before it follows its run file.
        let follows = !self.changes.has_pending() && state.active_since <= self.saved_step;
        // No token can be drawn before the step's own updates.
        let own_update = config.train.loss.updates_per_batch > 1 && !matches!(source, NonFiniteLogits { .. });
        let remedy = if follows && (self.saved_step < state.step || own_update) {
            let next = self.saved_step + 1;
            format!("lower train.schedule.learning_rate in the run file and resume: the run goes on from step {next}")
        } else if state.step == 0 {
            self.remedy_before_game(config.warm_start.as_ref().map_or(0, |warm_start| warm_start.steps))
        } else {
            let model = match self.dir.exported().unwrap_or_default().pop() {
                Some((_, model)) => format!("from a model exported earlier, such as model.path = {model:?}"),
                None => "and set train.checkpoint_every to have models to go back to".into(),
            };
            let reason =
                "the saved state has the weights that led there, so start a new run with a lower learning rate";
            format!("{reason}, {model}")
        };
        Error::NotFinite { phase: "game", step: state.step + 1, remedy, source: source.into() }
    }

    /// Goes back to the last saved state after a step that failed, as a resumed run does: the step may have recorded plugin
    /// calls, and left parts of the session ahead of others.
    fn go_back_if_failed(&mut self) -> Result<()> {
        if !self.failed {
            return Ok(());
        }
        let Session { config, trainer, state, logs, questions, .. } = &mut self.session;
        *state = state.restore_own(trainer, &self.dir, config)?;
        std::mem::replace(logs, RunLogs::open(&self.dir, state.lengths())?).discard();
        std::mem::replace(questions, state.open_questions(&self.dir)?).discard();
        std::mem::replace(&mut self.changes, ChangeLog::open(&self.dir, state.changes)?).discard();
        self.saved_step = state.step;
        self.go_on_from_saved()?;
        self.failed = false;
        Ok(())
    }

    /// Goes on from a saved state that was just restored: with the changes on record after it, or else with the configuration.
    fn go_on_from_saved(&mut self) -> Result<()> {
        // A change at the saved step may have been recorded after the state was saved.
        while let Some(change) = self.changes.due(self.session.state.step) {
            self.session.state.adopt(change);
        }
        if self.changes.has_pending() {
            let wanted = self.deferred.take();
            self.deferred = Some(wanted.unwrap_or_else(|| self.session.config.clone()));
            self.activate_recorded()?;
        } else {
            self.session.plugins.keep_files(&self.dir)?;
            self.adopt(ActiveConfig::new(&self.session.config, &self.session.plugins))?;
        }
        self.prune()?;
        self.write_run_file()?;
        self.announce();
        Ok(())
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
            && let Err(error) = self.take_over(config)
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
        config.train.schedule = PhaseSchedule::from(&state.active.schedule);
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

/// The keys, except plugins, limits and the learning rate, in which two configurations differ.
fn fixed_settings_that_differ(a: &RunFile, b: &RunFile) -> Vec<String> {
    let fixed = |config: &RunFile| {
        let mut settings = serde_json::to_value(config).expect("a run file prints");
        let table = settings.as_object_mut().expect("a run file is a table");
        ["plugin", "limits", "serve"].iter().for_each(|key| drop(table.remove(*key)));
        drop(table["train"].as_object_mut().and_then(|train| train.remove("schedule")));
        settings
    };
    differences(&fixed(a), &fixed(b), "").into_iter().map(|(key, ..)| key).collect()
}
