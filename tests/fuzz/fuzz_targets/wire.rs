//! Fuzzes the protocol between the host and a child process that runs a stranger's library, and may say anything. A message
//! is decoded and encoded without loss, and no number that a child sends leaves the host unchecked.
#![no_main]

use alft_fuzz::calls;
use alft_plugin_host::{Limits, NativeTrust, Source, fuzzing};
use alft_sdk::call::Item;
use alft_sdk::roles::Role;

/// Bytes of the longest frame.
const MAX_BYTES: usize = 1 << 16;

libfuzzer_sys::fuzz_target!(|stream: &[u8]| {
    let messages = fuzzing::messages(stream, MAX_BYTES);
    messages.iter().for_each(|message| fuzzing::message(message));
    let limits = Limits { key_bytes: 16, output: MAX_BYTES, ..Limits::default() };
    let source = Source { path: "".into(), pin: None, native: NativeTrust::Process, config: "{}".into(), limits };
    let Ok(plugin) = fuzzing::plugin(&source, messages) else { return };
    let range = plugin.manifest().score_range.unwrap_or((f64::MIN, f64::MAX));
    for role in plugin.roles().iter() {
        let batch = calls::batch(role);
        let result = plugin.call(&batch);
        assert_eq!(result.items.len(), batch.item_count());
        for item in result.items.into_iter().flatten() {
            assert!(match item {
                Item::Key(key) => role == Role::Reader && key.is_none_or(|key| key.len() <= 16),
                Item::Score(score) => score.is_finite() && range.0 <= score && score <= range.1,
                Item::Valuation(valuation) => {
                    let numbers = valuation.rewards.iter().flatten().chain(&valuation.violation);
                    valuation.utility.is_finite() && numbers.into_iter().all(|number| number.is_finite())
                }
            });
        }
    }
});
