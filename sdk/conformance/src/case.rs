//! A test's view of the plugin: checked calls under one configuration.

use alft_sdk::bundle::{Bundle, Valuation};
use alft_sdk::call::{Output, PromptTexts};
use alft_sdk::roles::{Batch, Role};

use crate::calls;
use crate::inputs::Random;
use crate::settings::Settings;
use crate::subject::{Fault, Subject};

/// A plugin under one configuration.
pub(crate) struct Case<'a> {
    pub(crate) subject: &'a dyn Subject,
    /// The same source in its other form.
    pub(crate) twin: Option<&'a dyn Subject>,
    pub(crate) settings: &'a Settings,
    pub(crate) config: &'a str,
    /// Seed of every random input.
    pub(crate) seed: u64,
}

impl Case<'_> {
    /// Returns true if the plugin has the role.
    pub(crate) fn has(&self, role: Role) -> bool {
        self.subject.roles().has(role)
    }

    /// Returns the random numbers for one purpose.
    pub(crate) fn random(&self, purpose: &str) -> Random {
        Random::new(self.seed, purpose)
    }

    /// Makes batches for each role that the plugin has.
    pub(crate) fn batches(&self, make: impl FnMut(Role) -> Vec<Batch<'static>>) -> Vec<Batch<'static>> {
        self.subject.roles().iter().flat_map(make).collect()
    }

    /// Calls the plugin. Returns each item as text, see [`calls::lines`].
    pub(crate) fn lines(&self, batch: &Batch<'_>) -> Result<Vec<String>, Fault> {
        self.call(batch).map(calls::lines)
    }

    /// Calls the reader with the texts of one prompt.
    pub(crate) fn read(&self, entries: Vec<PromptTexts>) -> Result<Vec<Vec<Option<String>>>, Fault> {
        match self.call(&Batch::Reader(entries.into()))? {
            Output::Keys(keys) => Ok(keys),
            _ => unreachable!("the output of a call was checked"),
        }
    }

    /// Calls the grader or the verifier, by `role`, with the texts of the settings' question.
    pub(crate) fn scores(&self, role: Role, texts: Vec<String>) -> Result<Vec<f64>, Fault> {
        match self.call(&texts_batch(role, vec![self.entry(texts)]))? {
            Output::Scores(mut scores) => Ok(scores.remove(0)),
            _ => unreachable!("the output of a call was checked"),
        }
    }

    /// Calls the objective.
    pub(crate) fn evaluate(&self, bundles: Vec<Bundle>) -> Result<Vec<Valuation>, Fault> {
        match self.call(&Batch::Objective(bundles.into()))? {
            Output::Valuations(valuations) => Ok(valuations),
            _ => unreachable!("the output of a call was checked"),
        }
    }

    /// Returns the settings' question with these texts.
    pub(crate) fn entry(&self, texts: Vec<String>) -> PromptTexts {
        PromptTexts { prompt: self.settings.prompt("p"), texts }
    }

    fn call(&self, batch: &Batch<'_>) -> Result<Output, Fault> {
        calls::call(self.subject, self.config, batch).result
    }
}

/// Makes a batch for a role that is called with texts.
pub(crate) fn texts_batch(role: Role, entries: Vec<PromptTexts>) -> Batch<'static> {
    Batch::of_texts(role, entries).expect("the role is called with texts")
}
