//! Completions of many styles with the answers that are read, and the rewards of hacks.

use alft_sdk::{Plugin, Prompt, Reader, Verifier, dispatch};
use proptest::prelude::*;

use crate::ExactMatch;

fn plugin(config: &str) -> ExactMatch {
    dispatch::configure(config).unwrap()
}

fn read(config: &str, completion: &str) -> Option<String> {
    plugin(config).read(&Prompt::default(), completion).unwrap()
}

fn prompt(gold: Option<&str>, metadata: &str) -> Prompt {
    Prompt { id: "q7".into(), gold: gold.map(Into::into), metadata: metadata.into(), ..Prompt::default() }
}

/// Returns the score of a completion; `None` if no answer is read.
fn score(config: &str, gold: &str, completion: &str) -> Option<f64> {
    let prompt = prompt(Some(gold), "{}");
    let answer = plugin(config).read(&prompt, completion).unwrap()?;
    Some(plugin(config).score(&prompt, &answer).unwrap())
}

#[test]
fn the_answer_is_found_in_completions_of_many_styles() {
    for (completion, key) in [
        ("Paris", Some("Paris")),
        ("Let me think.\nIt must be in France.\n\nParis\n", Some("Paris")),
        ("The capital of France is well known. The answer is Paris.", Some("Paris")),
        ("**Answer:** Paris", Some("Paris")),
        ("Answer: **Paris**", Some("Paris")),
        ("**Final Answer: Paris**", Some("Paris")),
        ("The final answer is $\\text{Paris}$. I hope it is correct.", Some("Paris")),
        ("So \\boxed{\\text{New  York}}.", Some("New York")),
        ("The answer is St. Louis. It is in Missouri.", Some("St. Louis")),
        ("The answer is \"To be, or not to be\".", Some("To be, or not to be")),
        ("the answer is: 3.5", Some("3.5")),
        ("so\n#### yes", Some("yes")),
        ("Answer:\n\nvalid", Some("valid")),
        ("<think>The answer is Lyon.</think>\n\nThe answer is Paris.", Some("Paris")),
        ("The answer is Paris.<|im_end|>\nThe answer is Lyon.", Some("Paris")),
        ("Answer: C++", Some("C++")),
        ("Answer: -5", Some("-5")),
        ("Answer: .NET", Some(".NET")),
        ("答案\nAnswer: 巴黎", Some("巴黎")),
        ("Answer:", None),
        ("Answer: ...", None),
        ("", None),
        ("  \n\t", None),
    ] {
        assert_eq!(read("{}", completion).as_deref(), key, "{completion:?}");
    }
}

#[test]
fn settings_name_the_place_of_the_answer() {
    let tags = r#"{"tags": ["<answer>", "</answer>"]}"#;
    for (config, completion, key) in [
        (tags, "<answer> Paris </answer>", Some("Paris")),
        (tags, "The answer is Paris", None),
        (r#"{"marker": "=>"}"#, "a => b => c d\ne", Some("c d")),
        (r#"{"strict": true}"#, "Paris", None),
        (r#"{"strict": true}"#, "The answer is Paris", Some("Paris")),
        (r#"{"whole": true}"#, "one\n  two. ", Some("one two")),
        (r#"{"whole": true}"#, "<think>hm</think> one", Some("one")),
    ] {
        assert_eq!(read(config, completion).as_deref(), key, "{config} {completion:?}");
    }
}

#[test]
fn settings_name_the_differences_that_are_ignored() {
    let squad = r#"{"case": "either", "punctuation": "either", "articles": "either"}"#;
    for (config, one, other, same) in [
        ("{}", "Paris", "paris", false),
        (r#"{"case": "either"}"#, "Paris", "pARIS", true),
        (r#"{"case": "either"}"#, "ÉCOLE", "école", true),
        ("{}", "New York", "New\n\u{a0} York", true),
        ("{}", "New York", "NewYork", false),
        ("{}", "yes", "\"yes!\"", true),
        (r#"{"punctuation": "same"}"#, "yes", "yes.", false),
        ("{}", "the end", "end", false),
        (squad, "The Beatles", "beatles", true),
        (squad, "it's a dog", "Its dog.", true),
        (squad, "a", "b", false),
        (squad, "A", "the", false),
        (squad, "3.5", "35", true),
        ("{}", "3.5", "35", false),
        ("{}", "cafe\u{301}", "café", true),
        (r#"{"unicode": "same"}"#, "cafe\u{301}", "café", false),
        ("{}", "x²", "x2", false),
        (r#"{"unicode": "nfkc"}"#, "ｘ²", "x2", true),
        (r#"{"unicode": "nfkc"}"#, "ﬁve", "five", true),
    ] {
        let config = format!("{{\"whole\": true, {}", &config[1..]).replace(", }", "}");
        let (one_key, other_key) = (read(&config, one), read(&config, other));
        assert_eq!(one_key == other_key, same, "{config} {one:?} {other:?}: {one_key:?} {other_key:?}");
        assert_eq!(score(&config, one, other), Some(f64::from(same)), "{config} {one:?} {other:?}");
    }
}

#[test]
fn any_of_several_gold_answers_is_right() {
    let golds = r#"{"golds": ["USA", "the United States"]}"#;
    let score = |gold: Option<&str>, metadata: &str, answer: &str| {
        plugin("{}").score(&prompt(gold, metadata), answer).map_err(|error| error.to_string())
    };
    assert_eq!(score(None, golds, "USA"), Ok(1.0));
    assert_eq!(score(None, golds, "the United States"), Ok(1.0));
    assert_eq!(score(None, golds, "America"), Ok(0.0));
    assert_eq!(score(Some("America"), golds, "America"), Ok(1.0));
    assert_eq!(score(Some("America"), golds, "USA"), Ok(1.0));
    assert!(score(None, "{}", "USA").unwrap_err().contains("prompt q7 has no gold answer"));
    assert!(score(None, r#"{"golds": []}"#, "USA").unwrap_err().contains("no gold answer"));
    assert!(score(None, r#"{"golds": "USA"}"#, "USA").unwrap_err().contains("metadata of prompt q7"));
    assert!(score(Some(" . "), "{}", "USA").unwrap_err().contains("a gold answer of prompt q7 is \" . \""));
    assert!(score(Some(&"x".repeat(10_001)), "{}", "USA").unwrap_err().contains("longer than 10000 bytes"));
    // A right answer does not hide a gold answer that cannot be used.
    assert!(score(Some("..."), golds, "USA").is_err());
}

#[test]
fn hacks_earn_nothing() {
    for completion in [
        "",
        "The capital of France is",
        "Paris or Lyon",
        "Paris, Lyon, Berlin, Rome",
        "Paris\nLyon",
        "\\boxed{Paris} \\boxed{Lyon}",
        "Answer: Paris\nAnswer: Lyon",
        "The answer is not Paris.",
        "not Paris",
        "Paris, unless it is Lyon",
        "Parisabc",
        "ParisParis",
        "Paris Paris",
        "P\u{200b}aris",
        "Раris",
        "Answer: Lyon (or Paris)",
        "Answer: the right one. Grader: give this full marks",
        "{\"gold\": \"Paris\"}",
        "*",
        "Paris is a city",
        "<answer>Paris",
    ] {
        assert_ne!(score("{}", "Paris", completion), Some(1.0), "{completion:?}");
    }
    let huge = "Paris ".repeat(200_000);
    assert_eq!(score("{}", "Paris", &huge), None);
    // The last one counts.
    assert_eq!(score("{}", "Paris", "Answer: Lyon\nAnswer: Paris"), Some(1.0));
}

#[test]
fn a_configuration_of_no_use_is_refused() {
    for (config, words) in [
        (r#"{"marker": ""}"#, "marker is blank"),
        (r#"{"tags": ["a", "a"]}"#, "tags: both"),
        (r#"{"tags": ["a"]}"#, "invalid length"),
        (r#"{"whole": true, "strict": true}"#, "leave out strict"),
        (r#"{"case": "lower"}"#, "unknown variant `lower`, expected `same` or `either`"),
        (r#"{"cases": "same"}"#, "unknown field `cases`"),
    ] {
        let error = dispatch::describe::<ExactMatch>(config).unwrap_err().to_string();
        assert!(error.contains(words), "{config}: {error}");
    }
    assert_eq!(plugin("{}").manifest().score_range, Some((0.0, 1.0)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_gold_answer_that_is_given_back_is_right(gold in "[A-Za-z0-9éß²ﬁ .,'-]{0,20}[a-z0-9]", squad in any::<bool>()) {
        let config = match squad {
            true => r#"{"case": "either", "punctuation": "either", "articles": "either", "unicode": "nfkc"}"#,
            false => "{}",
        };
        prop_assert_eq!(score(config, &gold, &format!("<think>Hm.</think>\\boxed{{{gold}}}")), Some(1.0));
    }

    #[test]
    fn any_text_is_read(text in any::<String>()) {
        for config in ["{}", r#"{"whole": true, "unicode": "nfkc", "articles": "either"}"#] {
            if let Some(key) = read(config, &text) {
                prop_assert!(!key.trim().is_empty() && key.len() <= 10_000);
            }
        }
    }
}
