//! Calls whose results are checked for what every result must be: in shape and finite.

use std::fmt::Debug;

use super::{Case, Fault, Reply, Role, Subject};
use crate::batch::PromptTexts;
use crate::bundle::{Bundle, Valuation};

/// A call of any role.
#[derive(Debug, Clone)]
pub(super) enum Call {
    Read(Vec<PromptTexts>),
    Score(Vec<PromptTexts>),
    Evaluate(Vec<Bundle>),
}

/// What was said of each entry, as text. An `f64`'s is the shortest that gives it back, so equal texts are equal bits.
pub(super) type Said = Vec<String>;

impl Call {
    /// Calls over its entries one by one: first questions and bundles, then the texts of a question.
    pub(super) fn singles(&self) -> Vec<Self> {
        let texts = |q: &PromptTexts| -> Vec<PromptTexts> {
            q.texts.iter().map(|text| PromptTexts { prompt: q.prompt.clone(), texts: vec![text.clone()] }).collect()
        };
        match self {
            Self::Read(batch) => batch.iter().flat_map(texts).map(|q| Self::Read(vec![q])).collect(),
            Self::Score(batch) => batch.iter().flat_map(texts).map(|q| Self::Score(vec![q])).collect(),
            Self::Evaluate(batch) => batch.iter().map(|bundle| Self::Evaluate(vec![bundle.clone()])).collect(),
        }
    }

    /// The same entries from last to first, the texts of a question too.
    pub(super) fn reversed(&self) -> Self {
        let back = |batch: &[PromptTexts]| -> Vec<PromptTexts> {
            let turned = |q: &PromptTexts| PromptTexts {
                prompt: q.prompt.clone(),
                texts: q.texts.iter().rev().cloned().collect(),
            };
            batch.iter().rev().map(turned).collect()
        };
        match self {
            Self::Read(batch) => Self::Read(back(batch)),
            Self::Score(batch) => Self::Score(back(batch)),
            Self::Evaluate(batch) => Self::Evaluate(batch.iter().rev().cloned().collect()),
        }
    }

    /// What the plugin says, text by text or bundle by bundle, and the fuel that it took.
    pub(super) fn to(&self, subject: &dyn Subject, config: &str) -> Reply<Said> {
        match self {
            Self::Read(batch) => said(read(subject, config, batch), |keys| keys.iter().flatten().map(text).collect()),
            Self::Score(batch) => {
                said(score(subject, config, batch), |scores| scores.iter().flatten().map(text).collect())
            }
            Self::Evaluate(batch) => said(evaluate(subject, config, batch), |all| all.iter().map(text).collect()),
        }
    }
}

impl Case<'_> {
    /// What the plugin says.
    pub(super) fn said(&self, call: &Call) -> Result<Said, Fault> {
        call.to(self.subject, self.config).result
    }

    /// As a reader.
    pub(super) fn read(&self, batch: &[PromptTexts]) -> Result<Vec<Vec<Option<String>>>, Fault> {
        read(self.subject, self.config, batch).result
    }

    /// As a verifier.
    pub(super) fn score(&self, batch: &[PromptTexts]) -> Result<Vec<Vec<f64>>, Fault> {
        score(self.subject, self.config, batch).result
    }

    /// As an objective.
    pub(super) fn evaluate(&self, batch: &[Bundle]) -> Result<Vec<Valuation>, Fault> {
        evaluate(self.subject, self.config, batch).result
    }

    /// The roles that it has, with a call of each made by `make`.
    pub(super) fn calls(&self, mut make: impl FnMut(Role) -> Vec<Call>) -> Vec<Call> {
        Role::ALL.into_iter().filter(|role| self.subject.has(*role)).flat_map(&mut make).collect()
    }
}

pub(super) fn read(subject: &dyn Subject, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<Option<String>>>> {
    // As in a run.
    let shown: Vec<PromptTexts> = batch.iter().cloned().map(PromptTexts::without_gold).collect();
    checked(subject.read(config, &shown), |keys| shaped(keys, batch))
}

pub(super) fn score(subject: &dyn Subject, config: &str, batch: &[PromptTexts]) -> Reply<Vec<Vec<f64>>> {
    checked(subject.score(config, batch), |scores| {
        shaped(scores, batch)?;
        finite("a score", scores.iter().flatten())
    })
}

pub(super) fn evaluate(subject: &dyn Subject, config: &str, batch: &[Bundle]) -> Reply<Vec<Valuation>> {
    checked(subject.evaluate(config, batch), |valuations| {
        counted(valuations.len(), batch.len())?;
        for (valuation, bundle) in valuations.iter().zip(batch) {
            let given: Vec<usize> = valuation.rewards.iter().map(Vec::len).collect();
            let wanted: Vec<usize> = bundle.groups.iter().map(|group| group.answers.len()).collect();
            if given != wanted {
                return Err(format!("it gave rewards of the shape {given:?} for answers of the shape {wanted:?}"));
            }
            finite("a utility", [&valuation.utility])?;
            finite("a violation", valuation.violation.iter())?;
            finite("a reward", valuation.rewards.iter().flatten())?;
        }
        Ok(())
    })
}

fn checked<T>(reply: Reply<T>, check: impl FnOnce(&T) -> Result<(), String>) -> Reply<T> {
    let result = reply.result.and_then(|value| match check(&value) {
        Ok(()) => Ok(value),
        Err(reason) => Err(Fault::Invalid(reason)),
    });
    Reply { result, ..reply }
}

fn shaped<T>(results: &[Vec<T>], batch: &[PromptTexts]) -> Result<(), String> {
    counted(results.len(), batch.len())?;
    results.iter().zip(batch).try_for_each(|(results, question)| counted(results.len(), question.texts.len()))
}

fn counted(given: usize, wanted: usize) -> Result<(), String> {
    if given == wanted { Ok(()) } else { Err(format!("it gave {given} results for {wanted} entries")) }
}

fn finite<'a>(what: &str, numbers: impl IntoIterator<Item = &'a f64>) -> Result<(), String> {
    match numbers.into_iter().find(|number| !number.is_finite()) {
        Some(number) => Err(format!("{what} is {number}")),
        None => Ok(()),
    }
}

fn said<T>(reply: Reply<T>, say: impl FnOnce(&T) -> Said) -> Reply<Said> {
    Reply { result: reply.result.map(|value| say(&value)), fuel: reply.fuel }
}

fn text(value: &impl Debug) -> String {
    format!("{value:?}")
}

/// The first entry of which the two say different things.
pub(super) fn difference(one: &[String], other: &[String]) -> Option<String> {
    let pair = one.iter().zip(other).find(|(one, other)| one != other);
    pair.map(|(one, other)| format!("{} against {}", shortened(one), shortened(other)))
}

/// Enough of a text to know it by.
pub(super) fn shortened(text: &str) -> String {
    match text.char_indices().nth(120) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
