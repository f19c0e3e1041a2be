//! The vocabulary of a call: the role that is called, the batch it is called with, and the output it returns.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Prompt, Valuation};

/// A function of the contract that a plugin can offer.
// New roles go last: serialized variants are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Completion to answer key.
    Reader,
    /// Answer to score.
    Verifier,
    /// Distribution of answers to utility and rewards.
    Objective,
    /// Completion to score.
    Grader,
}

impl Role {
    /// Every role, in the order in which a training step calls them.
    pub const ALL: [Self; 4] = [Self::Reader, Self::Grader, Self::Verifier, Self::Objective];

    /// Returns the role's name in the contract and in files, in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Verifier => "verifier",
            Self::Objective => "objective",
            Self::Grader => "grader",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The error of a text that names no role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownRole(String);

impl fmt::Display for UnknownRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles = Role::ALL.map(Role::name).join(", ");
        write!(f, "\"{}\" is not a role; the roles are {roles}", self.0)
    }
}

impl std::error::Error for UnknownRole {}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.into_iter().find(|role| role.name() == text).ok_or_else(|| UnknownRole(text.into()))
    }
}

/// A set of roles. Serialized as a list of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Role>", into = "Vec<Role>")]
pub struct Roles(u8);

impl Roles {
    /// Returns the set with `role` added.
    #[must_use]
    pub fn with(self, role: Role) -> Self {
        Self(self.0 | 1 << role as u8)
    }

    /// Returns true if `role` is in the set.
    pub fn has(self, role: Role) -> bool {
        self.0 >> role as u8 & 1 == 1
    }

    /// Returns true if the set has no role.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Iterates over the set in the order of [`Role::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.has(*role))
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Self {
        roles.into_iter().fold(Self::default(), Self::with)
    }
}

impl From<Vec<Role>> for Roles {
    fn from(roles: Vec<Role>) -> Self {
        roles.into_iter().collect()
    }
}

impl From<Roles> for Vec<Role> {
    fn from(roles: Roles) -> Self {
        roles.iter().collect()
    }
}

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
}

/// The arguments of one call, borrowed or owned.
// New roles go last: ledgers number the variants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Batch<'a> {
    /// Completions to read.
    Reader(Cow<'a, [PromptTexts]>),
    /// Answers to score.
    Verifier(Cow<'a, [PromptTexts]>),
    /// Bundles to evaluate.
    Objective(Cow<'a, [Bundle]>),
    /// Completions to grade.
    Grader(Cow<'a, [PromptTexts]>),
}

impl Batch<'_> {
    /// Returns the role that the batch is for.
    pub fn role(&self) -> Role {
        match self {
            Self::Reader(_) => Role::Reader,
            Self::Verifier(_) => Role::Verifier,
            Self::Objective(_) => Role::Objective,
            Self::Grader(_) => Role::Grader,
        }
    }

    /// Returns the number of entries: prompts with texts, or bundles.
    pub fn len(&self) -> usize {
        match self {
            Self::Reader(entries) | Self::Verifier(entries) | Self::Grader(entries) => entries.len(),
            Self::Objective(bundles) => bundles.len(),
        }
    }

    /// Returns true if the batch has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of [items](Item) that a call returns: one for each text, or one for each bundle.
    pub fn item_count(&self) -> usize {
        match self {
            Self::Reader(entries) | Self::Verifier(entries) | Self::Grader(entries) => {
                entries.iter().map(|entry| entry.texts.len()).sum()
            }
            Self::Objective(bundles) => bundles.len(),
        }
    }

    /// Returns a batch that borrows this one's entries.
    pub fn borrowed(&self) -> Batch<'_> {
        match self {
            Self::Reader(entries) => Batch::Reader(Cow::Borrowed(entries)),
            Self::Verifier(entries) => Batch::Verifier(Cow::Borrowed(entries)),
            Self::Objective(bundles) => Batch::Objective(Cow::Borrowed(bundles)),
            Self::Grader(entries) => Batch::Grader(Cow::Borrowed(entries)),
        }
    }

    /// Returns the same batch with its entries owned; clones them if they are borrowed.
    pub fn into_owned(self) -> Batch<'static> {
        match self {
            Self::Reader(entries) => Batch::Reader(Cow::Owned(entries.into_owned())),
            Self::Verifier(entries) => Batch::Verifier(Cow::Owned(entries.into_owned())),
            Self::Objective(bundles) => Batch::Objective(Cow::Owned(bundles.into_owned())),
            Self::Grader(entries) => Batch::Grader(Cow::Owned(entries.into_owned())),
        }
    }
}

/// The result of one call: an entry for each entry of the batch, in the same order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Output {
    /// From a reader: an answer key for each completion; `None` where no answer can be read.
    Keys(Vec<Vec<Option<String>>>),
    /// From a verifier or a grader: a score for each text.
    Scores(Vec<Vec<f64>>),
    /// From an objective: a valuation for each bundle.
    Valuations(Vec<Valuation>),
}

/// The result for one text or one bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Item {
    /// From a reader: the completion's answer key; `None` where no answer can be read.
    Key(Option<String>),
    /// From a verifier or a grader.
    Score(f64),
    /// From an objective.
    Valuation(Valuation),
}

impl Output {
    /// Returns the items in order: those of the first entry, those of the second, and so on.
    pub fn into_items(self) -> Vec<Item> {
        match self {
            Self::Keys(keys) => keys.into_iter().flatten().map(Item::Key).collect(),
            Self::Scores(scores) => scores.into_iter().flatten().map(Item::Score).collect(),
            Self::Valuations(valuations) => valuations.into_iter().map(Item::Valuation).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_found_by_its_name() {
        for role in Role::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "raeder".parse::<Role>().unwrap_err().to_string();
        assert!(error.contains("\"raeder\"") && error.contains("reader, grader"), "{error}");
    }

    #[test]
    fn a_set_of_roles_has_what_was_added_and_iterates_in_the_order_of_a_step() {
        let roles = Roles::default().with(Role::Objective).with(Role::Grader);
        assert!(roles.has(Role::Grader) && !roles.has(Role::Reader));
        assert_eq!(roles.iter().collect::<Vec<_>>(), [Role::Grader, Role::Objective]);
        let text = serde_json::to_string(&roles).unwrap();
        assert_eq!(text, r#"["grader","objective"]"#);
        assert_eq!(serde_json::from_str::<Roles>(&text).unwrap(), roles);
    }

    #[test]
    fn a_batch_counts_entries_and_items() {
        let entry = |texts: usize| PromptTexts { prompt: Prompt::default(), texts: vec![String::new(); texts] };
        let batch = Batch::Grader(Cow::Owned(vec![entry(2), entry(0), entry(3)]));
        assert_eq!((batch.len(), batch.item_count(), batch.role()), (3, 5, Role::Grader));
        assert_eq!(batch.borrowed().into_owned(), batch);
    }
}
