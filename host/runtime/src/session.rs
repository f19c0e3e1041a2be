//! The parts of a run that its steps work on.

use alft_policy::{Sequence, Trainer};
use std::collections::BTreeSet;

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

impl RunData {
    /// Returns the number of the evaluation's questions that have a phrasing of a question to train on.
    pub(crate) fn trained_eval_questions(&self) -> usize {
        let texts = |questions: &'_ [Question]| -> Vec<(String, String)> {
            let phrasings = questions.iter().flat_map(Question::phrasings);
            phrasings.map(|(before, prompt)| (format!("{before:?}"), prompt.text.clone())).collect()
        };
        let trained: BTreeSet<_> = texts(&self.train).into_iter().collect();
        let is_trained =
            |question: &&Question| texts(std::slice::from_ref(question)).iter().any(|text| trained.contains(text));
        self.eval.iter().filter(is_trained).count()
    }
}
