//! What a seat of the panel does: a loaded plugin does it in its sandbox, a reference plugin linked in does it directly.

use alft_builtin::{Configured, Role};
use alft_plugin_host::{Called, Failure, FailureKind, Plugin};
use alft_sdk::Manifest;
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::{Bundle, Valuation};

/// The three calls of the contract, with a result for each item.
pub(crate) trait Judge: std::fmt::Debug {
    fn manifest(&self) -> &Manifest;
    /// The loaded plugin, if it is one.
    fn loaded(&self) -> Option<&Plugin> {
        None
    }
    /// A result for each completion of each question.
    fn read(&self, batch: &[PromptTexts]) -> Called<Option<String>>;
    /// A result for each answer of each question.
    fn score(&self, batch: &[PromptTexts]) -> Called<f64>;
    /// A result for each bundle.
    fn evaluate(&self, batch: &[Bundle]) -> Called<Valuation>;
}

impl Judge for Plugin {
    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn loaded(&self) -> Option<&Plugin> {
        Some(self)
    }

    fn read(&self, batch: &[PromptTexts]) -> Called<Option<String>> {
        self.read(batch)
    }

    fn score(&self, batch: &[PromptTexts]) -> Called<f64> {
        self.score(batch)
    }

    fn evaluate(&self, batch: &[Bundle]) -> Called<Valuation> {
        self.evaluate(batch)
    }
}

/// A reference plugin, linked in. Its reader takes the whole completion for the answer, as the traces of a tabular
/// policy are.
impl Judge for Configured {
    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn read(&self, batch: &[PromptTexts]) -> Called<Option<String>> {
        called(texts(batch).map(|(_, text)| Ok(Some(text.to_owned()))))
    }

    fn score(&self, batch: &[PromptTexts]) -> Called<f64> {
        match &self.role {
            Role::Verifier(score) => {
                called(texts(batch).map(|(question, text)| finite(score(&question.prompt, text)?)))
            }
            Role::Objective(_) => unreachable!("its seat does not verify"),
        }
    }

    fn evaluate(&self, batch: &[Bundle]) -> Called<Valuation> {
        match &self.role {
            Role::Objective(evaluate) => called(batch.iter().map(|bundle| {
                let valuation = evaluate(bundle)?;
                let numbers =
                    valuation.rewards.iter().flatten().chain([&valuation.utility]).chain(&valuation.violation);
                numbers.copied().try_for_each(|number| finite(number).map(drop))?;
                Ok(valuation)
            })),
            Role::Verifier(_) => unreachable!("its seat does not price"),
        }
    }
}

/// What the host demands of a loaded plugin holds for one that is linked in.
fn finite(number: f64) -> alft_sdk::Result<f64> {
    if number.is_finite() {
        Ok(number)
    } else {
        Err(format!("it gave {number}, where a finite number is needed").into())
    }
}

fn texts(batch: &[PromptTexts]) -> impl Iterator<Item = (&PromptTexts, &str)> {
    batch.iter().flat_map(|question| question.texts.iter().map(move |text| (question, text.as_str())))
}

fn called<T>(items: impl Iterator<Item = alft_sdk::Result<T>>) -> Called<T> {
    let failed = |error: alft_sdk::Error| Failure::new(FailureKind::Error, error.to_string());
    Called { items: items.map(|item| item.map_err(failed)).collect(), ..Called::default() }
}
