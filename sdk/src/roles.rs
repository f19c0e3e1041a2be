//! The roles of a plugin. Everything that this crate knows of one role and not of another is in this file, so a new role
//! is added here and in the contract: `wit/objective.wit`, `include/alft.h` and its twin [`abi`](crate::abi).
//!
//! A role has a place in [`Role`] and [`Batch`], a trait that its plugins implement, its function as a type
//! ([`Function`]), and its rows in the macros below, which export it.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Prompt, Valuation};
use crate::call::{Entries, Entry, PromptTexts, Reply, Returns, Takes};
use crate::plugin::{Plugin, Result};

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

    /// Returns the name of the role's function in the contract. Its interface has the name of the role.
    pub fn function(self) -> &'static str {
        match self {
            Self::Reader => "read",
            Self::Verifier => "score",
            Self::Objective => "evaluate",
            Self::Grader => "grade",
        }
    }

    /// Returns what a plugin of the role does, as the rest of a sentence.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Reader => "finds the final answer of a completion",
            Self::Verifier => "scores an answer",
            Self::Objective => "rewards a distribution of answers",
            Self::Grader => "scores a completion, beside its answer",
        }
    }

    /// Returns the kind of entries that the role is called with.
    pub fn takes(self) -> Takes {
        match self {
            Self::Reader | Self::Grader => Takes::Completions,
            Self::Verifier => Takes::Answers,
            Self::Objective => Takes::Bundles,
        }
    }

    /// Returns the kind of results that the role gives.
    pub fn returns(self) -> Returns {
        match self {
            Self::Reader => Returns::Keys,
            Self::Verifier | Self::Grader => Returns::Scores,
            Self::Objective => Returns::Valuations,
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

    fn from_str(text: &str) -> std::result::Result<Self, UnknownRole> {
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

/// Reads the final answer of a completion.
pub trait Reader: Plugin {
    /// Returns the answer in canonical form: two completions have the same answer exactly when their keys are equal.
    /// `None` means that no answer can be read. The prompt comes without its gold answer.
    fn read(&self, prompt: &Prompt, completion: &str) -> Result<Option<String>>;
}

/// Scores a completion for what an answer key cannot tell: format, length, language, style.
///
/// The score is added to the reward of that completion alone. It is a linear utility on completions, and no part of any
/// estimate of the answer marginals.
pub trait Grader: Plugin {
    /// Returns a finite score, within the manifest's `score_range` if there is one. A bad completion has a low score;
    /// an error means that no score could be found.
    fn grade(&self, prompt: &Prompt, completion: &str) -> Result<f64>;
}

/// Scores an answer. A linear utility on answers: U(ν) = Σ score(z) ν(z).
pub trait Verifier: Plugin {
    /// Returns a finite score, within the manifest's `score_range` if there is one. A wrong answer has a low score; an
    /// error means that no score could be found.
    fn score(&self, prompt: &Prompt, answer: &str) -> Result<f64>;
}

/// Values a distribution of answers, and rewards each answer for its part in it.
pub trait Objective: Plugin {
    /// Returns the utility of the bundle's answer marginals, and its gradient as rewards.
    fn evaluate(&self, bundle: &Bundle) -> Result<Valuation>;
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

impl<'a> Batch<'a> {
    /// Returns the role that the batch is for.
    pub fn role(&self) -> Role {
        match self {
            Self::Reader(_) => Role::Reader,
            Self::Verifier(_) => Role::Verifier,
            Self::Objective(_) => Role::Objective,
            Self::Grader(_) => Role::Grader,
        }
    }

    /// Returns the entries.
    pub fn entries(&self) -> Entries<'_> {
        match self {
            Self::Reader(entries) | Self::Verifier(entries) | Self::Grader(entries) => Entries::Texts(entries),
            Self::Objective(bundles) => Entries::Bundles(bundles),
        }
    }

    /// Makes a batch for a role that takes texts; `None` for another role.
    pub fn of_texts(role: Role, entries: impl Into<Cow<'a, [PromptTexts]>>) -> Option<Self> {
        match role {
            Role::Reader => Some(Self::Reader(entries.into())),
            Role::Verifier => Some(Self::Verifier(entries.into())),
            Role::Grader => Some(Self::Grader(entries.into())),
            Role::Objective => None,
        }
    }

    /// Makes a batch for a role that takes bundles; `None` for another role.
    pub fn of_bundles(role: Role, bundles: impl Into<Cow<'a, [Bundle]>>) -> Option<Self> {
        (role == Role::Objective).then(|| Self::Objective(bundles.into()))
    }

    /// Returns the number of entries: prompts with texts, or bundles.
    pub fn len(&self) -> usize {
        match self.entries() {
            Entries::Texts(entries) => entries.len(),
            Entries::Bundles(bundles) => bundles.len(),
        }
    }

    /// Returns true if the batch has no entry.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of [items](crate::call) that a call returns: one for each text, or one for each bundle.
    pub fn item_count(&self) -> usize {
        self.entries().item_counts().iter().sum()
    }

    /// Returns a batch for the same role with the entries that `texts` or `bundles` makes of this one's; `None` if that
    /// returns `None`.
    pub fn try_map<'b>(
        &'b self,
        texts: impl FnOnce(&'b [PromptTexts]) -> Option<Cow<'b, [PromptTexts]>>,
        bundles: impl FnOnce(&'b [Bundle]) -> Option<Cow<'b, [Bundle]>>,
    ) -> Option<Batch<'b>> {
        match self.entries() {
            Entries::Texts(entries) => Batch::of_texts(self.role(), texts(entries)?),
            Entries::Bundles(entries) => Batch::of_bundles(self.role(), bundles(entries)?),
        }
    }

    /// Returns a batch that borrows this one's entries.
    pub fn borrowed(&self) -> Batch<'_> {
        let batch = self.try_map(|entries| Some(entries.into()), |bundles| Some(bundles.into()));
        batch.expect("the entries are those of the role")
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

    /// Returns one batch for each item: for each text of each entry, or for each bundle.
    pub fn singles(&self) -> Vec<Batch<'static>> {
        let single = |entry: &PromptTexts, text: &String| PromptTexts {
            prompt: entry.prompt.clone(),
            texts: vec![text.clone()],
        };
        match self.entries() {
            Entries::Texts(entries) => {
                let singles = entries.iter().flat_map(|entry| entry.texts.iter().map(move |text| single(entry, text)));
                singles.filter_map(|entry| Batch::of_texts(self.role(), vec![entry])).collect()
            }
            Entries::Bundles(bundles) => {
                bundles.iter().filter_map(|bundle| Batch::of_bundles(self.role(), vec![bundle.clone()])).collect()
            }
        }
    }
}

/// The traits of the roles, as the crate re-exports them.
pub mod traits {
    pub use super::{Grader, Objective, Reader, Verifier};
}

/// A role's function of the contract, as a type: what a plugin `P` of the role returns for one entry.
pub trait Function<P> {
    /// The role.
    const ROLE: Role;
    /// The type of an entry of a batch.
    type Entry: Entry;
    /// The results for one entry.
    type Reply: Reply;

    /// Calls the plugin for each item of the entry.
    ///
    /// # Errors
    /// The plugin fails on an item.
    fn call(plugin: &P, entry: &Self::Entry) -> Result<Self::Reply>;
}

/// `reader.read`: a key or `None` for each completion of a prompt.
#[derive(Debug)]
pub enum Read {}

impl<P: Reader> Function<P> for Read {
    const ROLE: Role = Role::Reader;
    type Entry = PromptTexts;
    type Reply = Vec<Option<String>>;

    fn call(plugin: &P, entry: &PromptTexts) -> Result<Self::Reply> {
        entry.each(|prompt, completion| plugin.read(prompt, completion))
    }
}

/// `grader.grade`: a score for each completion of a prompt.
#[derive(Debug)]
pub enum Grade {}

impl<P: Grader> Function<P> for Grade {
    const ROLE: Role = Role::Grader;
    type Entry = PromptTexts;
    type Reply = Vec<f64>;

    fn call(plugin: &P, entry: &PromptTexts) -> Result<Self::Reply> {
        entry.each(|prompt, completion| plugin.grade(prompt, completion))
    }
}

/// `verifier.score`: a score for each answer to a prompt.
#[derive(Debug)]
pub enum Score {}

impl<P: Verifier> Function<P> for Score {
    const ROLE: Role = Role::Verifier;
    type Entry = PromptTexts;
    type Reply = Vec<f64>;

    fn call(plugin: &P, entry: &PromptTexts) -> Result<Self::Reply> {
        entry.each(|prompt, answer| plugin.score(prompt, answer))
    }
}

/// `objective.evaluate`: the valuation of a bundle.
#[derive(Debug)]
pub enum Evaluate {}

impl<P: Objective> Function<P> for Evaluate {
    const ROLE: Role = Role::Objective;
    type Entry = Bundle;
    type Reply = Valuation;

    fn call(plugin: &P, bundle: &Bundle) -> Result<Valuation> {
        plugin.evaluate(bundle)
    }
}

/// The roles as [`export!`](crate::export!) and [`linked!`](crate::linked!) are given them. Three rows for each: its
/// function, its field of the C struct, and its interface of the component.
#[doc(hidden)]
#[macro_export]
macro_rules! __role {
    (function $plugin:ty, Reader) => { $crate::linked::Method::of::<$crate::roles::Read>() };
    (native $table:ident, $plugin:ident, Reader) => { $table.read = Some($crate::native::keys::<$plugin, $crate::roles::Read>); };
    (component $exported:ident, $plugin:ident, Reader) => {
        $crate::__interface!($exported, $plugin, Read, reader, export_reader, read(Transcript) -> ::std::vec::Vec<::std::option::Option<::std::string::String>>);
    };

    (function $plugin:ty, Grader) => { $crate::linked::Method::of::<$crate::roles::Grade>() };
    (native $table:ident, $plugin:ident, Grader) => { $table.grade = Some($crate::native::scores::<$plugin, $crate::roles::Grade>); };
    (component $exported:ident, $plugin:ident, Grader) => {
        $crate::__interface!($exported, $plugin, Grade, grader, export_grader, grade(Transcript) -> ::std::vec::Vec<f64>);
    };

    (function $plugin:ty, Verifier) => { $crate::linked::Method::of::<$crate::roles::Score>() };
    (native $table:ident, $plugin:ident, Verifier) => { $table.score = Some($crate::native::scores::<$plugin, $crate::roles::Score>); };
    (component $exported:ident, $plugin:ident, Verifier) => {
        $crate::__interface!($exported, $plugin, Score, verifier, export_verifier, score(Question) -> ::std::vec::Vec<f64>);
    };

    (function $plugin:ty, Objective) => { $crate::linked::Method::of::<$crate::roles::Evaluate>() };
    (native $table:ident, $plugin:ident, Objective) => { $table.evaluate = Some($crate::native::valuations::<$plugin, $crate::roles::Evaluate>); };
    (component $exported:ident, $plugin:ident, Objective) => {
        $crate::__interface!($exported, $plugin, Evaluate, objective, export_objective, evaluate(Bundle) -> $crate::roles::bindings::objective::exports::alft::objective::objective::Valuation);
    };

    ($form:ident $($rest:tt)*) => {
        compile_error!("an unknown role; the roles are Reader, Grader, Verifier and Objective");
    };
}

/// The bindings of each role's interface, and their records as the records of this crate.
#[cfg(target_arch = "wasm32")]
#[doc(hidden)]
pub mod bindings {
    use super::{Bundle, PromptTexts, Valuation};
    use crate::bindings::{bindings, types::Transcript};
    use crate::bundle::{Answer, Group};

    bindings! {
        /// Bindings of the `reader` interface.
        reader, "reader-alone", "export_reader", "alft_sdk::roles::bindings::reader"
    }
    bindings! {
        /// Bindings of the `grader` interface.
        grader, "grader-alone", "export_grader", "alft_sdk::roles::bindings::grader"
    }
    bindings! {
        /// Bindings of the `verifier` interface.
        verifier, "verifier-alone", "export_verifier", "alft_sdk::roles::bindings::verifier"
    }
    bindings! {
        /// Bindings of the `objective` interface.
        objective, "objective-alone", "export_objective", "alft_sdk::roles::bindings::objective"
    }

    use objective::exports::alft::objective::objective as objectives;
    use verifier::exports::alft::objective::verifier as verifiers;

    impl From<Transcript> for PromptTexts {
        fn from(transcript: Transcript) -> Self {
            Self { prompt: transcript.prompt, texts: transcript.completions }
        }
    }

    impl From<verifiers::Question> for PromptTexts {
        fn from(question: verifiers::Question) -> Self {
            Self { prompt: question.prompt, texts: question.answers }
        }
    }

    impl From<objectives::Bundle> for Bundle {
        fn from(bundle: objectives::Bundle) -> Self {
            let answer = |a: objectives::Answer| Answer {
                key: a.key,
                count: a.count,
                scores: a.scores,
                frequency: a.frequency,
                leave_one_out: a.leave_one_out,
                surprisal: a.surprisal,
                pooled_surprisal: a.pooled_surprisal,
                reference_probability: a.reference_probability,
                pooled_reference_probability: a.pooled_reference_probability,
            };
            let group = |g: objectives::Group| Group {
                prompt: g.prompt,
                size: g.size,
                answers: g.answers.into_iter().map(answer).collect(),
            };
            Self {
                id: bundle.id,
                verifiers: bundle.verifiers,
                multiplier: bundle.multiplier,
                exact: bundle.exact,
                groups: bundle.groups.into_iter().map(group).collect(),
            }
        }
    }

    impl From<Valuation> for objectives::Valuation {
        fn from(valuation: Valuation) -> Self {
            Self { utility: valuation.utility, rewards: valuation.rewards, violation: valuation.violation }
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
