//! A compiled expression. The crate `regex-lite` has no backtracking: a search takes at most the product of the sizes of
//! expression and text, and its automaton is bounded here.

use alft_sdk::serde::Deserialize;
use regex_lite::{Regex, RegexBuilder};

/// Most bytes of an expression.
const LONGEST: usize = 10_000;
/// Most bytes of a compiled expression: every byte of a completion can cost as many steps as it has states.
const COMPILED: usize = 1 << 16;

/// The rule for upper and lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(crate = "alft_sdk::serde", rename_all = "lowercase")]
pub enum Case {
    /// Texts that differ in case are different.
    #[default]
    Same,
    /// They are the same.
    Either,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub(crate) struct Pattern {
    regex: Regex,
    /// Group of the answer.
    group: usize,
}

impl Pattern {
    /// Compiles an expression that is looked for in a text.
    ///
    /// # Errors
    /// It does not compile. The error is the rest of a sentence, with the crate's reason.
    pub(crate) fn within(text: &str, case: Case) -> Result<Self, String> {
        let regex = compile(text, text, case)?;
        let named = regex.capture_names().position(|name| name == Some("answer"));
        let group = named.unwrap_or(usize::from(regex.captures_len() > 1));
        Ok(Self { regex, group })
    }

    /// Compiles an expression that a whole text must match.
    ///
    /// # Errors
    /// As [`Pattern::within`].
    pub(crate) fn whole(text: &str, case: Case) -> Result<Self, String> {
        Ok(Self { regex: compile(text, &format!("^(?:{text})$"), case)?, group: 0 })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Iterates over the captured texts, from left to right.
    pub(crate) fn captured<'a>(&'a self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.regex.captures_iter(text).filter_map(|captures| Some(captures.get(self.group)?.as_str()))
    }
}

/// Compiles an expression, which is `written` by the user without what is around it.
fn compile(written: &str, text: &str, case: Case) -> Result<Regex, String> {
    if written.trim().is_empty() || written.len() > LONGEST {
        return Err(format!("is blank or longer than {LONGEST} bytes; set an expression"));
    }
    // Alone, so that the error is about what is written, and brackets that close what is around it do not pass.
    let build = |text| {
        RegexBuilder::new(text)
            .case_insensitive(case == Case::Either)
            .size_limit(COMPILED)
            .build()
            .map_err(|error| format!("does not compile: {error}; see the syntax of the crate regex-lite"))
    };
    build(written).and_then(|regex| if text == written { Ok(regex) } else { build(text) })
}
