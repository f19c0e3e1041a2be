//! Reads the last `\boxed{…}` of a completion, braces within braces and all, as mathematics is usually answered.
//!
//! Spaces are left out of the key: `\boxed{ \frac{1}{2} }` and `\boxed{\frac{1}{2}}` are one answer.

use alft_sdk::{Manifest, Plugin, Prompt, Reader, Result, export, manifest};

/// Nothing to configure.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Boxed {}

impl Plugin for Boxed {
    fn manifest(&self) -> Manifest {
        manifest!("The content of the last \\boxed{...}.")
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

/// Where the brace stands that closes one opened before the text.
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
