//! Format: a completion scores 1 if it consists of the tagged sections in order, by default
//! `<think>…</think><answer>…</answer>`, and 0 otherwise.
//!
//! Each tag must occur exactly once, and each section must have content, so neither empty nor repeated tags earn anything.
//! The grader does not judge the content: it pays for a section that holds one word.

use alft_sdk::serde::Deserialize;
use alft_sdk::{Grader, Manifest, Plugin, Prompt, Result, export, manifest};

/// The plugin's table in the run file.
#[derive(Debug, Deserialize)]
#[serde(crate = "alft_sdk::serde", deny_unknown_fields)]
pub struct Format {
    /// Opening and closing tag of each section, in order.
    #[serde(default = "tags")]
    pub tags: Vec<[String; 2]>,
    /// Allows nothing but white space outside the sections.
    #[serde(default = "strict")]
    pub strict: bool,
    /// Score for each tag that occurs exactly once, in a completion that is not well formed. Less than 1 / number of tags.
    #[serde(default)]
    pub tag_credit: f64,
}

fn tags() -> Vec<[String; 2]> {
    vec![["<think>", "</think>"].map(Into::into), ["<answer>", "</answer>"].map(Into::into)]
}

fn strict() -> bool {
    true
}

impl Plugin for Format {
    fn manifest(&self) -> Manifest {
        Manifest {
            score_range: Some((0.0, 1.0)),
            ..manifest!("Scores 1 for a completion of tagged sections in order, such as reasoning and answer.")
        }
    }

    fn check(&self) -> Result<()> {
        let tags: Vec<&String> = self.tags.iter().flatten().collect();
        if tags.is_empty() {
            return Err("tags is empty; list the opening and closing tag of each section".into());
        }
        for (at, tag) in tags.iter().enumerate() {
            let contained = |(other, text): (usize, &&String)| other != at && text.contains(tag.as_str());
            if tag.trim().is_empty() || tags.iter().enumerate().any(contained) {
                return Err(format!("tags: \"{tag}\" is blank or part of another tag; make every tag unique").into());
            }
        }
        let most = 1.0 / tags.len() as f64;
        if !(0.0..most).contains(&self.tag_credit) {
            let (credit, count) = (self.tag_credit, tags.len());
            return Err(
                format!("tag_credit is {credit}; with {count} tags it must be at least 0 and below {most}").into()
            );
        }
        Ok(())
    }
}

impl Grader for Format {
    fn grade(&self, _: &Prompt, completion: &str) -> Result<f64> {
        if self.is_well_formed(completion) {
            return Ok(1.0);
        }
        let once = self.tags.iter().flatten().filter(|tag| occurs_once(completion, tag)).count();
        Ok(self.tag_credit * once as f64)
    }
}

impl Format {
    fn is_well_formed(&self, completion: &str) -> bool {
        if !self.tags.iter().flatten().all(|tag| occurs_once(completion, tag)) {
            return false;
        }
        let outside = |text: &str| !self.strict || text.trim().is_empty();
        let mut rest = completion;
        for [open, close] in &self.tags {
            let Some((before, after)) = rest.split_once(open.as_str()) else { return false };
            let Some((content, after)) = after.split_once(close.as_str()) else { return false };
            if !outside(before) || content.trim().is_empty() {
                return false;
            }
            rest = after;
        }
        outside(rest)
    }
}

fn occurs_once(text: &str, tag: &str) -> bool {
    text.matches(tag).take(2).count() == 1
}

export!(Format: Grader);

#[cfg(test)]
alft_conformance::conformance!(Format: Grader);

#[cfg(test)]
mod tests {
    use alft_sdk::call::PromptTexts;
    use alft_sdk::{dispatch, roles};

    use super::*;

    fn grade(config: &str, completion: &str) -> f64 {
        let batch = [PromptTexts { prompt: Prompt::default(), texts: vec![completion.into()] }];
        dispatch::call::<Format, roles::Grade>(config, &batch).unwrap()[0][0]
    }

    #[test]
    fn sections_in_order_score_1() {
        for completion in [
            "<think>1 + 1</think><answer>2</answer>",
            " <think>\n1 + 1\n</think>\n\n<answer> 2 </answer>\n",
            "<think>is 1 < 2?</think><answer><b>yes</b></answer>",
        ] {
            assert_eq!(grade("{}", completion), 1.0, "{completion}");
        }
    }

    #[test]
    fn everything_else_scores_0() {
        for completion in [
            "",
            "2",
            "<think>1 + 1</think>",
            "<think></think><answer>2</answer>",
            "<think>1 + 1</think><answer> \n</answer>",
            "<answer>2</answer><think>1 + 1</think>",
            "<think>1 + 1<answer>2</answer></think>",
            "<think>1 + 1</think><answer>2</answer><answer>3</answer>",
            "<think><think>1 + 1</think></think><answer>2</answer>",
            "<think>1 + 1</think><answer>2",
            "</think>1 + 1<think></answer>2<answer>",
            "<think>1 + 1</think>so<answer>2</answer>",
            "<think>1 + 1</think><answer>2</answer> Done.",
        ] {
            assert_eq!(grade("{}", completion), 0.0, "{completion}");
        }
    }

    #[test]
    fn text_outside_the_sections_can_be_allowed() {
        let config = r#"{"strict": false}"#;
        assert_eq!(grade(config, "So: <think>1 + 1</think> then <answer>2</answer> Done."), 1.0);
        assert_eq!(grade(config, "<think>1 + 1<answer>2</answer></think>"), 0.0);
    }

    #[test]
    fn tags_that_occur_once_can_earn_partial_credit() {
        let config = r#"{"tag_credit": 0.125}"#;
        assert_eq!(grade(config, "<think>1 + 1</think><answer>2"), 0.375);
        assert_eq!(grade(config, "<think><think>1 + 1</think>"), 0.125);
        assert_eq!(grade(config, "<think>1 + 1</think><answer>2</answer>"), 1.0);
    }

    #[test]
    fn other_sections_can_be_named() {
        let config = r#"{"tags": [["[plan]", "[/plan]"], ["[code]", "[/code]"], ["[test]", "[/test]"]]}"#;
        assert_eq!(grade(config, "[plan]a[/plan][code]b[/code][test]c[/test]"), 1.0);
        assert_eq!(grade(config, "[plan]a[/plan][test]c[/test][code]b[/code]"), 0.0);
    }

    #[test]
    fn a_useless_configuration_is_refused() {
        for (config, words) in [
            (r#"{"tags": []}"#, "tags is empty"),
            (r#"{"tags": [["<a>", "<a>"]]}"#, "unique"),
            (r#"{"tags": [["a", "<a>"]]}"#, "part of another"),
            (r#"{"tags": [["<a>", " "]]}"#, "blank"),
            (r#"{"tag_credit": 0.25}"#, "below 0.25"),
            (r#"{"tag_credit": -1}"#, "at least 0"),
        ] {
            let error = dispatch::describe::<Format>(config).unwrap_err().to_string();
            assert!(error.contains(words), "{config}: {error}");
        }
    }
}
