//! Recorded calls are made again: alike to the last bit, and where they are not, that is named.

use std::borrow::Cow;

use alft_build::Form;
use alft_plugin_host::isolate::{Call, Output};
use alft_plugin_host::ledger::Input;
use alft_plugin_host::replay::{self, Difference, Item};
use alft_sdk::batch::PromptTexts;
use alft_sdk::bundle::Prompt;

use crate::support::{FORMS, open, random_bundles};

#[test]
fn calls_made_again_are_alike_and_a_changed_bit_or_fuel_count_is_named() {
    let bundles = random_bundles(30, 9);
    for form in FORMS {
        let plugin = open("coherence", form, r#"{"consensus": "geometric"}"#);
        let calls = plugin.evaluate(&bundles).calls;
        let input = Input::Evaluate(Cow::Borrowed(&bundles));
        for call in &calls {
            assert_eq!(replay::repeat(&plugin, &input, call), Ok(None), "as a {form}");
        }
        let mut forged = calls[0].clone();
        let Ok(Output::Valuations(valuations)) = &mut forged.outcome else { panic!("{forged:?}") };
        let reward = &mut valuations[3].rewards[0][0];
        *reward = f64::from_bits(reward.to_bits() ^ 1);
        match replay::repeat(&plugin, &input, &forged).unwrap() {
            Some(Difference::Output { place, .. }) => assert_eq!(place, "bundle 3, reward of entry 0, text 0"),
            other => panic!("{other:?}"),
        }
        let dearer = Call { fuel: calls[0].fuel + 1, ..calls[0].clone() };
        let difference = replay::repeat(&plugin, &input, &dearer).unwrap().unwrap();
        assert!(matches!(difference, Difference::Fuel { .. }), "{difference}");
    }
}

#[test]
fn a_batch_that_was_taken_apart_is_put_together_again() {
    let plugin = open("misbehave", Form::Component, r#"{"deed": "panic", "on": "7"}"#);
    let question = |q: usize| PromptTexts {
        prompt: Prompt { id: q.to_string(), ..Prompt::default() },
        texts: (0..3).map(|a| (3 * q + a).to_string()).collect(),
    };
    let batch: Vec<PromptTexts> = (0..6).map(question).collect();
    let called = plugin.score(&batch);
    let input = Input::Score(Cow::Borrowed(&batch));
    for call in &called.calls {
        assert_eq!(replay::repeat(&plugin, &input, call), Ok(None), "{call:?}");
    }
    let items = replay::items(&input, &called.calls);
    assert_eq!(items.len(), 18);
    for (at, (item, scored)) in items.iter().zip(&called.items).enumerate() {
        assert_eq!(*item, scored.clone().map(Item::Score), "answer {at}");
        assert_eq!(item.is_err(), at == 7 || at == 17);
    }
    assert_eq!(replay::ask(&plugin, &input).unwrap(), items);
}
