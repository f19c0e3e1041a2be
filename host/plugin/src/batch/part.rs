//! Parts of a batch, one for each call.

use std::borrow::Cow;
use std::ops::Range;

use alft_sdk::call::PromptTexts;
use alft_sdk::roles::Batch;
use serde::{Deserialize, Serialize};

/// A part of a batch: some of its entries, or some texts of one entry. Each of these texts becomes an entry of the part's call.
// The order of the fields is part of the ledger's format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// Positions of the entries in the batch.
    pub entries: Range<usize>,
    /// Positions of the texts in the only entry, where that entry is bisected.
    pub texts: Option<Range<usize>>,
}

impl Part {
    /// Returns the part with whole entries.
    pub(crate) fn entries(entries: Range<usize>) -> Self {
        Self { entries, texts: None }
    }

    /// Returns the part with these texts of one entry.
    pub(crate) fn texts(entry: usize, texts: Range<usize>) -> Self {
        Self { entries: entry..entry + 1, texts: Some(texts) }
    }

    /// Returns the number of entries of the part's call.
    pub(crate) fn len(&self) -> usize {
        self.texts.as_ref().unwrap_or(&self.entries).len()
    }

    /// Splits the part in two at the middle.
    pub(crate) fn halves(self) -> [Self; 2] {
        let split = |range: &Range<usize>| {
            let middle = range.start + range.len() / 2;
            [range.start..middle, middle..range.end]
        };
        match &self.texts {
            Some(texts) => split(texts).map(|texts| Self { entries: self.entries.clone(), texts: Some(texts) }),
            None => split(&self.entries).map(Self::entries),
        }
    }

    /// Returns the arguments of the part's call, or `None` if the batch does not have such a part.
    pub(crate) fn select<'a>(&self, batch: &'a Batch<'_>) -> Option<Batch<'a>> {
        batch.try_map(
            |entries| self.select_texts(entries),
            // A bundle cannot be bisected.
            |bundles| if self.texts.is_some() { None } else { bundles.get(self.entries.clone()).map(Cow::from) },
        )
    }

    fn select_texts<'a>(&self, batch: &'a [PromptTexts]) -> Option<Cow<'a, [PromptTexts]>> {
        let entries = batch.get(self.entries.clone())?;
        let Some(texts) = &self.texts else { return Some(entries.into()) };
        let [entry] = entries else { return None };
        let single = |text: &String| PromptTexts { prompt: entry.prompt.clone(), texts: vec![text.clone()] };
        Some(entry.texts.get(texts.clone())?.iter().map(single).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_an_entry_become_entries() {
        let entry = |texts: &[&str]| PromptTexts {
            prompt: Default::default(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let batch = Batch::Verifier(vec![entry(&["a"]), entry(&["b", "c", "d"])].into());
        assert_eq!(Part::entries(1..2).select(&batch), Some(Batch::Verifier(vec![entry(&["b", "c", "d"])].into())));
        let [first, second] = Part::texts(1, 0..3).halves();
        assert_eq!(first.select(&batch), Some(Batch::Verifier(vec![entry(&["b"])].into())));
        assert_eq!(second.select(&batch), Some(Batch::Verifier(vec![entry(&["c"]), entry(&["d"])].into())));
        assert_eq!(Part::entries(1..3).select(&batch), None);
        assert_eq!(Part::texts(1, 2..4).select(&batch), None);
    }
}
