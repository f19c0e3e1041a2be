//! Reads the content of the last `\boxed{…}` of a completion, the usual form of answers in mathematics. Braces may be nested.
//!
//! The key has no white space: `\boxed{ \frac{1}{2} }` and `\boxed{\frac{1}{2}}` are the same answer.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, export, manifest};

/// No configuration.
#[derive(Debug, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Boxed {}

impl Plugin for Boxed {
    fn manifest(&self) -> Manifest {
        manifest!("Reads the content of the last \\boxed{...}.")
    }
}

impl Reader for Boxed {
    fn read(&self, _: &Prompt, completion: &str) -> Result<Option<String>> {
        let after = completion.rsplit_once(r"\boxed{").map(|(_, after)| after);
        let content = after.and_then(|after| Some(&after[..closing(after)?]));
        let key: Option<String> = content.map(|content| content.chars().filter(|c| !c.is_whitespace()).collect());
        Ok(key.filter(|key| !key.is_empty()))
    }
}

/// Returns the index of the brace that closes a brace before the text.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 1;
    let braces = text.char_indices().filter(|(_, c)| matches!(c, '{' | '}'));
    for (at, brace) in braces {
        depth += if brace == '{' { 1 } else { -1 };
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

export!(Boxed: Reader);

#[cfg(test)]
alft_conformance::conformance!(Boxed: Reader);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_is_the_answer() {
        for (completion, key) in [
            (r"so \boxed{\frac{1}{2}}.", Some(r"\frac{1}{2}")),
            (r"\boxed{1}, no: \boxed{ 2 }", Some("2")),
            (r"\boxed{\text{a {nested} set}}", Some(r"\text{a{nested}set}")),
            (r"\boxed{1", None),
            (r"\boxed{ }", None),
            ("1", None),
        ] {
            assert_eq!(Boxed {}.read(&Prompt::default(), completion).unwrap().as_deref(), key, "{completion}");
        }
    }
}
