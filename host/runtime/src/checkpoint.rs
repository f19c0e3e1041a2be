//! The state that a resumed run goes on from, beside the weights and the optimiser.

use std::collections::{BTreeMap, BTreeSet};

use alft_policy::{OptimiserConfig, Trainer, checkpoint};
use serde::{Deserialize, Serialize};

use crate::best::BestCheckpoint;
use crate::config::{ConfigFingerprint, RunFile};
use crate::error::{Error, Result, chain};
use crate::plugins::{ActiveConfig, ConfigChange};
use crate::question_log::{QuestionLog, QuestionLogPosition};
use crate::record::{LogLengths, RunDir};
use crate::reward::TargetState;
use crate::sampler::QuestionSampler;
use crate::stats::{Averages, PluginTotals};
use crate::watch::Watch;

/// The position of a run. Every random choice is a function of the seed and of what is here, so nothing else has to be
/// saved. Targets, reference marginals and pass rates are in the state's file of questions.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct TrainerState {
    /// The phase, and its steps that are done.
    pub(crate) phase: TrainerPhase,
    /// Steps of the game that are done.
    pub(crate) step: u64,
    /// The target player's state.
    pub(crate) targets: TargetState,
    /// The place in the order of the questions, and their pass rates.
    pub(crate) sampler: QuestionSampler,
    /// The evaluation before the game.
    pub(crate) before: Option<Averages>,
    /// The latest evaluation while training, with the steps that were done.
    pub(crate) evaluation: Option<(u64, Averages)>,
    /// The best evaluation while training.
    pub(crate) best: Option<BestCheckpoint>,
    /// The steps of models that were the best ones and would not be exported otherwise.
    #[serde(default)]
    pub(crate) superseded: BTreeSet<u64>,
    /// The watch over losses, gradients and groups.
    pub(crate) watch: Watch,
    /// Each plugin's usage and failures so far.
    pub(crate) totals: BTreeMap<String, PluginTotals>,
    /// The plugins, limits and learning rate in force.
    pub(crate) active: ActiveConfig,
    /// Steps of the game that were done when they came into force.
    #[serde(default)]
    pub(crate) active_since: u64,
    /// Changes that led to them: lines of `changes.jsonl`.
    pub(crate) changes: usize,
    /// Changes, in words, that the next step's line of metrics reports.
    pub(crate) unreported_changes: Vec<String>,
    /// The lengths of the records when the state was saved.
    lengths: LogLengths,
    /// The state's file of questions.
    questions: QuestionLogPosition,
    /// True if targets and references were cleared since the state was saved: their file has to be written again.
    #[serde(skip)]
    forgot: bool,
    /// The settings that a resumed run may not change.
    fingerprint: ConfigFingerprint,
}

/// The phase of a run that is to be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TrainerPhase {
    /// Supervised training, with so many steps done.
    WarmStart(u64),
    /// The game.
    Game,
}

impl TrainerState {
    /// The state of a run that begins.
    pub(crate) fn new(fingerprint: ConfigFingerprint, active: ActiveConfig) -> Self {
        Self {
            phase: TrainerPhase::WarmStart(0),
            step: 0,
            targets: TargetState::default(),
            sampler: QuestionSampler::default(),
            before: None,
            evaluation: None,
            best: None,
            superseded: BTreeSet::new(),
            watch: Watch::default(),
            totals: BTreeMap::new(),
            active,
            active_since: 0,
            changes: 0,
            unreported_changes: Vec::new(),
            lengths: LogLengths::default(),
            questions: QuestionLogPosition::default(),
            forgot: false,
            fingerprint,
        }
    }

    /// Saves the state and the trainer: what `log` has of the questions, and the rest in one atomic write. `lengths` are
    /// those of the records, which are on disk.
    pub(crate) fn save(
        &mut self,
        trainer: &Trainer,
        dir: &RunDir,
        lengths: LogLengths,
        log: &mut QuestionLog,
    ) -> Result<()> {
        self.lengths = lengths;
        self.questions = log.sync(&self.targets, &self.sampler, self.forgot)?;
        let note = serde_json::to_string(self).expect("a state is plain data");
        checkpoint::save(trainer, &dir.state(), &note)?;
        self.forgot = false;
        log.remove_others();
        Ok(())
    }

    /// Opens the state's file of questions and reads it.
    pub(crate) fn open_questions(&mut self, dir: &RunDir) -> Result<QuestionLog> {
        QuestionLog::open(&dir.state(), self.questions, &mut self.targets, &mut self.sampler)
    }

    /// Returns the settings in force when the state was saved. Refuses a folder without a saved state.
    pub(crate) fn saved_config(dir: &RunDir) -> Result<ActiveConfig> {
        if !checkpoint::exists(&dir.state()) {
            let reason = "there is no saved state here; start the run without --resume".into();
            return Err(Error::Resume { path: dir.path.clone(), reason });
        }
        Ok(Self::read(dir)?.active)
    }

    fn read(dir: &RunDir) -> Result<Self> {
        let wrong = |reason: String| Error::Resume { path: dir.path.clone(), reason };
        let note = checkpoint::note(&dir.state()).map_err(|error| wrong(chain(&error)))?;
        serde_json::from_str(&note)
            .map_err(|error| wrong(format!("the state was saved by another version of alft: {error}")))
    }

    /// Restores a saved state into a trainer of the same configuration.
    pub(crate) fn restore(
        trainer: &mut Trainer,
        dir: &RunDir,
        fingerprint: &ConfigFingerprint,
        config: &RunFile,
    ) -> Result<Self> {
        let wrong = |reason: String| Error::Resume { path: dir.path.clone(), reason };
        let state = Self::read(dir)?;
        let changed = state.fingerprint.changes(fingerprint);
        if !changed.is_empty() {
            let changed = changed.join(", ");
            return Err(wrong(format!(
                "the run has changed since it was saved ({changed}); put that back, or start a new run"
            )));
        }
        // Each phase has an optimiser with its own settings.
        trainer.begin_phase(match state.phase {
            TrainerPhase::WarmStart(_) => config.first_optimiser(),
            TrainerPhase::Game => {
                OptimiserConfig { schedule: state.active.schedule.clone(), ..config.game_optimiser() }
            }
        })?;
        checkpoint::restore(trainer, &dir.state()).map_err(|error| wrong(chain(&error)))?;
        Ok(state)
    }

    /// Restores the last saved state of the same run.
    pub(crate) fn restore_own(&self, trainer: &mut Trainer, dir: &RunDir, config: &RunFile) -> Result<Self> {
        Self::restore(trainer, dir, &self.fingerprint, config)
    }

    /// The lengths of the records that the saved state counts on.
    pub(crate) fn lengths(&self) -> LogLengths {
        self.lengths
    }

    /// Goes on with other settings. The state of plugins that stay is kept.
    pub(crate) fn adopt(&mut self, change: ConfigChange) {
        let ConfigChange { step, changes, active } = change;
        self.active_since = step;
        self.targets.multipliers.retain(|name, _| active.hashes.contains_key(name));
        if !self.active.reads_as(&active) {
            // Targets know answers by their keys, and another reader may give other keys.
            self.targets.targets.clear();
            self.targets.references.clear();
            self.forgot = true;
        }
        for (name, totals) in &mut self.totals {
            if !self.active.keeps(name, &active) {
                totals.reset_failure_rate();
            }
        }
        self.active = active;
        // Other plugins may find other accuracies.
        self.evaluation = None;
        self.changes += 1;
        self.unreported_changes.extend(changes);
    }
}
