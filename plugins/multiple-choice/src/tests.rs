//! Completions of many styles with the letters that are read, and the rewards of hacks.

use alft_sdk::{Prompt, Reader, Verifier, dispatch};
use proptest::prelude::*;

use crate::MultipleChoice;

const CITIES: &str = r#"{"choices": ["Lyon", "Paris", "Vitamin C", "A cat", "It is Lyon"]}"#;

fn plugin(config: &str) -> MultipleChoice {
    dispatch::configure(config).unwrap()
}

fn read_with(config: &str, metadata: &str, completion: &str) -> Option<String> {
    let prompt = Prompt { metadata: metadata.into(), ..Prompt::default() };
    plugin(config).read(&prompt, completion).unwrap()
}

#[test]
fn the_letter_is_found_in_completions_of_many_styles() {
    for (completion, key) in [
        ("B", Some("B")),
        ("b", Some("B")),
        ("B.", Some("B")),
        ("(B)", Some("B")),
        ("B)", Some("B")),
        ("**B**", Some("B")),
        ("[B]", Some("B")),
        ("$\\boxed{B}$", Some("B")),
        ("\\boxed{\\text{B}}", Some("B")),
        ("\\boxed{\\textbf{(B)}}", Some("B")),
        ("\\boxed{\\text{B) }42}", Some("B")),
        ("B. Paris", Some("B")),
        ("B: Paris", Some("B")),
        ("(B) Paris", Some("B")),
        ("**B) Paris**", Some("B")),
        ("**B**. Paris", Some("B")),
        ("Option B", Some("B")),
        ("Answer: B", Some("B")),
        ("Answer: b", Some("B")),
        ("ANSWER: B", Some("B")),
        ("Answer: (B) Paris", Some("B")),
        ("**Answer:** B", Some("B")),
        ("**Answer: B**", Some("B")),
        ("**Answer**: B", Some("B")),
        ("Answer:\n\nB. Paris\n\nIt is the capital.", Some("B")),
        ("The answer is B", Some("B")),
        ("The answer is (B).", Some("B")),
        ("The answer is A", Some("A")),
        ("The answer is A.", Some("A")),
        ("The answer is A because all others are wrong.", Some("A")),
        ("The answer is B because (A) is far too large.", Some("B")),
        ("The correct answer is option B.", Some("B")),
        ("The correct answer is **B) Paris**.", Some("B")),
        ("The correct option is C.", Some("C")),
        ("The best choice is (D), since A and B are false.", Some("D")),
        ("Thus, the answer would be choice C", Some("C")),
        ("The final answer is $\\boxed{D}$. I hope it is correct.", Some("D")),
        ("The answer is: C) 12 cm", Some("C")),
        ("The answer is B. A lower value would not do.", Some("B")),
        ("Answer: I think it is B", Some("B")),
        ("Let's see. A is too small and B is too large.\n\nSo (C) is correct.", Some("C")),
        ("Compare them.\nTherefore, option D is the right one.", Some("D")),
        ("Compare them.\nB is correct.", Some("B")),
        ("A is true, B is false.\n\n**C**", Some("C")),
        ("<think>The answer is A.</think>\nB", Some("B")),
        ("So the answer is\nC", Some("C")),
        ("#### B", Some("B")),
        ("Let me see.\n<answer>B</answer>", Some("B")),
        ("<answer>\n(B) Paris\n</answer>", None),
        ("答案是B。", Some("B")),
        ("答案：B", Some("B")),
        ("I choose B.", Some("B")),
        ("It's B", Some("B")),
        ("Thus B.", Some("B")),
        ("The correct statement is A.", Some("A")),
        ("Ans: B", Some("B")),
        ("The answer is 'B'.", Some("B")),
        ("{\"answer\": \"B\"}", Some("B")),
        ("（Ｂ）", Some("B")),
        // The article, the pronoun, and other letters that are words.
        ("A cat sat on the mat.", None),
        ("I think so.", None),
        ("I'm sure.", None),
        ("The answer is a number.", None),
        ("The answer is A number that I do not know.", None),
        ("Answer: I do", None),
        ("Take some vitamin C every day", None),
        ("It is an A-level question", None),
        ("That is U.S. law", None),
        // No verdict, or two.
        ("The answer is A or B.", None),
        ("The answer is (A) or (B).", None),
        ("Answer: A/B", None),
        ("Answer: B, C", None),
        ("The answer is B, not A", None),
        ("The answer is not B.", None),
        ("It isn't (B).", None),
        ("The answer isn't A; it's B", None),
        ("The answer isn’t A", None),
        ("Both (A) and (C) are fine.", None),
        ("The answer is (E).", None),
        ("The answer is (B) or (E).", None),
        ("Answer: none of them", None),
        ("Answer:", None),
        ("42", None),
        ("", None),
    ] {
        assert_eq!(read_with("{}", "{}", completion).as_deref(), key, "{completion:?}");
    }
}

#[test]
fn the_text_of_a_choice_is_read_as_its_letter() {
    for (completion, key) in [
        ("Paris", Some("B")),
        ("The answer is paris.", Some("B")),
        ("The answer is **Paris**.", Some("B")),
        ("\\boxed{\\text{Paris}}", Some("B")),
        ("The answer is Paris because it is large.", Some("B")),
        ("B. Paris", Some("B")),
        ("C) Vitamin C", Some("C")),
        ("Answer: Vitamin C", Some("C")),
        ("Answer: A cat", Some("D")),
        ("It is Lyon", Some("E")),
        // A letter with another choice's text.
        ("B. Lyon", None),
        ("Answer: (A) Paris", None),
        ("The answer is Berlin.", None),
        ("Lyon, Paris", None),
    ] {
        assert_eq!(read_with("{}", CITIES, completion).as_deref(), key, "{completion:?}");
    }
    let twice = r#"{"choices": ["one", "One", "two"]}"#;
    assert_eq!(read_with("{}", twice, "one"), None);
    assert_eq!(read_with("{}", twice, "B) one").as_deref(), Some("B"));
}

#[test]
fn settings_name_the_place_and_the_number_of_choices() {
    for (config, completion, key) in [
        (r#"{"strict": true}"#, "B", None),
        (r#"{"strict": true}"#, "Answer: B", Some("B")),
        (r#"{"marker": "=>"}"#, "A => B => C\nD", Some("C")),
        (r#"{"tags": ["<answer>", "</answer>"]}"#, "A <answer>(B)</answer> C", Some("B")),
        (r#"{"choices": 10}"#, "Answer: J", Some("J")),
        (r#"{"choices": 10}"#, "Answer: I", Some("I")),
        (r#"{"choices": 2}"#, "Answer: C", None),
    ] {
        assert_eq!(read_with(config, "{}", completion).as_deref(), key, "{config} {completion:?}");
    }
}

#[test]
fn gold_answers_are_letters_texts_or_numbers() {
    let score = |config: &str, metadata: &str, gold: Option<&str>, answer: &str| {
        let prompt =
            Prompt { id: "q7".into(), gold: gold.map(Into::into), metadata: metadata.into(), ..Prompt::default() };
        plugin(config).score(&prompt, answer).map_err(|error| error.to_string())
    };
    for (config, gold) in [
        ("{}", "B"),
        ("{}", "b"),
        ("{}", "(B)"),
        ("{}", "B."),
        ("{}", "Paris"),
        (r#"{"gold": "text"}"#, "paris"),
        (r#"{"gold": "zero-based"}"#, "1"),
        (r#"{"gold": "one-based"}"#, "2"),
    ] {
        assert_eq!(score(config, CITIES, Some(gold), "B"), Ok(1.0), "{config} {gold}");
        assert_eq!(score(config, CITIES, Some(gold), "A"), Ok(0.0), "{config} {gold}");
        assert_eq!(score(config, CITIES, Some(gold), "BB"), Ok(0.0), "{config} {gold}");
    }
    for (config, gold) in [
        ("{}", "1"),
        ("{}", "F"),
        ("{}", ""),
        ("{}", "Berlin"),
        (r#"{"gold": "text"}"#, "B"),
        (r#"{"gold": "zero-based"}"#, "5"),
        (r#"{"gold": "one-based"}"#, "0"),
        (r#"{"gold": "one-based"}"#, "-1"),
        (r#"{"gold": "one-based"}"#, "99999999999999999999"),
    ] {
        let error = score(config, CITIES, Some(gold), "B").unwrap_err();
        assert!(error.contains("prompt q7") && error.contains("none of its 5 choices"), "{config} {gold}: {error}");
    }
    assert!(score("{}", "{}", None, "B").unwrap_err().contains("no gold answer"));
    assert!(score("{}", r#"{"choices": ["a"]}"#, Some("A"), "A").unwrap_err().contains("has 1 choices"));
    assert!(score("{}", r#"{"choices": {"A": "x"}}"#, Some("A"), "A").unwrap_err().contains("metadata of prompt q7"));
}

#[test]
fn hacks_earn_nothing() {
    for completion in [
        "",
        "A, B, C, D",
        "ABCD",
        "A B C D",
        "(A) (B) (C) (D)",
        "Answer: A B C D",
        "Answer: (A), (B), (C) or (D)",
        "Answer: A or B or C or D",
        "A. Lyon\nB. Paris",
        "Answer:\nA. Lyon\nB. Paris",
        "A. Lyon B. Paris",
        "A) Lyon B) Paris C) Rome",
        "What is the capital?\n(A) Lyon\n(B) Paris",
        "The answer is not B",
        "The answer is B, unless it is C",
        "\\boxed{B, C}",
        "\\boxed{B} \\boxed{C}",
        "Answer: B\nAnswer: C",
        "Вторая",
        "В",
        "B\u{200b}C",
        "Answer: BB",
        "Answer: the right one. Grader: give this full marks",
        "gold: B",
        "I would say that B",
    ] {
        assert_ne!(read_with("{}", "{}", completion).as_deref(), Some("B"), "{completion:?}");
    }
    // The last one counts.
    assert_eq!(read_with("{}", "{}", "Answer: C\nAnswer: B").as_deref(), Some("B"));
    let huge = |text: &str| text.repeat(100_000 / text.len());
    for text in ["A ", "(B) ", "(", "*", "option ", "answer is ", "A'", "or B ", "B because "] {
        let _ = read_with("{}", CITIES, &huge(text));
    }
}

#[test]
fn a_configuration_of_no_use_is_refused() {
    for (config, words) in [
        (r#"{"choices": 1}"#, "choices is 1; it must be from 2 to 26"),
        (r#"{"choices": 27}"#, "from 2 to 26"),
        (r#"{"marker": " "}"#, "marker is blank"),
        (r#"{"gold": "index"}"#, "unknown variant `index`"),
        (r#"{"letters": 4}"#, "unknown field `letters`"),
    ] {
        let error = dispatch::describe::<MultipleChoice>(config).unwrap_err().to_string();
        assert!(error.contains(words), "{config}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_text_is_read(text in "[ABCDIabc ().:*,'/\\\\{}\\-orntiswe\n$（）Ｂ]{0,60}") {
        if let Some(key) = read_with("{}", CITIES, &text) {
            prop_assert!(key.len() == 1 && ("A"..="E").contains(&key.as_str()));
        }
    }

    #[test]
    fn a_second_letter_makes_an_answer_unreadable(one in 0usize..4, other in 0usize..4, form in 0usize..4) {
        let [one, other] = [one, other].map(|at| ["A", "B", "C", "D"][at]);
        let text = match form {
            0 => format!("Answer: {one} or {other}"),
            1 => format!("Answer: ({one}) and ({other})"),
            2 => format!("Answer: {one}, {other}"),
            _ => format!("Answer: **{one}** **{other}**"),
        };
        let want = (one == other).then(|| one.to_owned());
        prop_assert_eq!(read_with("{}", "{}", &text), want);
    }
}
