//! The parts of a run that its steps work on.

use alft_policy::{Sequence, Trainer};

use crate::checkpoint::TrainerState;
use crate::config::RunFile;
use crate::data::Question;
use crate::event::Observer;
use crate::plugins::PluginSet;
use crate::question_log::QuestionLog;
use crate::record::RunLogs;
use crate::template::PromptTemplate;

/// The parts of a run that its steps work on.
pub(crate) struct Session {
    pub(crate) config: RunFile,
    pub(crate) plugins: PluginSet,
    pub(crate) data: RunData,
    pub(crate) trainer: Trainer,
    pub(crate) state: TrainerState,
    pub(crate) logs: RunLogs,
    pub(crate) questions: QuestionLog,
    pub(crate) observer: Observer,
}

/// The data of a run.
pub(crate) struct RunData {
    /// The template around every question.
    pub(crate) template: PromptTemplate,
    /// Questions to train on.
    pub(crate) train: Vec<Question>,
    /// Questions kept out of training.
    pub(crate) eval: Vec<Question>,
    /// Worked examples for the warm start.
    pub(crate) examples: Vec<Sequence>,
}
