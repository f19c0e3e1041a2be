//! The data of a call: the entries of a batch, and the output with one result for each of its items.
//!
//! An entry is a prompt with texts or a bundle. An item is what a plugin is asked about: each text of a prompt, or a
//! bundle.

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Prompt, Valuation};
use crate::plugin::Result;

/// A prompt with texts: completions for a reader or a grader, distinct answer keys for a verifier.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PromptTexts {
    /// The prompt that the texts belong to.
    pub prompt: Prompt,
    /// Completions or answer keys.
    pub texts: Vec<String>,
}

impl PromptTexts {
    /// Removes the gold answer. Readers are called without it: a reader that knew the gold answer could find it in
    /// every completion.
    #[must_use]
    pub fn without_gold(mut self) -> Self {
        self.prompt.gold = None;
        self
    }

    /// Returns the result of `call` for each text, or the first error.
    ///
    /// # Errors
    /// `call` fails.
    pub fn each<T>(&self, mut call: impl FnMut(&Prompt, &str) -> Result<T>) -> Result<Vec<T>> {
        self.texts.iter().map(|text| call(&self.prompt, text)).collect()
    }
}

/// The entries of a batch, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Entries<'a> {
    /// Prompts with texts.
    Texts(&'a [PromptTexts]),
    /// Bundles.
    Bundles(&'a [Bundle]),
}

impl Entries<'_> {
    /// Returns the number of items of each entry.
    pub fn item_counts(self) -> Vec<usize> {
        match self {
            Self::Texts(entries) => entries.iter().map(|entry| entry.texts.len()).collect(),
            Self::Bundles(bundles) => vec![1; bundles.len()],
        }
    }
}

/// A type of entry: [`PromptTexts`] or [`Bundle`].
pub trait Entry: Sized {
    /// Returns entries as a slice of this type; `None` for entries of the other type.
    fn slice(entries: Entries<'_>) -> Option<&[Self]>;
}

impl Entry for PromptTexts {
    fn slice(entries: Entries<'_>) -> Option<&[Self]> {
        if let Entries::Texts(entries) = entries { Some(entries) } else { None }
    }
}

impl Entry for Bundle {
    fn slice(entries: Entries<'_>) -> Option<&[Self]> {
        if let Entries::Bundles(bundles) = entries { Some(bundles) } else { None }
    }
}

/// The result for one entry: keys, scores, or a valuation.
pub trait Reply: Sized {
    /// Makes the output of a call from the results of its entries.
    fn output(replies: Vec<Self>) -> Output;
}

impl Reply for Vec<Option<String>> {
    fn output(replies: Vec<Self>) -> Output {
        Output::Keys(replies)
    }
}

impl Reply for Vec<f64> {
    fn output(replies: Vec<Self>) -> Output {
        Output::Scores(replies)
    }
}

impl Reply for Valuation {
    fn output(replies: Vec<Self>) -> Output {
        Output::Valuations(replies)
    }
}

/// The result of one call: an entry for each entry of the batch, in the same order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// Answer keys: one for each completion; `None` where no answer can be read.
    Keys(Vec<Vec<Option<String>>>),
    /// Scores: one for each text.
    Scores(Vec<Vec<f64>>),
    /// Valuations: one for each bundle.
    Valuations(Vec<Valuation>),
}

/// The result for one text or one bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// An answer key; `None` where no answer can be read.
    Key(Option<String>),
    /// A score.
    Score(f64),
    /// A valuation.
    Valuation(Valuation),
}

/// The kind of a role's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Takes {
    /// Prompts with completions.
    Completions,
    /// Prompts with distinct answer keys.
    Answers,
    /// Bundles.
    Bundles,
}

/// The kind of a role's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// An answer key or none for each text.
    Keys,
    /// A score for each text.
    Scores,
    /// A valuation for each bundle.
    Valuations,
}

impl Returns {
    /// Makes an output of this kind from items in order, `counts` of them for each entry. Leaves out items of another
    /// kind.
    pub fn output(self, items: impl IntoIterator<Item = Item>, counts: &[usize]) -> Output {
        fn nest<T>(mut values: impl Iterator<Item = T>, counts: &[usize]) -> Vec<Vec<T>> {
            counts.iter().map(|count| values.by_ref().take(*count).collect()).collect()
        }
        let items = items.into_iter();
        match self {
            Self::Keys => {
                let key = |item| if let Item::Key(key) = item { Some(key) } else { None };
                Output::Keys(nest(items.filter_map(key), counts))
            }
            Self::Scores => {
                let score = |item| if let Item::Score(score) = item { Some(score) } else { None };
                Output::Scores(nest(items.filter_map(score), counts))
            }
            Self::Valuations => {
                let valuation = |item| if let Item::Valuation(valuation) = item { Some(valuation) } else { None };
                Output::Valuations(items.filter_map(valuation).collect())
            }
        }
    }
}

impl Output {
    /// Returns the kind of the results.
    pub fn kind(&self) -> Returns {
        match self {
            Self::Keys(_) => Returns::Keys,
            Self::Scores(_) => Returns::Scores,
            Self::Valuations(_) => Returns::Valuations,
        }
    }

    /// Returns the items of each entry.
    pub fn into_entries(self) -> Vec<Vec<Item>> {
        match self {
            Self::Keys(keys) => keys.into_iter().map(|keys| keys.into_iter().map(Item::Key).collect()).collect(),
            Self::Scores(scores) => {
                scores.into_iter().map(|scores| scores.into_iter().map(Item::Score).collect()).collect()
            }
            Self::Valuations(valuations) => valuations.into_iter().map(|v| vec![Item::Valuation(v)]).collect(),
        }
    }

    /// Returns the items in order: those of the first entry, those of the second, and so on.
    pub fn into_items(self) -> Vec<Item> {
        self.into_entries().into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_put_back_into_the_output_that_they_came_from() {
        let outputs = [
            Output::Keys(vec![vec![Some("a".into()), None], vec![], vec![Some("b".into())]]),
            Output::Scores(vec![vec![1.0, 2.0], vec![], vec![3.0]]),
        ];
        for output in outputs {
            assert_eq!(output.kind().output(output.clone().into_items(), &[2, 0, 1]), output);
        }
    }
}
