//! Recorded calls are repeated to the last bit, and the first difference is named.

use alft_build::Form;
use alft_plugin_host::ledger::replay::{self, Difference, ReplayError};
use alft_plugin_host::{Call, FUEL_RULES, Failure, FailureKind};
use alft_sdk::bundle::Prompt;
use alft_sdk::call::{Output, PromptTexts};
use alft_sdk::roles::{Batch, Role};

use crate::support::{FORMS, misbehaving, open, random_bundles};

#[test]
fn repeated_calls_are_equal_and_a_changed_bit_or_amount_of_fuel_is_named() {
    let batch = Batch::Objective(random_bundles(30, 9).into());
    for form in FORMS {
        let plugin = open("coherence", form, r#"{"consensus": "geometric"}"#);
        let calls = plugin.call(&batch).calls;
        for call in &calls {
            assert_eq!(replay::repeat(&plugin, &batch, call, FUEL_RULES), Ok(None), "as a {form}");
        }
        let mut forged = calls[0].clone();
        let Ok(Output::Valuations(valuations)) = &mut forged.outcome else { panic!("{forged:?}") };
        let reward = &mut valuations[3].rewards[0][0];
        *reward = f64::from_bits(reward.to_bits() ^ 1);
        match replay::repeat(&plugin, &batch, &forged, FUEL_RULES).unwrap() {
            Some(Difference::Output { place, .. }) => assert_eq!(place, "bundle 3, reward of entry 0, text 0"),
            other => panic!("{other:?}"),
        }
        let other_fuel = Call { fuel: calls[0].fuel + 1, ..calls[0].clone() };
        let difference = replay::repeat(&plugin, &batch, &other_fuel, FUEL_RULES).unwrap().unwrap();
        assert!(matches!(difference, Difference::Fuel { .. }), "{difference}");
        // Under other prices the outputs are compared, and the fuel is not.
        let other_prices = FUEL_RULES - 1;
        assert_eq!(replay::repeat(&plugin, &batch, &other_fuel, other_prices), Ok(None), "as a {form}");
        let used_up = Call { outcome: Err(Failure::new(FailureKind::OutOfFuel, "then")), ..other_fuel };
        assert_eq!(replay::repeat(&plugin, &batch, &used_up, other_prices), Ok(None), "as a {form}");
        let difference = replay::repeat(&plugin, &batch, &forged, other_prices).unwrap();
        assert!(matches!(difference, Some(Difference::Output { .. })), "{difference:?}");
    }
}

#[test]
fn calls_of_another_role_or_of_no_part_of_the_batch_are_not_repeated() {
    let batch = Batch::Objective(random_bundles(3, 9).into());
    let plugin = open("coherence", Form::Component, r#"{"consensus": "geometric"}"#);
    let call = plugin.call(&batch).calls.remove(0);
    let reader = Batch::Reader(Vec::new().into());
    assert_eq!(replay::repeat(&plugin, &reader, &call, FUEL_RULES), Err(ReplayError::MissingRole(Role::Reader)));
    let smaller = Batch::Objective(random_bundles(2, 9).into());
    assert_eq!(replay::repeat(&plugin, &smaller, &call, FUEL_RULES), Err(ReplayError::NoSuchPart(call.part.clone())));
}

#[test]
fn the_items_of_a_bisected_batch_are_put_together() {
    let plugin = open("misbehave", Form::Component, &misbehaving("panic", "7"));
    let entry = |q: usize| PromptTexts {
        prompt: Prompt { id: q.to_string(), ..Prompt::default() },
        texts: (0..3).map(|a| (3 * q + a).to_string()).collect(),
    };
    let batch = Batch::Verifier((0..6).map(entry).collect());
    let result = plugin.call(&batch);
    for call in &result.calls {
        assert_eq!(replay::repeat(&plugin, &batch, call, FUEL_RULES), Ok(None), "{call:?}");
    }
    let items = replay::items(&batch, &result.calls);
    assert_eq!(items.len(), 18);
    for (at, (item, original)) in items.iter().zip(&result.items).enumerate() {
        assert_eq!(item, original, "answer {at}");
        assert_eq!(item.is_err(), at == 7 || at == 17);
    }
    assert_eq!(plugin.call(&batch).items, items);
}
