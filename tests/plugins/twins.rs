//! One source gives the same bits linked in, as a library and as a component.

use alft_build::Form;
use alft_sdk::{dispatch, roles};

use crate::support::{FORMS, bits, entry, evaluate, grade, open, random_bundles, read, score};

#[test]
fn entropy_has_identical_bits_in_every_form_on_1000_bundles() {
    let bundles = random_bundles(1000, 1);
    let linked = dispatch::call::<alft_entropy::Entropy, roles::Evaluate>("{}", &bundles).unwrap();
    for form in FORMS {
        let result = evaluate(&open("entropy", form, "{}"), &bundles);
        assert!(result.usage.calls < 10, "a call has as many bundles as `limits.batch_bytes` allows");
        for (at, (loaded, linked)) in result.items.iter().zip(&linked).enumerate() {
            assert_eq!(bits(loaded.as_ref().unwrap()), bits(linked), "bundle {at} as a {form}");
        }
    }
}

#[test]
fn coherence_has_identical_bits_in_every_form() {
    let bundles = random_bundles(200, 2);
    for config in [r#"{"consensus": "arithmetic"}"#, r#"{"consensus": "geometric"}"#] {
        let linked = dispatch::call::<alft_coherence::Coherence, roles::Evaluate>(config, &bundles).unwrap();
        for form in FORMS {
            let result = evaluate(&open("coherence", form, config), &bundles);
            for (loaded, linked) in result.items.iter().zip(&linked) {
                assert_eq!(bits(loaded.as_ref().unwrap()), bits(linked), "{config} as a {form}");
            }
        }
    }
}

#[test]
fn scores_multipliers_and_violations_cross_in_every_form() {
    let mut bundles = random_bundles(100, 4);
    for (at, bundle) in bundles.iter_mut().enumerate() {
        bundle.verifiers = vec!["right".into(), "unsafe".into()];
        bundle.multiplier = at as f64 / 7.0;
        for answer in bundle.groups.iter_mut().flat_map(|group| &mut group.answers) {
            answer.scores = vec![0.5, f64::from(answer.count) / 3.0];
        }
    }
    let config = r#"{"verifier": "unsafe", "limit": 0.1}"#;
    let linked = dispatch::call::<alft_constraint::Constraint, roles::Evaluate>(config, &bundles).unwrap();
    assert!(linked.iter().all(|valuation| valuation.violation.is_some()));
    assert!(linked[9].rewards.iter().flatten().all(|reward| *reward < 0.0), "{:?}", linked[9]);
    for form in FORMS {
        let result = evaluate(&open("constraint", form, config), &bundles);
        for (loaded, linked) in result.items.iter().zip(&linked) {
            assert_eq!(bits(loaded.as_ref().unwrap()), bits(linked), "as a {form}");
        }
    }
    bundles[0].verifiers.pop();
    let refused = evaluate(&open("constraint", Form::Native, config), &bundles[..1]);
    assert!(refused.items[0].is_err() && refused.calls.is_empty(), "more scores than verifiers");
}

#[test]
fn arithmetic_reads_and_scores_alike_in_every_form() {
    let texts = ["so $12.50.", "no number", "", "12,5", "= −12.5", "世界 50/4", "٣"];
    let batch = [entry(Some("25/2"), &texts), entry(Some("25/2"), &[])];
    let keys = dispatch::call::<alft_arithmetic::Arithmetic, roles::Read>("{}", &batch).unwrap();
    let answers: Vec<&str> = keys[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(answers, ["25/2", "5", "-25/2", "25/2"]);
    let answers = [entry(Some("25/2"), &answers)];
    for form in FORMS {
        let plugin = open("arithmetic", form, "{}");
        let read: Vec<_> = read(&plugin, &batch).items.into_iter().map(Result::unwrap).collect();
        assert_eq!(read, keys[0], "as a {form}");
        let scores: Vec<f64> = score(&plugin, &answers).items.into_iter().map(Result::unwrap).collect();
        assert_eq!(scores, [1.0, 0.0, 0.0, 1.0], "as a {form}");
    }
}

#[test]
fn graders_score_alike_in_every_form() {
    let texts = ["<think>1 + 1</think> <answer>2</answer>", "<think>世界", "", "a b c d e f g h i j"];
    let batch = [entry(Some("2"), &texts), entry(None, &[]), entry(None, &["<answer>٣</answer>"])];
    for (name, config, wanted) in [
        ("format", r#"{"tag_credit": 0.125}"#, [1.0, 0.125, 0.0, 0.0, 0.25]),
        ("length", r#"{"max": 12, "buffer": 8, "unit": "words"}"#, [0.0, 0.0, 0.0, -0.75, 0.0]),
    ] {
        for form in FORMS {
            let result = grade(&open(name, form, config), &batch);
            let scores: Vec<f64> = result.items.into_iter().map(Result::unwrap).collect();
            assert_eq!(scores, wanted, "{name} as a {form}");
        }
    }
}

#[test]
fn the_same_calls_use_the_same_fuel() {
    let bundles = random_bundles(50, 3);
    let fuel = || evaluate(&open("coherence", Form::Component, "{}"), &bundles).usage.fuel;
    let first = fuel();
    assert!(first > 10_000, "{first}");
    assert_eq!((fuel(), fuel()), (first, first));
}
