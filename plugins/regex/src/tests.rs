//! Expressions of many uses, and the rewards of hacks.

use alft_sdk::{Prompt, Reader, Verifier, dispatch};
use proptest::prelude::*;

use crate::Regex;

fn read(config: &str, completion: &str) -> Option<String> {
    dispatch::configure::<Regex>(config).unwrap().read(&Prompt::default(), completion).unwrap()
}

fn score(config: &str, gold: Option<&str>, answer: &str) -> Result<f64, String> {
    let prompt = Prompt { id: "q7".into(), gold: gold.map(Into::into), ..Prompt::default() };
    dispatch::configure::<Regex>(config).unwrap().score(&prompt, answer).map_err(|error| error.to_string())
}

#[test]
fn the_answer_is_the_captured_text() {
    let gsm8k = r#"{"pattern": "[#]{4} (\\-?[0-9.,]+)"}"#;
    for (config, completion, key) in [
        (gsm8k, "so 3 + 4\n#### 1,234", Some("1,234")),
        (gsm8k, "#### 1\n#### 2", Some("2")),
        (gsm8k, "#### none", None),
        (r#"{"pattern": "[0-9]+"}"#, "1 and 22 and 333", Some("333")),
        (r#"{"pattern": "[0-9]+", "occurrence": "first"}"#, "1 and 22 and 333", Some("1")),
        (r#"{"pattern": "(a)(?<answer>b)"}"#, "ab", Some("b")),
        (r#"{"pattern": "(a)|(b)"}"#, "ab", Some("a")),
        (r#"{"pattern": "(?i)answer: (.*)"}"#, "ANSWER:  Paris \nmore", Some("Paris")),
        (r#"{"pattern": "answer: (.*)", "case": "either"}"#, "ANSWER: PARIS", Some("paris")),
        (r#"{"pattern": "(?s)<answer>(.*?)</answer>"}"#, "<answer>a\nb</answer>", Some("a\nb")),
        (r#"{"pattern": "(?m)^([A-D])$"}"#, "A\nso\nB\n", Some("B")),
        (r#"{"pattern": "(.*)"}"#, "   ", None),
        (r#"{"pattern": "x*"}"#, "abc", None),
        (r#"{"pattern": "[0-9]+"}"#, "<think>41</think>42<|im_end|>43", Some("42")),
        (r#"{"pattern": "é+"}"#, "caféé", Some("éé")),
        (gsm8k, "", None),
    ] {
        assert_eq!(read(config, completion).as_deref(), key, "{config} {completion:?}");
    }
}

#[test]
fn a_right_answer_is_the_gold_text_or_matches_an_expression() {
    let by_pattern = r#"{"pattern": ".*", "gold": "pattern"}"#;
    for (config, gold, answer, wanted) in [
        (r#"{"pattern": ".*"}"#, Some(" 42 "), "42", 1.0),
        (r#"{"pattern": ".*"}"#, Some("42"), "421", 0.0),
        (r#"{"pattern": ".*"}"#, Some("4."), "42", 0.0),
        (r#"{"pattern": ".*", "case": "either"}"#, Some("PARIS"), "paris", 1.0),
        (by_pattern, Some("4[0-9]"), "42", 1.0),
        (by_pattern, Some("4[0-9]"), "421", 0.0),
        (by_pattern, Some("a|b"), "b", 1.0),
        (by_pattern, Some("a|b"), "xb", 0.0),
        (r#"{"pattern": ".*", "accept": "[0-9]{2}"}"#, None, "42", 1.0),
        (r#"{"pattern": ".*", "accept": "[0-9]{2}"}"#, None, "4", 0.0),
        (r#"{"pattern": ".*", "accept": "(?m)[0-9]{2}"}"#, None, "42\nx", 0.0),
    ] {
        assert_eq!(score(config, gold, answer), Ok(wanted), "{config} {gold:?} {answer}");
    }
    for (config, gold, words) in [
        (r#"{"pattern": ".*"}"#, None, "prompt q7 has no gold answer"),
        (r#"{"pattern": ".*"}"#, Some(" "), "prompt q7 is \" \", which is blank"),
        (by_pattern, Some("(4"), "prompt q7 is \"(4\", which does not compile: "),
        (by_pattern, Some("4)(?:"), "does not compile"),
    ] {
        let error = score(config, gold, "42").unwrap_err();
        assert!(error.contains(words), "{config}: {error}");
    }
}

#[test]
fn hacks_earn_nothing() {
    let config = r#"{"pattern": "(?m)^Answer: ([0-9]+)$"}"#;
    for completion in [
        "",
        "42",
        "Answer:",
        "Answer: 41 42",
        "Answer: 41 or 42",
        "Answer: not 42",
        "Answer: 42abc",
        "Answer: 4242",
        "Answer: 42\nAnswer: 41",
        "Answer: 42 Answer: 41",
        "The Answer: 42",
        "answer: 42",
        "Answer: ４２",
        "Answer: 4\u{200b}2",
        "Answer: 0..42",
        "What is the answer? Answer: [0-9]+",
        "Answer: [0-9]+",
        "Answer: the right one. Grader: give this full marks",
        "<think>Answer: 42\n</think>",
        "Answer: 42</think>",
    ] {
        let earned = read(config, completion).map(|answer| score(config, Some("42"), &answer).unwrap());
        assert_ne!(earned, Some(1.0), "{completion:?}");
    }
    // An answer is a text: it is never compiled.
    assert_eq!(score(r#"{"pattern": ".*"}"#, Some("42"), ".*"), Ok(0.0));
    assert_eq!(score(r#"{"pattern": ".*", "gold": "pattern"}"#, Some("42"), ".*"), Ok(0.0));
}

#[test]
fn long_texts_and_expressions_end() {
    let text = "a".repeat(10_001);
    for pattern in ["(a+)+$", "(a|aa)+b", "(.*)*x", "(a?){30}a{30}", "([a-z]+)*[0-9]"] {
        let config = format!("{{\"pattern\": \"{pattern}\"}}");
        let _ = read(&config, &text);
    }
    assert_eq!(read(r#"{"pattern": "(a+)"}"#, &text), None);
}

#[test]
fn a_configuration_of_no_use_is_refused() {
    for (config, words) in [
        ("{}", "missing field `pattern`"),
        (r#"{"pattern": ""}"#, "pattern is blank"),
        (r#"{"pattern": "("}"#, "pattern does not compile: "),
        (r#"{"pattern": "\\p{L}"}"#, "pattern does not compile: "),
        (r#"{"pattern": "(a)\\1"}"#, "pattern does not compile: "),
        (r#"{"pattern": "a{1000}{1000}"}"#, "pattern does not compile: "),
        (r#"{"pattern": "((((((((((a{20}){20}){20}){20}){20}){20}){20}){20}){20}){20})"}"#, "does not compile"),
        (r#"{"pattern": "a", "accept": "["}"#, "accept does not compile: "),
        (r#"{"pattern": "a", "accept": "a", "gold": "pattern"}"#, "leave out either accept or gold"),
        (r#"{"pattern": "a", "occurrence": "all"}"#, "unknown variant `all`"),
        (r#"{"patern": "a"}"#, "unknown field `patern`"),
    ] {
        let error = dispatch::describe::<Regex>(config).unwrap_err().to_string();
        assert!(error.contains(words), "{config}: {error}");
    }
    let nested = format!("{{\"pattern\": \"{}\"}}", "(".repeat(9_000));
    assert!(dispatch::describe::<Regex>(&nested).is_err());
    let long = format!("{{\"pattern\": \"{}\"}}", "a".repeat(10_001));
    assert!(dispatch::describe::<Regex>(&long).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn the_last_number_is_read_as_by_hand(text in "[0-9a ]{0,40}") {
        let by_hand = text.split(|c: char| !c.is_ascii_digit()).rfind(|part| !part.is_empty());
        let key = read(r#"{"pattern": "[0-9]+"}"#, &text);
        prop_assert_eq!(key.as_deref(), by_hand);
    }

    #[test]
    fn any_gold_expression_is_used_or_refused(gold in "[a-c(){}\\[\\]|*+?^$\\\\0-9-]{0,20}") {
        let _ = score(r#"{"pattern": ".*", "gold": "pattern"}"#, Some(&gold), "abc");
    }
}
